//! Consensus: openraft and RocksDB behind the state's [`Store`](trireme_state::store::Store), and the history.
//! The one room that knows either.
//!
//! A proposal's way: [`store`] (here, or forwarded by [`control`]) → [`decider`] (command → events → entry) → Raft →
//! [`log`] on a quorum of disks → [`machine`] (entry → state, [`history`], watchers) → the answer.
//!
//! - Only the decider sees the head; everyone else sees applied state.
//! - Nothing is acknowledged before a quorum has synced it and this node has applied it.
//! - A node that cannot trust its disk stops: [`node::Node::fatal`].
//! - Time, randomness, connections and storage come in through [`node::World`] and [`storage::Storage`].
//!
//! Reading order: [`config`] · [`identity`] · [`storage`] · [`log`] · [`batch`] · [`decider`] · [`machine`] · [`history`] ·
//! [`checkpoint`] · [`snapshot`] · [`network`] · [`membership`] · [`simulation`] · `vitals` · `voters_clock` · `guard` · `level` · `agreement` · `outflow` · [`control`] · [`store`] · [`node`] ·
//! [`verify`] · [`backup`] · [`recover`].

pub mod agreement;
pub mod backup;
pub mod batch;
pub mod checkpoint;
pub mod clock;
pub mod config;
pub mod control;
pub mod decider;
pub mod error;
mod fault;
mod guard;
pub mod history;
pub mod identity;
mod level;
pub mod log;
pub mod machine;
pub mod membership;
pub mod network;
pub mod node;
mod outflow;
pub mod probe;
mod read;
pub mod recover;
pub mod simulation;
pub mod snapshot;
pub mod storage;
pub mod store;
pub mod threads;
mod upkeep;
pub mod verify;
mod vitals;
mod voters_clock;
mod watchers;
mod wire;

pub use config::Settings;
pub use control::{RelaySink, RelayedHeartbeat};
pub use error::Error;
pub use identity::{Folder, Identity};
pub use membership::Member;
pub use node::{Node, World, ask_to_join, init, init_with, join, join_with};
pub use store::RaftStore;
pub use threads::Threads;
pub use vitals::Agreement;
pub use voters_clock::VotersClock;
