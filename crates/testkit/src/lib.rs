//! For tests: waiting with a limit, and whole development clusters.
//!
//! Reading order: [`wait`] (`wait_for`: no test sleeps for luck) · [`cluster`] (a `trireme dev` that ends with its test) ·
//! [`linear`] (whether what clients saw is linearizable) · [`socket`] (a Docker Engine that is slow, hangs or fails) · [`proc`] (a process with
//! a log) · [`engine`] (a Docker Engine of one's own) · [`docker_api`] (its API) ·
//! [`registry`] (a registry of images, and a way to it that can be disturbed).

pub mod cluster;
pub mod docker_api;
pub mod engine;
pub mod linear;
pub mod proc;
pub mod registry;
pub mod socket;
pub mod wait;

pub use cluster::{DevCluster, Options};
pub use wait::{Waited, hold, try_wait, wait_for};
