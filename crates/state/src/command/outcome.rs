//! What commands made.

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerInstanceId, DeploymentId, SessionEpoch, TaskId};

use crate::object::{ServiceKey, TaskDefinitionKey};

/// What a command made, for the answer to its caller and to each repeat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing with an id.
    #[default]
    Done,
    /// A task definition's name.
    TaskDefinition(TaskDefinitionKey),
    /// A service's name.
    Service(ServiceKey),
    /// Tasks, in the order of their placements.
    Tasks(Vec<TaskId>),
    /// An agent's session.
    Session {
        /// The instance's id.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
    },
    /// A task set of a service.
    TaskSet(ServiceKey, DeploymentId),
}

impl Outcome {
    /// What was made, for whoever asks for something else under the same token.
    pub fn resources(&self) -> Vec<String> {
        match self {
            Self::Done | Self::Session { .. } => Vec::new(),
            Self::TaskDefinition(key) => vec![format!("{}:{}", key.family, key.revision)],
            Self::Service(key) => vec![key.name.to_string()],
            Self::TaskSet(_, id) => vec![id.to_string()],
            Self::Tasks(tasks) => tasks.iter().map(ToString::to_string).collect(),
        }
    }
}
