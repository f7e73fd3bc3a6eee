//! Why a command is refused. Nothing has changed then. `ecs-api` turns these into ECS's errors.

use serde::{Deserialize, Serialize};

use crate::FeatureLevel;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// No active cluster of that name.
    #[error("cluster not found")]
    ClusterNotFound,
    /// DeleteCluster: active services are in it.
    #[error("the cluster still has services")]
    ClusterContainsServices,
    /// DeleteCluster: tasks are in it.
    #[error("the cluster still has tasks")]
    ClusterContainsTasks,
    /// DeleteCluster: container instances are in it.
    #[error("the cluster still has container instances")]
    ClusterContainsContainerInstances,
    /// No such task definition.
    #[error("task definition not found")]
    TaskDefinitionNotFound,
    /// It is deregistered.
    #[error("task definition is inactive")]
    TaskDefinitionInactive,
    /// No such service.
    #[error("service not found")]
    ServiceNotFound,
    /// It is draining or inactive.
    #[error("service is not active")]
    ServiceNotActive,
    /// CreateService: one of that name is active, and differs.
    #[error("creation of service was not idempotent")]
    ServiceExists,
    /// CreateService: one of that name is draining.
    #[error("a service of that name is still draining")]
    ServiceDraining,
    /// DeleteService without force.
    #[error("the service is scaled above 0")]
    ServiceScaledAboveZero,
    /// No such task in that cluster.
    #[error("task not found")]
    TaskNotFound,
    /// No such container instance in that cluster.
    #[error("container instance not found")]
    ContainerInstanceNotFound,
    /// DeregisterContainerInstance without force.
    #[error("tasks still run on the container instance")]
    ContainerInstanceBusy,
    /// What may be tagged is not there.
    #[error("resource not found")]
    ResourceNotFound,
    /// The same client token with other parameters.
    #[error("the client token was used with other parameters")]
    IdempotencyConflict {
        /// ARNs or ids of what the first call made.
        resources: Vec<String>,
    },
    /// The state moved on since the command's author looked. Look again, then try again.
    #[error("{what} has changed since")]
    Stale {
        /// What changed.
        what: String,
    },
    /// An agent speaks under an epoch that is over. It must open a new session.
    #[error("the session's epoch is over")]
    StaleEpoch,
    /// A limit of the state.
    #[error("limit exceeded: {what} (at most {limit})")]
    LimitExceeded {
        /// What there would be too many of.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// It would write what some control node cannot read yet.
    #[error("this needs feature level {needed}, and the cluster is at {level}: upgrade every control node")]
    FeatureLevel {
        /// What it needs.
        needed: FeatureLevel,
        /// What every node supports.
        level: FeatureLevel,
    },
    /// A control node's disk is nearly full: nothing may make the state larger.
    #[error(
        "the disk of control node {node} has only {free_mib} MiB free; nothing new is taken until there is more"
    )]
    DiskFull {
        /// Which node.
        node: u64,
        /// What is free there.
        free_mib: u64,
    },
    /// A parameter that only the state can judge.
    #[error("{message}")]
    Invalid {
        /// What to do about it.
        message: String,
    },
    /// Deciding or applying panicked, or an invariant failed. Nothing was logged. This is a defect.
    #[error("internal error while deciding: {message}")]
    Defect {
        /// What failed.
        message: String,
    },
    /// No such capacity provider.
    #[error("capacity provider not found")]
    CapacityProviderNotFound,
    /// CreateCapacityProvider: one of that name is there, and differs.
    #[error("a capacity provider of that name is there already")]
    CapacityProviderExists,
    /// DeleteCapacityProvider: a cluster names it.
    #[error("cluster {cluster} still uses the capacity provider")]
    CapacityProviderInUse {
        /// The first of them.
        cluster: String,
    },
    /// PutClusterCapacityProviders: something of the cluster is launched by a provider that would go.
    #[error("services or tasks of the cluster still use capacity provider {provider}")]
    CapacityProviderHasTasks {
        /// The first of them.
        provider: String,
    },
    /// DeleteTaskDefinitions: it must be deregistered before.
    #[error("task definition is still active")]
    TaskDefinitionActive,
    /// UpdateTaskProtection: the task belongs to no service.
    #[error("the task belongs to no service")]
    TaskNotOfService,
    /// PutAttributes: an instance has as many custom attributes as it may.
    #[error("a container instance can have at most {limit} custom attributes")]
    AttributeLimitExceeded {
        /// The limit.
        limit: u64,
    },
    /// No record of such a deployment.
    #[error("service deployment not found")]
    ServiceDeploymentNotFound,
    /// StopServiceDeployment: it is not under way.
    #[error("the service deployment is over")]
    ServiceDeploymentOver,
    /// StopServiceDeployment: no deployment of the service has ever succeeded.
    #[error("there is no successful deployment to go back to")]
    NothingToRollBackTo,
    /// ContinueServiceDeployment: it does not wait at such a hook.
    #[error("the service deployment does not wait at a lifecycle hook {hook}")]
    DeploymentDoesNotWait {
        /// The hook.
        hook: String,
    },
    /// The service has no such task set.
    #[error("task set not found")]
    TaskSetNotFound,
    /// The service's deployments are not task sets.
    #[error("the service's deployment controller is not EXTERNAL")]
    ServiceHasNoTaskSets,
    /// UpdateService: what its task sets say is not the service's to change.
    #[error("the service's deployment controller is EXTERNAL")]
    ServiceHasTaskSets,
    /// DeleteTaskSet without force.
    #[error("the task set is scaled above 0")]
    TaskSetScaledAboveZero,
    /// It is being deleted.
    #[error("the task set is draining")]
    TaskSetDraining,
    /// DeleteTaskSet without force.
    #[error("the task set is primary")]
    PrimaryTaskSet,
    /// No such log group.
    #[error("the specified log group does not exist")]
    LogGroupNotFound,
    /// CreateLogGroup: one of that name is there.
    #[error("the specified log group already exists")]
    LogGroupExists,
    /// No such schedule, group or rule.
    #[error("{what} does not exist")]
    ScheduleNotFound {
        /// Which one.
        what: String,
    },
    /// One of that name is there.
    #[error("{what} already exists")]
    ScheduleExists {
        /// Which one.
        what: String,
    },
    /// No such subnet in that account and region.
    #[error("there is no subnet {subnet}")]
    SubnetNotFound {
        /// Its id.
        subnet: String,
    },
    /// Application Auto Scaling API: no such object.
    #[error("there is no {what}")]
    ScalingObjectNotFound {
        /// What, with its name.
        what: String,
    },
    /// No such alarm.
    #[error("there is no such alarm")]
    AlarmNotFound,
    /// CreateCapacityProvider: another one has that Auto Scaling group.
    #[error("another capacity provider has that Auto Scaling group")]
    CapacityProviderGroupInUse,
}
