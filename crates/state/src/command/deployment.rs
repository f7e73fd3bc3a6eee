//! What moves a service's deployments: its controller, and what its user says at a hook.

use serde::{Deserialize, Serialize};
use trireme_types::DeploymentId;

use super::{LifecycleProgress, ServiceProgress};
use crate::object::{HookAction, ServiceKey};

/// How far a service's deployments are, and how the primary one goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDeployment {
    /// The service.
    pub service: ServiceKey,
    /// The version that the plan saw.
    pub version: u64,
    /// What is new of all of them.
    pub progress: ServiceProgress,
    /// What is new of the primary one.
    pub lifecycle: LifecycleProgress,
}

/// What a deployment that waits is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinueDeployment {
    /// The service.
    pub service: ServiceKey,
    /// Which one.
    pub deployment: DeploymentId,
    /// The hook at which it waits, by its name.
    pub hook: String,
    /// What it is to do.
    pub action: HookAction,
}
