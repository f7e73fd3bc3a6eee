//! When a task counts as healthy: once it has been RUNNING for a while. One that just started has shown nothing yet; it may
//! exit the next moment.

use std::time::Duration;

use trireme_state::object::{Task, TaskStatus};
use trireme_types::Timestamp;

/// How long a task runs before it counts as healthy, and what time it is. Health checks will have their say here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// RUNNING for this long is healthy.
    pub after: Duration,
    /// The instant of this pass.
    pub now: Timestamp,
}

impl Health {
    /// When a task has run long enough; in the past or to come. `None` if it did not or does not run, or if it ends earlier.
    pub fn proven_at(&self, task: &Task) -> Option<Timestamp> {
        let at = task.times.started_at?.plus(self.after);
        let end = task.times.stopping_at.or(task.times.stopped_at);
        end.is_none_or(|end| at <= end).then_some(at)
    }

    /// The same, if that has come by now.
    pub fn proven(&self, task: &Task) -> Option<Timestamp> {
        self.proven_at(task).filter(|at| *at <= self.now)
    }

    /// Whether a task runs, and has done so for long enough.
    pub fn is_healthy(&self, task: &Task) -> bool {
        task.last_status == TaskStatus::Running && self.proven(task).is_some()
    }
}
