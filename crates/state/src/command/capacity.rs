//! Commands about where tasks run, what waits for a machine, and how large pools are to be.

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerInstanceId, DeploymentId, TaskId};

use super::{Command, Growth, Placement};
use crate::object::{CapacityProviderKey, Launch, ServiceKey};

/// What is asked about capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityCommand {
    /// ECS API: RunTask, on the managed pool or by a strategy: whatever command runs tasks.
    RunTasks {
        /// What runs them. It has no placement when all tasks wait.
        run: Box<Command>,
        /// On what, one for each placement.
        launches: Vec<Launch>,
        /// What waits for a machine beside them, one for each task.
        waiting: Vec<Launch>,
        /// Whether commands may be run in those that wait.
        allows_commands: bool,
    },
    /// Service controller: start tasks of a deployment on the managed pool or a provider's.
    StartServiceTasks {
        /// The service.
        service: ServiceKey,
        /// The version that the plan saw.
        version: u64,
        /// The deployment that they belong to.
        deployment: DeploymentId,
        /// One for each task.
        placements: Vec<Placement>,
        /// On what.
        launch: Launch,
    },
    /// Capacity controller: a task that waits has a machine.
    PlaceWaitingRun {
        /// Its id.
        task: TaskId,
        /// The machine.
        placement: Placement,
    },
    /// Capacity controller: tasks have waited for too long.
    GiveUpWaitingRuns {
        /// Their ids.
        tasks: Vec<TaskId>,
        /// Shown as stoppedReason.
        reason: String,
    },
    /// Reaper: forget tasks that waited in vain, long ago. Those that wait still are left.
    ForgetWaitingRuns {
        /// Their ids.
        tasks: Vec<TaskId>,
    },
    /// Capacity controller: the size that a pool is to have.
    SizePool {
        /// The capacity provider.
        key: CapacityProviderKey,
        /// The decision that the plan saw; another one makes the command stale. 0: none.
        seen: u128,
        /// How many machines there are to be.
        wanted: u32,
        /// Those that are to go.
        leaving: Vec<ContainerInstanceId>,
        /// Whether there are more machines than are needed.
        idle: bool,
        /// Why, for people.
        reason: String,
    },
}

impl CapacityCommand {
    /// What room it takes in the state.
    pub(super) fn growth(&self) -> Growth {
        match self {
            Self::RunTasks { .. } => Growth::Asked,
            Self::StartServiceTasks { .. } | Self::PlaceWaitingRun { .. } => Growth::Kept,
            Self::GiveUpWaitingRuns { .. } | Self::ForgetWaitingRuns { .. } | Self::SizePool { .. } => {
                Growth::None
            }
        }
    }
}
