//! When a task counts as healthy. With a health check: when that says so. Without: once it has been RUNNING for a while; one that just
//! started has shown nothing yet, and may exit the next moment (ECS API: DeploymentConfiguration.minimumHealthyPercent).

use std::time::Duration;

use trireme_state::State;
use trireme_state::object::{Service, StopCode, Task, TaskStatus};
use trireme_state::query::Checked;
use trireme_types::Timestamp;

use super::text;

/// How tasks are judged, and what time it is.
#[derive(Clone, Copy)]
pub struct Health<'a> {
    /// Where health checks report to.
    pub view: &'a State,
    /// RUNNING for this long is healthy, for a task without a health check.
    pub after: Duration,
    /// The instant of this pass.
    pub now: Timestamp,
    /// So long after a task's start it does not matter what its checks say (ECS API: healthCheckGracePeriodSeconds).
    pub grace: Duration,
}

impl<'a> Health<'a> {
    /// The same for tasks of this service.
    #[must_use]
    pub fn of_service(self, service: &Service) -> Self {
        let seconds = service.spec.health_check_grace_period_seconds.unwrap_or(0);
        Self { grace: Duration::from_secs(u64::from(seconds)), ..self }
    }

    /// When a task has shown that it works; in the past or to come. `None` if it did not, or if it ends earlier. Of a task with a health
    /// check nobody wrote down when it passed: it is as good as from its start.
    pub fn proven_at(&self, task: &Task) -> Option<Timestamp> {
        let started_at = task.times.started_at?;
        if let Some(checked) = self.view.checked(task) {
            return (checked == Checked::Healthy).then_some(started_at);
        }
        let at = started_at.plus(self.after);
        let end = task.times.stopping_at.or(task.times.stopped_at);
        end.is_none_or(|end| at <= end).then_some(at)
    }

    /// The same, if that has come by now.
    pub fn proven(&self, task: &Task) -> Option<Timestamp> {
        self.proven_at(task).filter(|at| *at <= self.now)
    }

    /// Whether a task runs, and has shown that it works.
    pub fn is_healthy(&self, task: &Task) -> bool {
        task.last_status == TaskStatus::Running && self.proven(task).is_some()
    }

    /// From when on a running task that its health check calls unhealthy is to be replaced; `None` of all others.
    pub fn sick_from(&self, task: &Task) -> Option<Timestamp> {
        let runs = task.last_status == TaskStatus::Running;
        let unhealthy = runs && self.view.checked(task) == Some(Checked::Unhealthy);
        unhealthy.then(|| task.times.started_at.unwrap_or_default().plus(self.grace))
    }

    /// Whether it is to be replaced now.
    pub fn is_sick(&self, task: &Task) -> bool {
        self.sick_from(task).is_some_and(|from| from <= self.now)
    }

    /// Until when a task may not be stopped for fewer or for newer ones (ECS API: UpdateTaskProtection).
    pub fn protected_until(&self, task: &Task) -> Option<Timestamp> {
        self.view.task_protection(task.id, self.now)
    }
}

/// Whether a task was stopped because its health check said that it is unhealthy.
pub fn failed_checks(task: &Task) -> bool {
    task.stop_code == Some(StopCode::ServiceSchedulerInitiated)
        && task.stopped_reason.as_deref() == Some(text::HEALTH_CHECKS_FAILED)
}
