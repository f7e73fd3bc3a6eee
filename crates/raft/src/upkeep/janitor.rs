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
use crate::fault::Fault;
use crate::guard::Pressure;
use crate::snapshot::blocking;
use crate::store::RaftStore;

/// The pause between two looks at the history's age, on the world's clock.
const LOOK: Duration = Duration::from_secs(3);
/// The fewest events beyond the number that is kept that are worth a command.
const STEP_MIN: u64 = 1_024;
/// The part of the age limit by which the oldest event is over it before that is worth a command.
const AGE_PART: u64 = 24;
/// What is kept while a disk is nearly full.
const PRESSED_KEEP: u64 = 10_000;

/// The janitor. It works only while this node decides.
#[derive(Clone)]
pub(crate) struct Janitor {
    pub store: RaftStore,
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
            let mut to = surplus(&state);
            if aged {
                to = to.max(self.too_old(&state, now).await).max(self.pressed(&state));
            }
            if let Some(to) = to.and_then(|to| allowed(&state, to))
                && let Err(reason) = self.propose(to).await
            {
                tracing::info!(%reason, "the history could not be trimmed");
            }
        }
    }

    /// Up to where the history goes while a disk is nearly full, whatever the retention says.
    fn pressed(&self, state: &State) -> Option<Sequence> {
        let pressure = (*self.pressed.borrow())?;
        let to = state.position().sequence.get().saturating_sub(PRESSED_KEEP);
        if to < state.trimmed().get().saturating_add(STEP_MIN) {
            return None;
        }
        let (node, free_bytes) = (pressure.node, pressure.free);
        tracing::warn!(to, node, free_bytes, "a disk is nearly full: the history is let go up to here");
        Some(Sequence::new(to))
    }

    /// The last event that is older than the retention lets it be, once the first that is kept is so by some time.
    async fn too_old(&self, state: &State, now: Timestamp) -> Option<Sequence> {
        let (history, applied) = (Arc::clone(&self.store.history), state.position().sequence);
        let (limit, trimmed) = (state.retention().millis, state.trimmed());
        let look = move || {
            let before = |age: u64| {
                history.last_before(Timestamp::from_millis(now.millis().saturating_sub(age)), applied)
            };
            if before(limit.saturating_add(limit / AGE_PART))? <= trimmed {
                return Ok(None);
            }
            before(limit).map(Some)
        };
        blocking(look).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the history's age is not known");
            None
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
}

/// Up to where the history holds more events than the retention keeps, if that is worth a command.
fn surplus(state: &State) -> Option<Sequence> {
    let kept = state.retention().events;
    let to = state.position().sequence.get().saturating_sub(kept);
    let step = (kept / 8).max(STEP_MIN);
    (to >= state.trimmed().get().saturating_add(step)).then(|| Sequence::new(to))
}

/// What happened last is always kept.
fn allowed(state: &State, to: Sequence) -> Option<Sequence> {
    let last = state.position().sequence.get().saturating_sub(1);
    let to = to.min(Sequence::new(last));
    (to > state.trimmed()).then_some(to)
}
