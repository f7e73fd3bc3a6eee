//! Explanations: why a task is where it is, why it stopped, and why a service's tasks are not there. Read off a state, present or past, by
//! the same questions that place tasks.
//!
//! Reading order: [`nodes`] (what each machine says to a task) · [`task`] · [`service`].

pub mod nodes;
pub mod service;
pub mod task;

pub use service::{Cause, Missing, ServiceAnswer};
