//! Figures of Trireme beside others' on the same machine, in the same run, in turn.
//!
//! [`beside_etcd`]: the core beside etcd's (`bench-core`) · [`launch`]: the start of tasks beside Docker's own and Swarm's
//! (`bench-launch`) · [`fleet`]: thousands of simulated agents (`bench-fleet`).

pub mod beside_etcd;
pub mod fleet;
pub mod launch;

mod api;
mod processes;
mod trireme;

/// The middle one; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
