//! A control node: the one place that names every room, `raft` among them, and wires them together. No rules live here.
//!
//! Reading order: [`config`] · [`wiring`] (what runs, and on which threads) · [`rooms`] (what works by itself) · [`shutdown`] · `founding` (`server init`, `join`)
//! · `members` (`server leave`, `remove`, `transfer-leader`) · `identity` · `operator` (what the operator's verbs ask) · `retention` (how
//! much of the history is kept) · `record` (an event as JSON) · `observer` and `relay` (what the
//! controllers and the leader hear) · [`accept`] (HTTP connections) · [`metrics`].

pub mod accept;
pub mod config;
pub mod error;
mod founding;
mod identity;
mod members;
pub mod metrics;
mod observer;
mod operator;
mod record;
mod relay;
mod retention;
pub mod rooms;
pub mod shutdown;
pub mod wiring;

pub use config::{Auth, FileConfig, ServerConfig, Timing};
pub use error::Error;
pub use founding::{AccessKeyFile, CLUSTER_KEY_FILE, IDENTITY_FILE, init, join};
pub use identity::cluster_of;
pub use members::{leave, remove, transfer_leader};
pub use wiring::run;
