//! The operator's verbs: what they ask of control nodes, and how they print it.
//!
//! Reading order: [`cluster_file`] (what `trireme dev` writes down about its cluster) · [`target`] (which control nodes a
//! verb talks to) · [`client`] (asking them) · [`report`] (their answers in one) · [`status`] · [`wait`] · [`events`] · [`exec`] · [`logs`] ·
//! [`top`] · [`retention`] · [`cluster`] · [`subnet`] · [`backup`] · [`verify`] · [`explainer`] (asking why, what if and what was) · [`explain`] · [`forecast`] (how forecasts are shown) ·
//! [`plan`] · [`drain`] · [`whatif`] · [`at`] · [`diff`] ·
//! [`output`] (tables and JSON) · [`duration`] (times in arguments).

pub mod at;
pub mod backup;
pub mod client;
pub mod cluster;
pub mod cluster_file;
pub mod diff;
pub mod drain;
pub mod duration;
pub mod error;
pub mod events;
pub mod exec;
pub mod explain;
pub mod explainer;
pub mod forecast;
pub mod logs;
pub mod output;
pub mod plan;
pub mod report;
pub mod retention;
pub mod status;
pub mod subnet;
pub mod target;
pub mod top;
pub mod verify;
pub mod wait;
pub mod whatif;

pub use error::Error;
