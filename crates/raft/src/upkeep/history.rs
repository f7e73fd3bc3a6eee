//! The upkeep of the history on each node: snapshots that become checkpoints, trimming what the state lets go, and fetching
//! the records that a snapshot jumped over. One task does all three, one step after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trireme_state::Position;
use trireme_types::{Sequence, Timestamp, planted};

use super::PAUSE;
use super::backoff::Backoff;
use crate::checkpoint::{Checkpoints, MOST, MOST_PRESSED, spacing, transfer};
use crate::clock::Clock;
use crate::config::Raft;
use crate::error::Error;
use crate::fault::Fault;
use crate::guard::Pressure;
use crate::history::History;
use crate::identity::Identity;
use crate::log::flusher::Flusher;
use crate::machine::View;
use crate::membership::Member;
use crate::snapshot::{Offer, Snapshots, blocking};
use crate::store::{NotFetched, RaftStore, fetch_history};

/// Records that are fetched at once.
const FETCH: usize = 2_000;
/// A node whose best checkpoint keeps so many records alive that may go makes a nearer one by a replay.
const FAR: u64 = 65_536;
/// The same when more than this part of what is kept is too old, or the oldest is this part of the age limit over it.
const FAR_PART: u64 = 8;
/// The pause between two looks while something may go.
const LOOK: Duration = Duration::from_secs(3);
/// The pauses after local work that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The pauses after peers had nothing that is missing here.
const REFETCH: (Duration, Duration) = (PAUSE, Duration::from_secs(10));
/// The pauses between two wishes for a snapshot while a disk is nearly full.
const ASK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Keeps the history of one node.
pub(crate) struct HistoryKeeper {
    pub store: RaftStore,
    pub raft: Raft,
    pub snapshots: Arc<Snapshots>,
    pub flusher: Flusher,
    pub identity: Identity,
    pub clock: Arc<dyn Clock>,
    /// Whether a voter's disk is nearly full.
    pub pressed: watch::Receiver<Option<Pressure>>,
}

/// What fetching came to.
enum Filled {
    /// Nothing is missing.
    Whole,
    /// There is more than before.
    Closer,
    /// Nobody had anything.
    Not,
}

/// Starts it.
pub(crate) fn start(keeper: HistoryKeeper, fault: &Fault, stop: CancellationToken) {
    fault.spawn("the keeper of the history", async move {
        let _stopped = stop.run_until_cancelled(keeper.run()).await;
    });
}

impl HistoryKeeper {
    async fn run(self) {
        let (mut view, mut offers) = (self.store.watch_applied(), self.snapshots.offers());
        let mut pressure = self.pressed.clone();
        let (mut tries, mut fetches) = (Backoff::new(RETRY), Backoff::new(REFETCH));
        let mut asks = Backoff::new(ASK);
        // A crash may have come between a deletion and what follows it.
        let mut clear = true;
        loop {
            let offer = offers.borrow_and_update().clone();
            let pressed = pressure.borrow_and_update().is_some();
            let (resets, trimmed) = {
                let view = view.borrow_and_update();
                (view.resets, view.state.trimmed())
            };
            if tries.is_due() {
                let done = self.work(offer, trimmed, clear).await;
                clear = done.is_err();
                tries.note(done.is_ok());
            }
            if pressed {
                self.ask_for_snapshot(trimmed, &mut asks).await;
            }
            let filled = if fetches.is_due() { self.fill(&view).await } else { Filled::Not };
            match filled {
                Filled::Not if fetches.is_due() => fetches.note(false),
                Filled::Not => {}
                Filled::Whole | Filled::Closer => fetches.note(true),
            }
            let waiting = pressed || trimmed > self.store.history.extent().start.sequence;
            let more = view.wait_for(|view| view.resets != resets || view.state.trimmed() > trimmed);
            tokio::select! {
                changed = more => if changed.is_err() { return },
                changed = offers.changed() => if changed.is_err() { return },
                changed = pressure.wait_for(|now| now.is_some() != pressed) => if changed.is_err() { return },
                () = tries.wait() => {}
                () = fetches.wait() => {}
                () = tokio::time::sleep(PAUSE), if matches!(filled, Filled::Closer) => {}
                () = tokio::time::sleep(LOOK), if waiting => {}
            }
        }
    }

