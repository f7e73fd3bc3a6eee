//! Node kill under load: what dies, dies in turn and then at random, under a load of writes and a running service; and the same
//! deaths happen to Docker Swarm, on the same machine, engines and network.
//!
//! What is only a process is started again after 3 s, as a supervisor would; a zone comes back once its tasks run elsewhere, or
//! after a minute; two zones, which take the quorum with them, after 10 s.
//!
//! Reading order: [`plan`] (what dies, in which order) · [`side`] (what both sides can do) · [`trireme`] · [`swarm`] ·
//! [`measure`] (one death) · [`compare`] (the ratios, and what they
//! do not say).

pub mod compare;
pub mod measure;
pub mod plan;
pub mod side;
pub mod swarm;
pub mod trireme;

pub use measure::Death;
pub use plan::Victim;
