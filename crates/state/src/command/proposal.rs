//! A command with its sender, what makes a repeat of it a repeat, and what tags are given to.

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerInstanceId, DeploymentId, RequestId, TaskId};

use super::Command;
use crate::object::{CapacityProviderKey, ClusterKey, ServiceKey, TaskDefinitionKey};

/// On whose behalf a command comes. Stored with each entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// An API caller, by the principal's ARN.
    Principal(String),
    /// A controller, by its name.
    Controller(String),
    /// An agent.
    Agent(ContainerInstanceId),
    /// An operator at a control node.
    Operator,
}

impl Actor {
    /// The actor's kind and name, as the history's hash covers them. Frozen: other numbers are other hashes.
    pub(crate) fn parts(&self) -> (u8, String) {
        match self {
            Self::Principal(arn) => (1, arn.clone()),
            Self::Controller(name) => (2, name.clone()),
            Self::Agent(instance) => (3, instance.to_string()),
            Self::Operator => (4, String::new()),
        }
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Principal(arn) => f.write_str(arn),
            Self::Controller(name) => write!(f, "controller/{name}"),
            Self::Agent(instance) => write!(f, "agent/{instance}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}

/// What makes a repeated API write one write: the same key with the same parameters has one effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The caller.
    pub principal: String,
    /// The API operation.
    pub operation: String,
    /// The client token, the SDK's invocation id, or the request id.
    pub token: String,
    /// Whether `token` is a client token, which lives as long as what it made.
    pub is_client_token: bool,
    /// SHA-256 of the parameters.
    pub parameters: [u8; 32],
}

/// A command with its sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// On whose behalf.
    pub actor: Actor,
    /// The call that caused it; constant over retries.
    pub request_id: RequestId,
    /// For API writes only; versions protect the others.
    pub key: Option<IdempotencyKey>,
    /// What is wanted.
    pub command: Command,
}

/// What may carry tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaggedResource {
    /// A cluster.
    Cluster(ClusterKey),
    /// A service.
    Service(ServiceKey),
    /// A task.
    Task(TaskId),
    /// A container instance.
    ContainerInstance(ContainerInstanceId),
    /// A task definition.
    TaskDefinition(TaskDefinitionKey),
    /// A capacity provider.
    CapacityProvider(CapacityProviderKey),
    /// A task set of a service.
    TaskSet(ServiceKey, DeploymentId),
}
