//! Tasks: containers that run together on one container instance. A task's status only goes forward, its placement is for
//! ever, and a restart is a new task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{
    ContainerInstanceId, ContainerName, CpuUnits, DeploymentId, Mebibytes, Port, Protocol, ServiceName,
    TaskId, Timestamp, Zone,
};

use super::{ClusterKey, ServiceKey, Tags, TaskDefinitionKey};

/// ECS API: Task.lastStatus. The order is the only direction in which a task moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Waits for what must be there before its agent may start.
    Provisioning,
    /// Placed; its agent pulls images and makes containers.
    Pending,
    /// Its containers are started.
    Activating,
    /// Its containers run.
    Running,
    /// Being taken out of service.
    Deactivating,
    /// Its containers are being stopped.
    Stopping,
    /// What belonged to it is being removed.
    Deprovisioning,
    /// Over.
    Stopped,
}

impl TaskStatus {
    /// Each status, in order.
    pub const ALL: [Self; 8] = [
        Self::Provisioning,
        Self::Pending,
        Self::Activating,
        Self::Running,
        Self::Deactivating,
        Self::Stopping,
        Self::Deprovisioning,
        Self::Stopped,
    ];

    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// ECS API: Task.desiredStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DesiredStatus {
    /// To be started and kept.
    Running,
    /// To be stopped. There is no way back.
    Stopped,
}

/// ECS API: TaskStopCode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// It never ran.
    TaskFailedToStart,
    /// An essential container ended.
    EssentialContainerExited,
    /// StopTask.
    UserInitiated,
    /// Its service no longer wants it.
    ServiceSchedulerInitiated,
    /// Its instance was lost or taken away.
    InfrastructureHealth,
}

impl StopCode {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailedToStart => "TaskFailedToStart",
            Self::EssentialContainerExited => "EssentialContainerExited",
            Self::UserInitiated => "UserInitiated",
            Self::ServiceSchedulerInitiated => "ServiceSchedulerInitiated",
            Self::InfrastructureHealth => "InfrastructureHealth",
        }
    }
}

/// Who wanted the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskOrigin {
    /// A service's deployment.
    Service {
        /// The service's name, in the task's cluster.
        name: ServiceName,
        /// The deployment.
        deployment: DeploymentId,
    },
    /// RunTask or StartTask.
    Standalone,
}

/// What a task holds on its instance from its placement until it is STOPPED.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Cpu units.
    pub cpu: CpuUnits,
    /// Memory.
    pub memory: Mebibytes,
    /// Fixed host ports.
    pub ports: Vec<(Protocol, Port)>,
}

/// ECS API: TaskOverride, as far as it has an effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOverrides {
    /// One for each container that is changed.
    pub containers: Vec<ContainerOverride>,
    /// Task-level cpu.
    pub cpu: Option<CpuUnits>,
    /// Task-level memory.
    pub memory: Option<Mebibytes>,
    /// Stored and described; without effect yet.
    pub task_role_arn: Option<String>,
    /// Stored and described; without effect yet.
    pub execution_role_arn: Option<String>,
}

/// ECS API: ContainerOverride.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOverride {
    /// Which container.
    pub name: ContainerName,
    /// Instead of the definition's command.
    pub command: Option<Vec<String>>,
    /// [`Self::variables`], and [`Self::environment_files`] beside them.
    pub environment: Vec<(String, String)>,
    /// Instead of the definition's cpu.
    pub cpu: Option<CpuUnits>,
    /// Instead of the definition's hard limit.
    pub memory: Option<Mebibytes>,
    /// Instead of the definition's reservation.
    pub memory_reservation: Option<Mebibytes>,
}

/// Where an override keeps its files of variables. No variable can have this name.
const ENVIRONMENT_FILES: &str = "=environmentFiles";

impl ContainerOverride {
    /// Added to the definition's environment; the same name replaces.
    pub fn variables(&self) -> impl Iterator<Item = &(String, String)> {
        self.environment.iter().filter(|(name, _)| name != ENVIRONMENT_FILES)
    }

