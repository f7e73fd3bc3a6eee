//! Consensus: openraft and RocksDB behind the state's [`Store`](trireme_state::store::Store), and the history.
//! The one room that knows either.

pub mod batch;
pub mod clock;
pub mod config;
pub mod control;
pub mod decider;
pub mod error;
pub mod history;
pub mod identity;
pub mod log;
pub mod machine;
pub mod membership;
pub mod network;
pub mod node;
mod read;
pub mod snapshot;
pub mod storage;
pub mod store;
mod upkeep;
mod wire;

pub use config::Settings;
pub use control::{HeartbeatSink, RelayedHeartbeat};
pub use error::Error;
pub use identity::{Folder, Identity};
pub use membership::Member;
pub use node::{Node, Threads, World, init, join};
pub use store::RaftStore;
