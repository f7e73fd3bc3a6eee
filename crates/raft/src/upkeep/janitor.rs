//! The janitor of the history: works out on the leader how much of it the retention lets go, and says so in the log. Each
//! node then deletes its own ([`super::history`]).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use trireme_state::store::Store;
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{RequestId, Sequence, Timestamp};

use super::PAUSE;
use crate::clock::{Clock, Random};
use crate::config::Raft;
use crate::fault::Fault;
use crate::guard::Pressure;
use crate::snapshot::blocking;
use crate::store::RaftStore;

/// The pause between two looks at the history's age, on the world's clock.
const LOOK: Duration = Duration::from_secs(3);
/// The fewest events that are worth a command.
const STEP_MIN: u64 = 1_024;
/// What is kept while a disk is nearly full.
const PRESSED_KEEP: u64 = 10_000;

/// The janitor. It works only while this node decides.
#[derive(Clone)]
pub(crate) struct Janitor {
    pub store: RaftStore,
    pub raft: Raft,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    /// Whether a voter's disk is nearly full.
    pub pressed: watch::Receiver<Option<Pressure>>,
}

/// Starts it.
pub(crate) fn start(janitor: Janitor, fault: &Fault, stop: CancellationToken) {
    fault.spawn("the janitor of the history", async move {
        let _stopped = stop.run_until_cancelled(janitor.run()).await;
    });
}

impl Janitor {
    async fn run(self) {
        let mut looked: Option<Duration> = None;
        loop {
            tokio::time::sleep(PAUSE * 3).await;
            let Some(now) = self.store.now() else { continue };
            let clock = self.clock.monotonic();
            let aged = looked.is_none_or(|looked| clock.saturating_sub(looked) >= LOOK);
            if aged {
                looked = Some(clock);
            }
            let state = self.store.view();
            if aged && self.pressed.borrow().is_some() {
                self.make_room(&state).await;
            }
            let age = if aged { self.too_old(&state, now).await } else { Sequence::default() };
            if let Some(to) = due(&state, age)
                && let Err(reason) = self.propose(to).await
            {
                tracing::info!(%reason, "the history could not be trimmed");
            }
        }
    }

    async fn make_room(&self, state: &State) {
        let kept = state.position().sequence.get().saturating_sub(state.trimmed().get());
        if kept < PRESSED_KEEP.saturating_add(STEP_MIN) {
            return;
        }
        match self.trim_now(PRESSED_KEEP).await {
            Ok(to) => {
                tracing::warn!(to = to.get(), "a disk is nearly full: the history is let go up to here")
            }
            Err(reason) => {
                tracing::warn!(%reason, "a disk is nearly full, and the history could not be trimmed")
            }
        }
    }

    /// The last event that is older than the retention lets it be.
    async fn too_old(&self, state: &State, now: Timestamp) -> Sequence {
        let oldest = now.millis().saturating_sub(state.retention().millis);
        let (history, applied) = (Arc::clone(&self.store.history), state.position().sequence);
        let look = move || history.last_before(Timestamp::from_millis(oldest), applied);
        blocking(look).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "the history's age is not known");
            Sequence::default()
        })
    }

    async fn propose(&self, to: Sequence) -> Result<(), String> {
        let mut bits = [0u8; 16];
        bits.copy_from_slice(&self.random.seed()[..16]);
        let proposal = Proposal {
            actor: Actor::Controller("history".to_owned()),
            request_id: RequestId::from_bits(u128::from_be_bytes(bits)),
            key: None,
            command: Command::TrimHistory { to },
        };
        self.store.propose(proposal).await.map(drop).map_err(|error| error.to_string())
    }

    /// Lets go all but the newest `keep` events, whatever the retention says, and has a checkpoint made of the present, so
    /// that the next call reaches this far. For a disk that is nearly full; only where this node decides. Returns up to
    /// where the history may go then.
    ///
    /// # Errors
    /// This node does not decide, or the command was not committed.
    pub(crate) async fn trim_now(&self, keep: u64) -> Result<Sequence, String> {
        let state = self.store.view();
        let to = Sequence::new(state.position().sequence.get().saturating_sub(keep.max(1)));
        if to > state.trimmed() {
            self.propose(to).await?;
        }
        self.store.checkpoints.want();
        self.raft.trigger().snapshot().await.map_err(|error| error.to_string())?;
        Ok(to.max(state.trimmed()))
    }
}

/// Up to where the history may go now, if that is worth a command. `aged` is the last event that is too old.
fn due(state: &State, aged: Sequence) -> Option<Sequence> {
    let retention = state.retention();
    let last = state.position().sequence.get();
    let surplus = last.saturating_sub(retention.events);
    // What happened last is always kept.
    let to = surplus.max(aged.get()).min(last.saturating_sub(1));
    let step = (retention.events / 8).max(STEP_MIN);
    (to >= state.trimmed().get().saturating_add(step)).then(|| Sequence::new(to))
}
