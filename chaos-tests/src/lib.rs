//! Faults against real processes, AWS's SDK as the client, real Docker where containers matter.
//!
//! Two kinds of clusters. The tests `cluster_*` start `trireme dev` and need no rights. What cuts links, fills disks and kills
//! zones needs root and a laboratory of network namespaces:
//!
//! ```text
//! make chaos                          every scenario; the report's place is printed at the end
//! make chaos SCENARIO=zone-cut        one of them, by name or number; several with commas
//! make chaos SEED=7                   the same choices of zones and orders again
//! make chaos-kill MINUTES=10          kill everything in turn and at random, and Docker Swarm beside it
//! ```
//!
//! A scenario that cannot install its fault is skipped with the reason, never passed; a run in which nothing was installed
//! fails.
//!
//! Reading order: [`ecs`] (the client) · [`writer`] (a stream of writes that remembers what was acknowledged) · [`docker`] (what
//! the engine says) · [`processes`] (what the kernel says) · [`metrics`] (what Prometheus reads): for `cluster_*`, a file for
//! each story in `tests/`. [`lab`] (the laboratory) · [`load`] (writes through any node) · [`history`] (the event stream) ·
//! [`watch`] (who leads, what runs) · [`containers`] · [`slow`] (latency) · [`invariant`] (what must hold) · [`scenario`] (the
//! faults) · [`run`] (one scenario from beginning to end) · [`busy`] (the machine without us) · [`verdict`] · [`report`] ·
//! [`program`]: for the laboratory.

pub mod busy;
pub mod containers;
pub mod docker;
pub mod ecs;
pub mod history;
pub mod invariant;
pub mod kill;
pub mod lab;
pub mod load;
pub mod metrics;
pub mod processes;
pub mod program;
pub mod report;
pub mod run;
pub mod scenario;
pub mod slow;
pub mod verdict;
pub mod watch;
pub mod writer;
