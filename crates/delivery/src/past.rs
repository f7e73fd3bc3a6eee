//! What a control node knows of the history.

use trireme_state::State;
use trireme_state::store::{BoxFuture, Record};
use trireme_types::Sequence;

/// Why something of the history cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// It is kept no longer.
    #[error("the history begins at event {first}")]
    Trimmed {
        /// The first event that is kept.
        first: Sequence,
    },
    /// Not now.
    #[error("the history cannot be read now: {0}")]
    Unavailable(String),
}

/// The history, and the state as of any event of it.
pub trait Past: Send + Sync + 'static {
    /// The state after an event.
    fn state_at(&self, sequence: Sequence) -> BoxFuture<'_, Result<State, Gone>>;

    /// At most `limit` events from `from` on, in order. None: they have not happened yet.
    fn records(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, Gone>>;
}
