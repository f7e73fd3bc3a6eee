//! A load of API writes that remembers what was acknowledged, what is unknown, and when.
//!
//! Reading order: [`door`] (one address for all control nodes) · [`api`] (AWS's SDK behind it) · [`record`] (what a call came
//! to) · [`writers`] (the load) · [`registers`] (reads and writes of the same few things, for linearizability).

pub mod api;
pub mod door;
pub mod pour;
pub mod record;
pub mod registers;
pub mod writers;

pub use record::{Kind, Outcome, Record};
pub use registers::Registers;
pub use writers::Load;
