//! What agents say of tasks, and the service controller of services.

use serde::{Deserialize, Serialize};
use trireme_types::{DeploymentId, TaskId, Timestamp};

use crate::object::{
    BackOff, ContainerReport, FailureCause, Images, LifecycleStage, RolloutState, StopCode, Task,
    TaskFailures, TaskHealth, TaskStatus,
};

/// What an agent says of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// Which one.
    pub task: TaskId,
    /// Its status now.
    pub status: TaskStatus,
    /// Its containers.
    pub containers: Vec<ContainerReport>,
    /// Why it stops, in code, when the agent is the one to know.
    pub stop_code: Option<StopCode>,
    /// Why it stops, in words.
    pub stopped_reason: Option<String>,
    /// The first image pull began.
    pub pull_started_at: Option<Timestamp>,
    /// The last image pull ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// Its last container ended.
    pub execution_stopped_at: Option<Timestamp>,
}

impl TaskReport {
    /// That a task and all its containers are there by now: what stand-ins for agents say.
    pub fn of(task: &Task, status: TaskStatus, stop_code: Option<StopCode>) -> Self {
        let mut containers = task.containers.clone();
        containers.iter_mut().for_each(|container| container.status = status);
        Self {
            task: task.id,
            status,
            containers,
            stop_code,
            stopped_reason: None,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
        }
    }
}

/// What the health checks of one task say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskHealthReport {
    /// Which one.
    pub task: TaskId,
    /// Of each container of which something is known.
    pub health: TaskHealth,
}

/// What the images of one task's containers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskImages {
    /// Which one.
    pub task: TaskId,
    /// Of each container that waits for its pin.
    pub images: Images,
}

/// What the service controller says of a service's progress. Each part is optional; all of it is one atomic step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceProgress {
    /// Deployments whose rollout state changes.
    pub rollouts: Vec<(DeploymentId, RolloutState)>,
    /// Old deployments without tasks, to be removed.
    pub retired: Vec<DeploymentId>,
    /// Deployments that begin, extend or (`None`) end a back-off, with their failed tasks so far.
    pub back_offs: Vec<(DeploymentId, Option<BackOff>, u32)>,
    /// Event texts, the oldest first.
    pub events: Vec<String>,
    /// Whether the service is in a steady state now, if that changes.
    pub steady: Option<bool>,
    /// The service was draining and its tasks are gone.
    pub inactive: bool,
}

/// What the service controller says of the life of a service's primary deployment. Hooks that are out of time are dealt with in any
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleProgress {
    /// Which one.
    pub deployment: DeploymentId,
    /// Its tasks that failed, if that changes.
    pub failures: Option<TaskFailures>,
    /// The stage that it enters.
    pub stage: Option<LifecycleStage>,
    /// Why it fails, if it does.
    pub failed: Option<FailureCause>,
}

/// What the service controller says of one task set's progress. All that it says of a service's sets is one atomic step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSetProgress {
    /// Which one.
    pub id: DeploymentId,
    /// A back-off that begins, goes on or (`None`) ends, with the set's failed tasks so far.
    pub back_off: Option<(Option<BackOff>, u32)>,
    /// Whether it is in a steady state now, if that changes.
    pub steady: Option<bool>,
    /// It was draining and its tasks are gone.
    pub gone: bool,
    /// Event texts, the oldest first.
    pub events: Vec<String>,
}