    /// Instead of the definition's files, as ECS's JSON.
    pub fn environment_files(&self) -> Option<&str> {
        let held = self.environment.iter().find(|(name, _)| name == ENVIRONMENT_FILES);
        held.map(|(_, json)| json.as_str())
    }

    /// The same with these files.
    #[must_use]
    pub fn with_environment_files(mut self, json: String) -> Self {
        self.environment.retain(|(name, _)| name != ENVIRONMENT_FILES);
        self.environment.push((ENVIRONMENT_FILES.to_owned(), json));
        self
    }
}

/// ECS API: NetworkBinding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// The address on the instance.
    pub bind_ip: String,
    /// The port inside.
    pub container_port: Port,
    /// The port on the instance.
    pub host_port: Port,
    /// Tcp or udp.
    pub protocol: Protocol,
}

/// ECS API: HealthStatus, of a container with a health check. UNKNOWN is what nothing is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Its check passed.
    Healthy,
    /// Its check failed as often in a row as its definition has retries.
    Unhealthy,
}

/// What the health checks of a task's containers say.
pub type TaskHealth = BTreeMap<ContainerName, HealthStatus>;

/// What an agent says of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerReport {
    /// Which one.
    pub name: ContainerName,
    /// Docker's id, once created.
    pub runtime_id: Option<String>,
    /// The image's digest, once known.
    pub image_digest: Option<String>,
    /// Pending, running or stopped, in the task's words.
    pub status: TaskStatus,
    /// Absent if it never started.
    pub exit_code: Option<i32>,
    /// `<ErrorName>: detail`.
    pub reason: Option<String>,
    /// Published ports.
    pub network_bindings: Vec<NetworkBinding>,
}

/// When a task passed its milestones (ECS API: Task).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTimes {
    /// Placed.
    pub created_at: Timestamp,
    /// The first image pull began.
    pub pull_started_at: Option<Timestamp>,
    /// The last image pull ended.
    pub pull_stopped_at: Option<Timestamp>,
    /// It reached RUNNING.
    pub started_at: Option<Timestamp>,
    /// Its desired status became STOPPED.
    pub stopping_at: Option<Timestamp>,
    /// Its last container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// It reached STOPPED.
    pub stopped_at: Option<Timestamp>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterKey,
    /// What it is made from.
    pub definition: TaskDefinitionKey,
    /// Who wanted it.
    pub origin: TaskOrigin,
    /// Where it is, for ever.
    pub instance: ContainerInstanceId,
    /// The instance's zone.
    pub zone: Zone,
    /// What it holds there.
    pub reservation: Reservation,
    /// Changes to the definition.
    pub overrides: TaskOverrides,
    /// `family:F`, `service:NAME`, or what RunTask said.
    pub group: String,
    /// What RunTask said, or the deployment's id.
    pub started_by: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// What is wanted.
    pub desired_status: DesiredStatus,
    /// What is.
    pub last_status: TaskStatus,
    /// When.
    pub times: TaskTimes,
    /// Why it stops, in code.
    pub stop_code: Option<StopCode>,
    /// Why it stops, in words.
    pub stopped_reason: Option<String>,
    /// Its containers, in the definition's order.
    pub containers: Vec<ContainerReport>,
    /// Rises with each change (ECS API: Task.version).
    pub version: u64,
}

impl Task {
    /// The service that it belongs to.
    pub fn service(&self) -> Option<ServiceKey> {
        match &self.origin {
            TaskOrigin::Service { name, .. } => {
                Some(ServiceKey { cluster: self.cluster.clone(), name: name.clone() })
            }
            TaskOrigin::Standalone => None,
        }
    }

    /// The deployment that it belongs to.
    pub fn deployment(&self) -> Option<DeploymentId> {
        match self.origin {
            TaskOrigin::Service { deployment, .. } => Some(deployment),
            TaskOrigin::Standalone => None,
        }
    }

    /// Whether it counts toward its service: neither stopped nor to be stopped.
    pub fn wanted(&self) -> bool {
        self.desired_status == DesiredStatus::Running && self.last_status < TaskStatus::Deactivating
    }
}
