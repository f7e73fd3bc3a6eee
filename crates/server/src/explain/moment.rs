//! A state, now or then. The state as of N is the nearest checkpoint and a replay; the state at a time is that after the last event up
//! to then.

use std::sync::Arc;

use tonic::Status;
use trireme_raft::{Error, RaftStore};
use trireme_rpc::explain::moment::At;
use trireme_rpc::explain::{Moment, Point};
use trireme_state::State;
use trireme_state::store::Store;
use trireme_types::{Sequence, Timestamp};

/// A state, and the instant for which it is asked.
#[derive(Clone)]
pub(super) struct Seen {
    pub state: Arc<State>,
    /// The time as of then: of a state that is over, that of its last event.
    pub at: Timestamp,
}

impl Seen {
    pub(super) fn point(&self) -> Point {
        Point { sequence: self.state.position().sequence.get(), at_millis: self.at.millis() }
    }
}

/// The state at a moment; none given is now, and then it holds all that was acknowledged before.
pub(super) async fn see(store: &RaftStore, moment: Option<Moment>) -> Result<Seen, Status> {
    match moment.and_then(|moment| moment.at) {
        None => {
            let state = store.read().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let at = store.time().now().max(state.clock());
            Ok(Seen { state, at })
        }
        Some(At::Sequence(sequence)) => as_of(store, Sequence::new(sequence)).await,
        Some(At::Millis(millis)) => {
            let at = Timestamp::from_millis(millis);
            let seen = as_of(store, last_up_to(store, at).await?).await?;
            Ok(Seen { at, ..seen })
        }
    }
}

/// The state after an event.
pub(super) async fn as_of(store: &RaftStore, sequence: Sequence) -> Result<Seen, Status> {
    let state = store.state_at(sequence).await.map_err(|error| refusal(&error))?;
    let at = state.clock();
    Ok(Seen { state: Arc::new(state), at })
}

/// The last event that happened at a time or before.
pub(super) async fn last_up_to(store: &RaftStore, at: Timestamp) -> Result<Sequence, Status> {
    let applied = store.view();
    let first = store.history_extent().first();
    // Events come in the order of their times. The answer is in `low..high`, or the one before.
    let (mut low, mut high) = (first.get(), applied.position().sequence.get().saturating_add(1));
    while low < high {
        let middle = low.saturating_add(high.saturating_sub(low) / 2);
        let records = store.records(Sequence::new(middle), 1).await.map_err(|error| refusal(&error))?;
        match records.first() {
            Some(record) if record.at <= at => low = middle.saturating_add(1),
            _ => high = middle,
        }
    }
    if low <= first.get() && first.get() > 1 {
        let text = format!("what was at {at} is no longer kept: the history begins at event {first}");
        return Err(Status::out_of_range(text));
    }
    Ok(Sequence::new(low.saturating_sub(1)))
}

/// What is gone, or has not been yet, no node knows; what this one cannot read, another may.
pub(super) fn refusal(error: &Error) -> Status {
    match error {
        Error::Trimmed { .. } => Status::out_of_range(error.to_string()),
        Error::NotYet { .. } => Status::invalid_argument(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    }
}
