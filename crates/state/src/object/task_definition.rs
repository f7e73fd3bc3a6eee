//! Task definitions: what a task consists of. Immutable once registered, apart from status and tags.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerName, CpuUnits, Family, Mebibytes, Port, Protocol, Scope, Timestamp};

use super::{Described, Tags};

/// A task definition's full name: family and revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskDefinitionKey {
    /// Account and region.
    pub scope: Scope,
    /// The family.
    pub family: Family,
    /// The revision: 1 for the first, never reused.
    pub revision: u32,
}

impl TaskDefinitionKey {
    /// What a service is made from whose task sets alone say so. Its revision, 0, is no definition's.
    pub fn none(scope: &Scope) -> Self {
        Self { scope: scope.clone(), family: Family::none(), revision: 0 }
    }

    /// Whether it names no definition.
    pub fn is_none(&self) -> bool {
        self.revision == 0
    }
}

/// ECS API: TaskDefinition.status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskDefinitionStatus {
    /// May be used.
    Active,
    /// Deregistered: existing services go on using it, new ones may not.
    Inactive,
    /// Deleted: gone once nothing uses it any more.
    DeleteInProgress,
}

/// A registered task definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Family and revision.
    pub key: TaskDefinitionKey,
    /// Whether new tasks may use it.
    pub status: TaskDefinitionStatus,
    /// What was registered.
    pub spec: Arc<TaskDefinitionSpec>,
    /// Its tags.
    pub tags: Tags,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// The principal's ARN that registered it.
    pub registered_by: String,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
}

/// ECS API: NetworkMode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Docker's bridge: host ports are published.
    Bridge,
    /// The host's own network.
    Host,
    /// No network.
    None,
    /// A network namespace, an interface and an address of the task's own, which its containers share.
    Awsvpc,
}

/// ECS API: Compatibility.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compatibility {
    /// Container instances.
    Ec2,
    /// The managed pool.
    Fargate,
    /// Instances outside AWS.
    External,
}

/// What a user registers (ECS API: RegisterTaskDefinition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDefinitionSpec {
    /// The containers, in the order given.
    pub containers: Vec<ContainerDefinition>,
    /// `None` when omitted: bridge, and absent in answers.
    pub network_mode: Option<NetworkMode>,
    /// Task-level cpu, if given.
    pub cpu: Option<CpuUnits>,
    /// Task-level memory, if given.
    pub memory: Option<Mebibytes>,
    /// Launch types that the user asked to be checked for.
    pub requires_compatibilities: Vec<Compatibility>,
    /// Stored and described; without effect yet.
    pub task_role_arn: Option<String>,
    /// Stored and described; without effect yet.
    pub execution_role_arn: Option<String>,
    /// What has no effect but is described.
    pub described: Described,
}

/// One container of a task (ECS API: ContainerDefinition).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDefinition {
    /// Unique within the task definition.
    pub name: ContainerName,
    /// The image's reference.
    pub image: String,
    /// Cpu shares; 0 when not given.
    pub cpu: CpuUnits,
    /// The hard limit, if given.
    pub memory: Option<Mebibytes>,
    /// The scheduled amount, if given.
    pub memory_reservation: Option<Mebibytes>,
    /// When it stops, the task stops.
    pub essential: bool,
    /// Published ports.
    pub port_mappings: Vec<PortMapping>,
    /// Instead of the image's entry point.
    pub entry_point: Option<Vec<String>>,
    /// Instead of the image's command.
    pub command: Option<Vec<String>>,
    /// Environment variables, in the order given.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub working_directory: Option<String>,
    /// The user to run as.
    pub user: Option<String>,
    /// The container's host name.
    pub hostname: Option<String>,
    /// Labels for Docker.
    pub docker_labels: BTreeMap<String, String>,
    /// Seconds between SIGTERM and SIGKILL; ECS's default is 30.
    pub stop_timeout: Option<u32>,
    /// Mounts the root file system read-only.
    pub readonly_root_filesystem: Option<bool>,
    /// Keeps standard input open.
    pub interactive: Option<bool>,
    /// Allocates a terminal.
    pub pseudo_terminal: Option<bool>,
    /// What is kept as it was given: what only the agent sees to ([`trireme_types::capability::SETTINGS`]), and what has no effect.
    pub described: Described,
}

/// ECS API: PortMapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The port inside.
    pub container_port: Port,
    /// The port on the instance; `None` or 0 asks for a free one (bridge).
    pub host_port: Option<Port>,
    /// Tcp or udp.
    pub protocol: Protocol,
    /// A name for the port, described only.
    pub name: Option<String>,
}
