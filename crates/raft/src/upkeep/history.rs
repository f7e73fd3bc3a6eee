//! The upkeep of the history on each node: snapshots that become checkpoints, trimming what the state lets go, and fetching
//! the records that a snapshot jumped over. One task does all three, one step after the other.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trireme_state::Position;
use trireme_types::{Sequence, planted};

use super::PAUSE;
use crate::checkpoint::{Checkpoints, spacing, transfer};
use crate::fault::Fault;
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

/// Keeps the history of one node.
pub(crate) struct HistoryKeeper {
    pub store: RaftStore,
    pub snapshots: Arc<Snapshots>,
    pub flusher: Flusher,
    pub identity: Identity,
}

/// Starts it.
pub(crate) fn start(keeper: HistoryKeeper, fault: &Fault, stop: CancellationToken) {
    fault.spawn("the keeper of the history", async move {
        let _stopped = stop.run_until_cancelled(keeper.run()).await;
    });
}

impl HistoryKeeper {
    async fn run(self) {
        let mut view = self.store.watch_applied();
        let mut offers = self.snapshots.offers();
        // A crash may have come between a deletion and what follows it.
        self.tell(self.clear_away().await, "clear away what the history does not need");
        loop {
            let offer = offers.borrow_and_update().clone();
            if let Some(offer) = offer {
                self.tell(self.keep(offer).await, "write a checkpoint");
            }
            let (resets, trimmed) = {
                let view = view.borrow_and_update();
                (view.resets, view.state.trimmed())
            };
            self.tell(self.trim(trimmed).await, "trim the history");
            let whole = self.fill(&view).await;
            let more = view.wait_for(|view| view.resets != resets || view.state.trimmed() > trimmed);
            tokio::select! {
                changed = more => if changed.is_err() { return },
                changed = offers.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(PAUSE), if !whole => {}
            }
        }
    }

    fn tell(&self, result: io::Result<()>, what: &str) {
        if let Err(error) = result {
            tracing::error!(%error, "cannot {what}");
        }
    }

    fn history(&self) -> Arc<History> {
        Arc::clone(&self.store.history)
    }

    fn checkpoints(&self) -> Arc<Checkpoints> {
        Arc::clone(&self.store.checkpoints)
    }

    /// Makes a snapshot a checkpoint, if it is far enough from the last one, or all that the history can be replayed from.
    async fn keep(&self, offer: Offer) -> io::Result<()> {
        let extent = self.store.history.extent();
        let (checkpoints, at) = (self.checkpoints(), offer.position.sequence);
        let last = checkpoints.newest().sequence.max(extent.start.sequence);
        if at < extent.start.sequence || checkpoints.positions().contains(&offer.position) {
            return Ok(());
        }
        let retention = self.store.applied().state.retention();
        let far = at.get().saturating_sub(last.get()) >= spacing(retention);
        let behind_gap = extent.gap.is_some_and(|(_, to)| to == offer.position);
        let wanted = checkpoints.take_wish();
        if !far && !behind_gap && !wanted {
            return Ok(());
        }
        let start = extent.start.sequence;
        blocking(move || {
            checkpoints.copy(offer.position, &offer.blob).and_then(|()| checkpoints.prune(start))
        })
        .await?;
        tracing::debug!(sequence = at.get(), "a checkpoint is written");
        Ok(())
    }

    /// Deletes what may go, as far as a checkpoint takes its place.
    async fn trim(&self, trimmed: Sequence) -> io::Result<()> {
        let history = self.history();
        let before = history.extent().start.sequence;
        if trimmed <= before {
            return Ok(());
        }
        let Some(to) = self.checkpoint_at_most(trimmed).await? else {
            tracing::debug!(trimmed = trimmed.get(), "no checkpoint is old enough: nothing is deleted yet");
            return Ok(());
        };
        loop {
            let history = Arc::clone(&history);
            if !blocking(move || history.trim(to)).await? {
                break;
            }
            tokio::task::yield_now().await;
        }
        // Only what is durable makes older checkpoints useless.
        self.flusher.sync().await?;
        self.clear_away().await?;
        let records = to.sequence.get().saturating_sub(before.get());
        tracing::info!(records, first = to.sequence.next().get(), "the history was trimmed");
        Ok(())
    }

    /// The newest sound checkpoint up to which records may be deleted; a new one when the newest keeps too many alive.
    async fn checkpoint_at_most(&self, trimmed: Sequence) -> io::Result<Option<Position>> {
        let start = self.store.history.extent().start.sequence;
        let checkpoints = self.checkpoints();
        let found = blocking(move || checkpoints.newest_sound(start.next(), trimmed)).await?;
        let reached = found.map_or(start, |found| found.sequence);
        if trimmed.get().saturating_sub(reached.get()) < FAR {
            return Ok(found);
        }
        match self.store.state_at(trimmed).await {
            Ok(state) => {
                let checkpoints = self.checkpoints();
                blocking(move || checkpoints.write(state)).await.map(Some)
            }
            Err(error) => {
                tracing::debug!(%error, "no nearer checkpoint can be made");
                Ok(found)
            }
        }
    }

    async fn clear_away(&self) -> io::Result<()> {
        let (history, checkpoints) = (self.history(), self.checkpoints());
        blocking(move || {
            let start = history.extent().start.sequence;
            metrics::gauge!("trireme_history_first_sequence").set(start.next().get() as f64);
            checkpoints.prune(start)?;
            if start.get() == 0 { Ok(()) } else { history.reclaim() }
        })
        .await
    }

    /// Fetches the next records that a snapshot jumped over, from any peer that has them, checked against the chain. True
    /// when nothing is missing.
    async fn fill(&self, view: &watch::Receiver<Arc<View>>) -> bool {
        let gap = self.store.history.extent().gap.filter(|_| !planted::is("history-gap-stays"));
        let Some((from, to)) = gap else { return true };
        let missing = to.sequence.get().saturating_sub(from.sequence.get());
        let limit = usize::try_from(missing).unwrap_or(FETCH).min(FETCH);
        let membership = view.borrow().membership.membership().clone();
        let mut trimmed_at: Vec<(u64, Member)> = Vec::new();
        for (id, member) in membership.nodes().filter(|(id, _)| **id != self.identity.node_id) {
            let (address, time) = (&member.peer_address, self.store.settings.call_limit);
            match fetch_history(&self.store.peers, address, from.sequence.next(), limit, time).await {
                Ok(records) => {
                    let history = self.history();
                    match blocking(move || history.fill(&records)).await {
                        Ok(closed) => {
                            tracing::info!(closed, peer = id, "history was fetched");
                            return closed;
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
        self.take_over(trimmed_at, view).await;
        false
    }

    /// The missing records are no longer kept: takes over the start of a peer, whose checkpoint stands for them. What lies
    /// before it is deleted here too, at the next look.
    async fn take_over(&self, peers: Vec<(u64, Member)>, view: &watch::Receiver<Arc<View>>) {
        // A peer never deletes more than the state lets go; a state that does not know of it yet will.
        let last = view.borrow().state.trimmed();
        let (checkpoints, limit) = (self.checkpoints(), self.store.settings.snapshot_limit);
        for (id, member) in peers {
            let fetching =
                transfer::fetch(&checkpoints, &self.store.peers, &member.peer_address, last, limit);
            match fetching.await {
                Ok(position) => {
                    let sequence = position.sequence.get();
                    tracing::info!(sequence, peer = id, "the history begins at a peer's checkpoint");
                    return;
                }
                Err(reason) => tracing::info!(%reason, peer = id, "no checkpoint from there"),
            }
        }
    }
}
