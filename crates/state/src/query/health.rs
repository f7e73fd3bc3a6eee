//! What the health checks of a task's containers come to (ECS API: Task.healthStatus).

use crate::State;
use crate::object::{HealthStatus, Task, TaskDefinition, TaskHealth};

/// The member of a container that is its health check.
const HEALTH_CHECK: &str = "healthCheck";

/// What a task's essential containers with a health check say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// One of them has said nothing yet, and none says that it is unhealthy.
    Unknown,
    /// All of them are healthy.
    Healthy,
    /// One of them is not.
    Unhealthy,
}

/// The same of a task that is made from `definition`; `None` when no essential container has a health check.
pub fn checked(health: &TaskHealth, task: &Task, definition: &TaskDefinition) -> Option<Checked> {
    let mut all = None;
    for container in &definition.spec.containers {
        let there = task.containers.iter().any(|report| report.name == container.name);
        if !container.essential || !there || !container.described.contains_key(HEALTH_CHECK) {
            continue;
        }
        all = Some(match (health.get(&container.name), all) {
            (Some(HealthStatus::Unhealthy), _) => return Some(Checked::Unhealthy),
            (None, _) | (_, Some(Checked::Unknown)) => Checked::Unknown,
            (Some(HealthStatus::Healthy), _) => Checked::Healthy,
        });
    }
    all
}

impl State {
    /// What the health checks of a task come to; `None` when it has none.
    pub fn checked(&self, task: &Task) -> Option<Checked> {
        let definition = self.task_definition(&task.definition)?;
        checked(&self.task_health(task.id), task, definition)
    }
}
