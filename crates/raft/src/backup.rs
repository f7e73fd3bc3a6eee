//! Backups: all that a cluster needs to come back, at one event, in one file. A backup is [`make`]d on a running node, read and
//! checked whole by [`read`], and [`restore`]d to an empty folder as the first node of a new incarnation.
//!
//! ```text
//! "TRIREME BACKUP 1\n"
//! frame: what (u8) | length (u32) | bytes | crc32c of all three (u32)      big endian
//!   1 header       BackupHeader: whose, when, at which event, what follows
//!   2 state        a part of the state (state::codec)
//!   3 checkpoint   a part of the state at the history's start (state::codec)
//!   4 records      some records of the history, in order
//!   5 end          BackupEnd: sha256 of every byte before this frame
//! ```
//!
//! Secrets are in it as the state keeps them: sealed with the cluster's key, which is not in it.

pub(crate) mod frame;
pub(crate) mod make;
pub(crate) mod read;
pub(crate) mod restore;

use std::io;

pub use make::Part;
pub use read::check;
pub use restore::{Restored, restore};

use trireme_rpc::{convert, log};
use trireme_state::{FeatureLevel, Position, StateHash};
use trireme_types::{ClusterUuid, Sequence, Timestamp};

use crate::config::LogId;
use crate::error::corrupt;
use crate::history::position_from_wire;
use crate::snapshot::file::hash_from_wire;
use crate::wire;

/// The first line of a backup. A later format has another number.
pub(crate) const TITLE: &[u8] = b"TRIREME BACKUP 1\n";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The version of the binary that made it.
    pub version: String,
    /// When it was made, on that node's clock.
    pub taken_at: Timestamp,
    /// The node that made it.
    pub node_id: u64,
    /// Whose it is.
    pub cluster: ClusterUuid,
    /// The cluster's incarnation.
    pub incarnation: u64,
    /// Its feature level.
    pub level: FeatureLevel,
    /// The last event in it.
    pub position: Position,
    /// Its place in Raft's log.
    pub last_log_id: Option<LogId>,
    /// The highest node id that was ever given.
    pub highest_node_id: u64,
    /// The state's hash.
    pub state_hash: StateHash,
    /// The event before the first record of its history.
    pub history_start: Position,
    /// Records of its history.
    pub records: u64,
    pub(crate) state_length: u64,
    pub(crate) checkpoint_length: u64,
}

impl Summary {
    /// The first event of its history; one more than the last when it has none.
    pub fn first(&self) -> Sequence {
        self.history_start.sequence.next()
    }

    fn from_wire(wire: log::BackupHeader) -> io::Result<Self> {
        let position = |position: Option<log::Position>| {
            position_from_wire(&position.ok_or_else(|| corrupt("a place is missing"))?)
        };
        let hash = hash_from_wire(&wire.state_hash)?;
        Ok(Self {
            version: wire.version,
            taken_at: Timestamp::from_millis(wire.taken_at_millis),
            node_id: wire.node_id,
            cluster: convert::cluster_from_bytes(&wire.cluster_id).map_err(corrupt)?,
            incarnation: wire.incarnation,
            level: FeatureLevel::new(wire.feature_level),
            position: position(wire.position)?,
            last_log_id: wire::some_log_id(wire.last_log_id)?,
            highest_node_id: wire.highest_node_id,
            state_hash: hash.ok_or_else(|| corrupt("the state's hash is missing"))?,
            history_start: position(wire.history_start)?,
            records: wire.records,
            state_length: wire.state_length,
            checkpoint_length: wire.checkpoint_length,
        })
    }
}
