//! What a node says of its own log at one moment, for those who hold many nodes against each other. It asks nobody and
//! changes nothing.

use openraft::async_runtime::WatchReceiver;

use trireme_state::store::Record;
use trireme_types::Sequence;

use crate::config::LogId;
use crate::history::{self, Part};
use crate::node::Node;

/// How far a node's log is, and whom it follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// The vote: term, node, whether a quorum has confirmed it.
    pub vote: (u64, u64, bool),
    /// This node leads, as far as it knows.
    pub leads: bool,
    /// The leader, if it knows one.
    pub leader: Option<u64>,
    /// The last entry.
    pub last: Option<LogId>,
    /// The last entry that it knows to be committed.
    pub committed: Option<LogId>,
    /// The last entry that it has applied.
    pub applied: Option<LogId>,
    /// The last entry that its snapshot covers.
    pub snapshot: Option<LogId>,
    /// The last entry that it has purged.
    pub purged: Option<LogId>,
    /// The same, as its log says it.
    pub floor: Option<LogId>,
    /// Who is a member, voter or not.
    pub members: Vec<u64>,
    /// Who votes.
    pub voters: Vec<u64>,
    /// A change of the membership is under way.
    pub changing: bool,
}

impl Node {
    /// Looks at this node.
    pub fn probe(&self) -> Probe {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let (vote, written) = (&metrics.vote, self.log().written());
        Probe {
            vote: (vote.leader_id.term, vote.leader_id.node_id, vote.committed),
            leads: metrics.state.is_leader(),
            leader: metrics.current_leader,
            last: written.last,
            floor: written.purged,
            committed: metrics.local_committed,
            applied: metrics.last_applied,
            snapshot: metrics.snapshot,
            purged: metrics.purged,
            members: membership.nodes().map(|(id, _)| *id).collect(),
            voters: membership.voter_ids().collect(),
            changing: membership.get_joint_config().len() > 1,
        }
    }

    /// At most `limit` records of the history on this node's disk from `from` on, up to what it has applied, checked against
    /// each other. `None` when they are not here.
    ///
    /// # Errors
    /// Storage that fails, and a broken chain.
    pub fn records(&self, from: Sequence, limit: usize) -> std::io::Result<Option<Vec<Record>>> {
        let applied = self.store().applied().state.position();
        match self.store().history.read(from, limit, applied)? {
            Part::Elsewhere | Part::Trimmed { .. } => Ok(None),
            Part::Records(records) => {
                records.into_iter().map(history::decode).collect::<std::io::Result<_>>().map(Some)
            }
        }
    }

    /// The id of the entry at `index`, if the log still has it.
    ///
    /// # Errors
    /// Storage that fails.
    pub fn log_id_at(&self, index: u64) -> std::io::Result<Option<LogId>> {
        self.log().id_at(index)
    }
}
