//! Consensus: openraft and RocksDB behind the state's [`Store`](trireme_state::store::Store), and the history.
//! The one room that knows either.

pub mod batch;
pub mod clock;
pub mod config;
pub mod decider;
pub mod error;
pub mod history;
pub mod log;
pub mod machine;
pub mod membership;
pub mod network;
pub mod snapshot;
pub mod storage;
mod wire;

pub use config::Settings;
pub use error::Error;
