//! Container instances: the machines, each with an agent and a container runtime.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{
    ContainerInstanceId, CpuUnits, Mebibytes, Port, Protocol, SessionEpoch, Timestamp, Zone,
};

use super::{ClusterKey, Tags};

/// ECS API: ContainerInstance.status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceStatus {
    /// Takes tasks.
    Active,
    /// Takes no more tasks; its services' tasks move away.
    Draining,
}

/// What an instance has to give.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceResources {
    /// Cpu units.
    pub cpu: CpuUnits,
    /// Memory.
    pub memory: Mebibytes,
    /// Host ports that tasks may not have.
    pub reserved_ports: Vec<(Protocol, Port)>,
}

/// What an agent says of itself when it opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRegistration {
    /// Its cluster; created when it does not exist.
    pub cluster: ClusterKey,
    /// The name that its operator gave it, such as `us-east-1a/agent-1`.
    pub name: String,
    /// Where it is.
    pub zone: Zone,
    /// What it has to give.
    pub resources: InstanceResources,
    /// ECS attributes by name; the value may be empty.
    pub attributes: BTreeMap<String, String>,
    /// The agent's version.
    pub agent_version: String,
    /// The container runtime's version.
    pub docker_version: String,
}

impl InstanceRegistration {
    /// The pool that it belongs to, if any.
    pub fn pool(&self) -> Option<&str> {
        self.attributes
            .get(trireme_types::capability::POOL)
            .map(String::as_str)
            .filter(|pool| !pool.is_empty())
    }
}

/// A container instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// Its id.
    pub id: ContainerInstanceId,
    /// What its agent last said of itself.
    pub registration: InstanceRegistration,
    /// What its operator asked for.
    pub status: InstanceStatus,
    /// Whether its agent is heard (ECS API: agentConnected).
    pub connected: bool,
    /// Anything that comes under a lower epoch is refused.
    pub epoch: SessionEpoch,
    /// Its tags.
    pub tags: Tags,
    /// When it first registered.
    pub registered_at: Timestamp,
    /// When its agent opened the session of this epoch. Node health counts silence from here at the earliest.
    pub session_opened_at: Timestamp,
    /// Rises with each change (ECS API: ContainerInstance.version).
    pub version: u64,
}