    /// What this node does by itself. What fails is tried again; nothing depends on its order.
    async fn work(&self, offer: Option<Offer>, trimmed: Sequence, clear: bool) -> io::Result<()> {
        let cleared = if clear { self.clear_away().await } else { Ok(()) };
        // What may go goes first: it makes room.
        let before = self.trim(trimmed).await;
        let kept = match offer {
            Some(offer) => self.keep(offer, trimmed).await,
            None => Ok(false),
        };
        let after = if matches!(kept, Ok(true)) { self.trim(trimmed).await } else { Ok(()) };
        let all = [
            ("clear away what the history does not need", cleared),
            ("trim the history", before),
            ("write a checkpoint", kept.map(drop)),
            ("trim the history", after),
        ];
        let mut done = Ok(());
        for (what, result) in all {
            if let Err(error) = result {
                tracing::error!(%error, "cannot {what}");
                done = Err(error);
            }
        }
        done
    }

    fn history(&self) -> Arc<History> {
        Arc::clone(&self.store.history)
    }

    fn checkpoints(&self) -> Arc<Checkpoints> {
        Arc::clone(&self.store.checkpoints)
    }

    fn is_pressed(&self) -> bool {
        self.pressed.borrow().is_some()
    }

    fn most(&self) -> usize {
        if self.is_pressed() { MOST_PRESSED } else { MOST }
    }

    /// Where the history begins, durably.
    async fn durable_start(&self) -> io::Result<Sequence> {
        let start = self.store.history.extent().start.sequence;
        self.flusher.sync().await?;
        Ok(start)
    }

    /// While a disk is nearly full: a snapshot lets the log go, and is what the history can be trimmed to next. Once that one
    /// is there, another would only take room.
    async fn ask_for_snapshot(&self, trimmed: Sequence, asks: &mut Backoff) {
        let checkpoints = &self.store.checkpoints;
        if checkpoints.newest().sequence > trimmed {
            asks.note(true);
            return;
        }
        if !asks.is_due() {
            return;
        }
        if checkpoints.wanted().is_none() {
            checkpoints.want(self.store.applied().state.position().sequence);
        }
        if let Err(error) = self.raft.trigger().snapshot().await {
            tracing::debug!(%error, "no snapshot can be asked for");
        }
        asks.note(false);
    }

    /// Makes a snapshot a checkpoint, if it is far enough from the last one, or all that the history can be replayed from.
    /// True when it did.
    async fn keep(&self, offer: Offer, trimmed: Sequence) -> io::Result<bool> {
        let extent = self.store.history.extent();
        let (checkpoints, at) = (self.checkpoints(), offer.position.sequence);
        let newest = checkpoints.newest().sequence;
        if at < extent.start.sequence || checkpoints.positions().contains(&offer.position) {
            return Ok(false);
        }
        let retention = self.store.applied().state.retention();
        let distance = at.get().saturating_sub(newest.max(extent.start.sequence).get());
        let spare = self.is_pressed() && newest > trimmed;
        let far = distance >= spacing(retention) && !spare;
        let behind_gap = extent.gap.is_some_and(|(_, to)| to == offer.position);
        let wanted = checkpoints.wanted().is_some_and(|first| first <= at);
        if !far && !behind_gap && !wanted {
            return Ok(false);
        }
        let (start, most) = (self.durable_start().await?, self.most());
        blocking(move || {
            checkpoints.prune(start, most)?;
            checkpoints.copy(offer.position, &offer.blob)?;
            checkpoints.prune(start, most)
        })
        .await?;
        tracing::debug!(sequence = at.get(), "a checkpoint is written");
        Ok(true)
    }

    /// Deletes what may go, as far as a checkpoint takes its place; then up to a nearer one, where that is worth a replay.
    async fn trim(&self, trimmed: Sequence) -> io::Result<()> {
        let (history, checkpoints) = (self.history(), self.checkpoints());
        let start = history.extent().start.sequence;
        if trimmed <= start {
            return Ok(());
        }
        let found = blocking(move || checkpoints.newest_sound(start.next(), trimmed)).await?;
        if let Some(to) = found {
            self.trim_to(to).await?;
        }
        if !self.is_far(trimmed).await? {
            tracing::debug!(trimmed = trimmed.get(), "what else may go waits for a checkpoint");
            return Ok(());
        }
        let state = self.store.state_at(trimmed).await.map_err(|error| match error {
            Error::Storage(error) => error,
            other => io::Error::other(format!("no checkpoint can be made at {trimmed}: {other}")),
        })?;
        let checkpoints = self.checkpoints();
        let to = blocking(move || checkpoints.write(state)).await?;
        self.trim_to(to).await
    }

