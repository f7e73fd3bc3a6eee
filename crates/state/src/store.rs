//! The narrow door between the state's users and consensus: view, watch, read, propose. `raft` implements it;
//! [`LocalStore`] does for tests, in memory and without replication.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use trireme_types::{NodeId, RequestId, Sequence, Timestamp};

use crate::{Actor, ChainHash, Event, Outcome, Proposal, Rejection, State};

mod local;

pub use local::LocalStore;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A stream that a trait object can return.
pub type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// What a proposal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// This node's applied state is at or past it.
    pub sequence: Sequence,
    /// What was made.
    pub outcome: Outcome,
}

/// Why a proposal has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The leader refused it. Nothing has changed.
    #[error("rejected")]
    Rejected(#[source] Rejection),
    /// It may have been committed, or not. Ask again with the same request id.
    #[error("outcome unknown: {reason}; retry with the same request id")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
    /// No leader took it in time. It was not committed.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What is missing.
        reason: String,
    },
}

/// Why a linearizable read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unavailable: {reason}")]
pub struct ReadError {
    /// What is missing, such as a quorum.
    pub reason: String,
}

/// Who leads, as this node knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// Raft's term.
    pub term: u64,
    /// This node leads, has applied all that it held on taking office, and decides.
    pub deciding: bool,
}

/// One event of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: ChainHash,
    /// When.
    pub at: Timestamp,
    /// On whose behalf.
    pub actor: Actor,
    /// The call that caused it.
    pub request_id: RequestId,
    /// What happened.
    pub event: Event,
}

/// View, watch, read, propose.
pub trait Store: Send + Sync + 'static {
    /// This node's applied state now. It may be behind the leader's.
    fn view(&self) -> Arc<State>;

    /// This node's applied state: the current one at once, then the newest after each change. Views may be skipped, the last
    /// one never is.
    fn watch(&self) -> BoxStream<'static, Arc<State>>;

    /// A state that holds everything acknowledged before the call (linearizable).
    fn read(&self) -> BoxFuture<'_, Result<Arc<State>, ReadError>>;

    /// Has a command decided, committed and applied, wherever the leader is. On success this node's view holds it.
    fn propose(&self, proposal: Proposal) -> BoxFuture<'_, Result<Committed, ProposeError>>;

    /// Who leads, as this node knows it now.
    fn leadership(&self) -> Leadership;

    /// Who leads: now, then after each change.
    fn watch_leadership(&self) -> BoxStream<'static, Leadership>;

    /// The decider's clock, while this node decides.
    fn now(&self) -> Option<Timestamp>;

    /// At most `limit` events from `from` on, in order.
    fn history(&self, from: Sequence, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, ReadError>>;
}
