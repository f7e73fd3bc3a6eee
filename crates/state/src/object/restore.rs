//! From what a cluster lives on.

use serde::{Deserialize, Serialize};
use trireme_types::Timestamp;

/// From what a cluster lives on under a higher incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreSource {
    /// A backup. What was acknowledged after it was taken is lost.
    Backup {
        /// When it was taken.
        taken_at: Timestamp,
    },
    /// The log of one node that outlived the quorum. What it had not received is lost, acknowledged or not.
    Survivor {
        /// The node.
        node_id: u64,
        /// The last entry of its log.
        log_index: u64,
        /// That entry's term.
        log_term: u64,
    },
}
