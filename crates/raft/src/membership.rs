//! Who is a control node, and how that changes: join, promote, leave, handover.

use bytes::Bytes;

/// A control node, as the membership records it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its availability zone.
    pub zone: String,
    /// host:port of its gRPC services for peers.
    pub peer_address: String,
    /// host:port of its API; may be empty.
    pub api_address: String,
    /// Drawn by the node before it joined, so that a repeated join finds the id it was given.
    pub token: Bytes,
}
