//! The operator's verbs: what they ask of control nodes, and how they print it.
//!
//! Reading order: [`cluster_file`] (what `trireme dev` writes down about its cluster) · [`target`] (which control nodes a
//! verb talks to) · [`client`] (asking them) · [`report`] (their answers in one) · [`status`] · [`wait`] · [`events`] · [`exec`] · [`logs`] ·
//! [`retention`] · [`cluster`] · [`subnet`] · [`backup`] · [`verify`] ·
//! [`output`] (tables and JSON) · [`duration`] (times in arguments).

pub mod backup;
pub mod client;
pub mod cluster;
pub mod cluster_file;
pub mod duration;
pub mod error;
pub mod events;
pub mod exec;
pub mod logs;
pub mod output;
pub mod report;
pub mod retention;
pub mod status;
pub mod subnet;
pub mod target;
pub mod verify;
pub mod wait;

pub use error::Error;
