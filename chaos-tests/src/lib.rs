//! Faults against real processes: whole development clusters, AWS's SDK as the client, real Docker where containers matter.
//!
//! Reading order: [`ecs`] (the client) · [`writer`] (a stream of writes that remembers what was acknowledged) · [`docker`] (what the
//! engine says) · [`processes`] (what the kernel says) · [`metrics`] (what Prometheus reads). The tests are in `tests/`, a file for each story.

pub mod docker;
pub mod ecs;
pub mod metrics;
pub mod processes;
pub mod writer;