    /// Whether the best checkpoint keeps too much alive that may go.
    async fn is_far(&self, trimmed: Sequence) -> io::Result<bool> {
        let extent = self.store.history.extent();
        let start = extent.start.sequence;
        // What a snapshot jumped over cannot be replayed before it is fetched.
        if trimmed <= start || extent.gap.is_some_and(|(from, _)| from.sequence < trimmed) {
            return Ok(false);
        }
        if self.is_pressed() || trimmed.get().saturating_sub(start.get()) >= FAR {
            return Ok(true);
        }
        let state = Arc::clone(&self.store.applied().state);
        let (history, last, limit) = (self.history(), state.position().sequence, state.retention().millis);
        let now = self.clock.wall().millis();
        blocking(move || {
            let before =
                |age: u64| history.last_before(Timestamp::from_millis(now.saturating_sub(age)), last);
            let kept = last.get().saturating_sub(start.get());
            let old = before(limit)?.min(trimmed).get().saturating_sub(start.get());
            Ok(old > kept / FAR_PART || before(limit.saturating_add(limit / FAR_PART))? > start)
        })
        .await
    }

    async fn trim_to(&self, to: Position) -> io::Result<()> {
        let before = self.store.history.extent().start;
        let deleted = self.delete_to(to).await;
        let start = self.store.history.extent().start;
        if start != before {
            // A part of it counts too.
            self.clear_away().await?;
            let records = start.sequence.get().saturating_sub(before.sequence.get());
            tracing::info!(records, first = start.sequence.next().get(), "the history was trimmed");
        }
        deleted
    }

    async fn delete_to(&self, to: Position) -> io::Result<()> {
        loop {
            let history = self.history();
            if !blocking(move || history.trim(to)).await? {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Only what is durably deleted makes older checkpoints useless, and its room free.
    async fn clear_away(&self) -> io::Result<()> {
        let (history, checkpoints) = (self.history(), self.checkpoints());
        let (start, most) = (self.durable_start().await?, self.most());
        metrics::gauge!("trireme_history_first_sequence").set(history.extent().first().get() as f64);
        blocking(move || {
            checkpoints.prune(start, most)?;
            history.reclaim()
        })
        .await
    }

    /// Fetches the next records that a snapshot jumped over, from any peer that has them, checked against the chain.
    async fn fill(&self, view: &watch::Receiver<Arc<View>>) -> Filled {
        let gap = self.store.history.extent().gap.filter(|_| !planted::is("history-gap-stays"));
        let Some((from, to)) = gap else { return Filled::Whole };
        let missing = to.sequence.get().saturating_sub(from.sequence.get());
        let limit = usize::try_from(missing).unwrap_or(FETCH).min(FETCH);
        let membership = view.borrow().membership.membership().clone();
        let mut trimmed_at: Vec<(u64, Member)> = Vec::new();
        for (id, member) in membership.nodes().filter(|(id, _)| **id != self.identity.node_id) {
            let (address, time) = (&member.peer_address, self.store.settings.call_limit);
            match fetch_history(&self.store.peers, address, from.sequence.next(), limit, time).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => {
                    let history = self.history();
                    match blocking(move || history.fill(&records)).await {
                        Ok(closed) => {
                            tracing::info!(closed, peer = id, "history was fetched");
                            return Filled::Closer;
                        }
                        Err(error) => tracing::error!(%error, peer = id, "a peer's history does not fit"),
                    }
                }
                Err(NotFetched::Trimmed { .. }) => trimmed_at.push((*id, member.clone())),
                Err(NotFetched::Failed(reason)) => {
                    tracing::debug!(%reason, peer = id, "no history from there");
                }
            }
        }
        if self.take_over(trimmed_at, view).await { Filled::Closer } else { Filled::Not }
    }

    /// The missing records are no longer kept: takes over the start of a peer, whose checkpoint stands for them. What lies
    /// before it is deleted here too, at the next look. True when there is a new one.
    async fn take_over(&self, peers: Vec<(u64, Member)>, view: &watch::Receiver<Arc<View>>) -> bool {
        // A peer never deletes more than the state lets go; a state that does not know of it yet will.
        let last = view.borrow().state.trimmed();
        let checkpoints = self.checkpoints();
        let known = checkpoints.positions();
        for (id, member) in peers {
            match transfer::fetch(&checkpoints, &self.store.peers, &member.peer_address, last).await {
                Ok(position) if known.contains(&position) => {}
                Ok(position) => {
                    let sequence = position.sequence.get();
                    tracing::info!(sequence, peer = id, "the history begins at a peer's checkpoint");
                    return true;
                }
                Err(reason) => tracing::info!(%reason, peer = id, "no checkpoint from there"),
            }
        }
        false
    }
}
