//! A control node: the one place that names every room, `raft` among them, and wires them together. No rules live here.
//!
//! Reading order: [`config`] · [`wiring`] (what runs, and on which threads) · [`rooms`] (what works by itself) · [`shutdown`] · `founding` (`server init`, `join`)
//! · `channels` (from any control node to any agent), `exec`, `logs` and `log_reader` (what goes through them) · `members` (`server leave`, `remove`, `transfer-leader`) · `identity` · `operator` (what the operator's verbs ask) · `explain` (and what of why, if and then) · `retention` (how
//! much of the history is kept) · `record` (an event as JSON) · `backup` and `recovery` (coming back after a loss) · `observer`, `relay` and `monitoring` (what the
//! controllers and the leader hear) · [`accept`] (HTTP connections) · [`metrics`] · `survival` (whether a zone could be lost) · `scaling` (the
//! hook that adds and removes machines).

pub mod accept;
mod backup;
mod channels;
mod cluster;
pub mod config;
pub mod error;
mod exec;
mod explain;
mod founding;
mod identity;
mod log_reader;
mod logs;
mod members;
pub mod metrics;
mod monitoring;
mod observer;
mod operator;
mod past;
mod record;
mod recovery;
mod relay;
mod retention;
pub mod rooms;
mod scaling;
pub mod shutdown;
mod subnets;
mod survival;
mod top;
pub mod wiring;

pub use backup::{check_backup, restore};
pub use config::{Auth, FileConfig, ServerConfig, Timing};
pub use error::Error;
pub use founding::{AccessKeyFile, CLUSTER_KEY_FILE, IDENTITY_FILE, init, join, make_folder};
pub use identity::cluster_of;
pub use members::{leave, remove, transfer_leader};
pub use recovery::{force_new_cluster, look, verify_folder};
pub use trireme_raft::backup::{Restored, Summary as BackupSummary};
pub use trireme_raft::recover::{Living, Outlook, Recovered};
pub use trireme_raft::verify::Report as VerifyReport;
pub use wiring::run;
