//! The history, for those who read it with the state that was then.

use trireme_delivery::{Gone, Past};
use trireme_raft::{Error, RaftStore};
use trireme_state::State;
use trireme_state::store::{BoxFuture, Record};
use trireme_types::Sequence;

/// A node's own history.
pub(crate) struct History(pub(crate) RaftStore);

impl Past for History {
    fn state_at(&self, sequence: Sequence) -> BoxFuture<'_, Result<State, Gone>> {
        Box::pin(async move { self.0.state_at(sequence).await.map_err(gone) })
    }

    fn records(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, Gone>> {
        Box::pin(async move { self.0.records(from, limit).await.map_err(gone) })
    }
}

fn gone(error: Error) -> Gone {
    match error {
        Error::Trimmed { first, .. } => Gone::Trimmed { first },
        other => Gone::Unavailable(other.to_string()),
    }
}
