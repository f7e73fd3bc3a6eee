//! How deployments of services go, beyond how far they are.

use serde::{Deserialize, Serialize};
use trireme_types::DeploymentId;

use crate::object::{
    FailureCause, HookStatus, LifecycleHook, LifecycleStage, ServiceDeploymentStatus, ServiceKey,
    TaskFailures,
};

/// What happened to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentEvent {
    /// It is in another stage of its life.
    LifecycleStageEntered {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// The stage.
        stage: LifecycleStage,
        /// What waits there.
        hooks: Vec<LifecycleHook>,
    },
    /// Something does not wait any more.
    LifecycleHookEnded {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// The hook.
        hook: u128,
        /// What became of it.
        status: HookStatus,
    },
    /// So many of its tasks have failed.
    TaskFailuresCounted {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// How many, and up to where they are counted.
        failures: TaskFailures,
    },
    /// It has failed, and starts nothing more.
    DeploymentFailed {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// Why.
        cause: FailureCause,
        /// What its record comes to, and why, for people; nothing when a rollback says that.
        record: Option<(ServiceDeploymentStatus, String)>,
    },
}
