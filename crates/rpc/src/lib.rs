//! The gRPC messages and services between Trireme's processes, generated from `proto/` by `build.rs`, and
//! conversions of the values that several rooms send.
//!
//! Reading order: `proto/log.proto` ([`log`]) · `proto/raft.proto` ([`raft`]) · `proto/control.proto`
//! ([`control`]) · `proto/agent.proto` ([`agent`]) · `proto/channel.proto` ([`channel`]) · `proto/logs.proto` ([`logs`]) ·
//! `proto/operator.proto` ([`operator`]) · `proto/explain.proto` ([`explain`]) · [`convert`] · [`tcp`] · [`gather`].

pub mod convert;
pub mod gather;
pub mod tcp;

#[allow(missing_docs, clippy::all, clippy::unwrap_used, clippy::too_many_lines)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/generated.rs"));
}

/// Between an agent and a control node.
pub use generated::trireme::agent::v1 as agent;
/// Frames between a control node and an agent about one thing on its machine.
pub use generated::trireme::channel::v1 as channel;
/// Forwarding, status, history and membership of control nodes.
pub use generated::trireme::control::v1 as control;
/// Why things are as they are, were or would be, for the operator's verbs.
pub use generated::trireme::explain::v1 as explain;
/// The log's frame: entries, votes, membership, history records.
pub use generated::trireme::log::v1 as log;
/// What agents keep of logs, and what is asked of it.
pub use generated::trireme::logs::v1 as logs;
/// What the operator's verbs ask of a control node.
pub use generated::trireme::operator::v1 as operator;
/// Raft between control nodes.
pub use generated::trireme::raft::v1 as raft;
