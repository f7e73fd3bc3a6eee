//! Tasks to be started, and where: on which machines, and in which subnets; and commands in their containers.

use serde::{Deserialize, Serialize};
use trireme_types::{Cidr, ContainerInstanceId, ContainerName, Scope, SessionEpoch, SubnetId, TaskId, Zone};

use crate::object::{ClusterKey, Tags, TaskDefinitionKey, TaskOverrides};

/// Where a task is to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The instance.
    pub instance: ContainerInstanceId,
    /// The instance's epoch that the placer saw; another one makes the command stale.
    pub epoch: SessionEpoch,
}

/// What a standalone task is made from (ECS API: RunTask, StartTask).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTasks {
    /// The cluster.
    pub cluster: ClusterKey,
    /// The definition.
    pub definition: TaskDefinitionKey,
    /// Changes to the definition.
    pub overrides: TaskOverrides,
    /// `None`: `family:F`.
    pub group: Option<String>,
    /// The caller's own mark.
    pub started_by: Option<String>,
    /// Tags of the tasks.
    pub tags: Tags,
    /// One for each task.
    pub placements: Vec<Placement>,
}

/// A command that someone runs in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartCommand {
    /// Its number, drawn at random.
    pub execution: u128,
    /// The task.
    pub task: TaskId,
    /// The container.
    pub container: ContainerName,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Who, as the caller says.
    pub by: String,
    /// Though the task does not allow it.
    pub forced: bool,
}

/// A command in a container is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndCommand {
    /// Its number.
    pub execution: u128,
    /// The task.
    pub task: TaskId,
    /// The container.
    pub container: ContainerName,
    /// Its exit code, if anybody knows.
    pub exit_code: Option<i32>,
    /// Why, when there is more to say.
    pub reason: String,
}

/// A subnet to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSubnet {
    /// Its id, which the caller chose or drew.
    pub id: SubnetId,
    /// Account and region.
    pub scope: Scope,
    /// The zone whose tasks are in it.
    pub zone: Zone,
    /// Its addresses.
    pub cidr: Cidr,
    /// The range whose tasks reach each other; `None`: that of the subnets which are there, if it is in there, else the /16 around it.
    pub network: Option<Cidr>,
}
