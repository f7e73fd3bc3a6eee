//! Services: so many tasks of a definition, kept running. A deployment is one way of running them.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use trireme_types::{DeploymentId, ServiceName, Timestamp};

use super::{
    CAPACITY_STRATEGY, ClusterKey, Described, LAUNCH_TYPE, NETWORK_CONFIGURATION, Tags, TaskDefinitionKey,
};

/// A service's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Its cluster.
    pub cluster: ClusterKey,
    /// The name within it.
    pub name: ServiceName,
}

/// ECS API: Service.status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    /// Keeps its tasks running.
    Active,
    /// Deleted; its tasks are stopping.
    Draining,
    /// Deleted, and its tasks are gone. Still described.
    Inactive,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its full name.
    pub key: ServiceKey,
    /// What the user asked for.
    pub spec: ServiceSpec,
    /// Where it is in its life.
    pub status: ServiceStatus,
    /// The primary first, then older ones that still have tasks. Empty once inactive, and for a service with task sets.
    pub deployments: Vec<Deployment>,
    /// The newest first; at most 100 (ECS API: Service.events).
    pub events: Vector<ServiceEvent>,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created_at: Timestamp,
    /// The principal's ARN that created it.
    pub created_by: String,
    /// Rises with each change of the service itself (not of its tasks). Commands name the version that they saw.
    pub version: u64,
    /// The last thing said of it was "has reached a steady state".
    pub steady: bool,
}

/// What a user asks of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// What its tasks are made from. Of a service with task sets: what the primary one's are made from, and
    /// [`TaskDefinitionKey::none`] while there is none.
    pub task_definition: TaskDefinitionKey,
    /// How many tasks.
    pub desired_count: u32,
    /// The limits of a rolling update.
    pub deployment_configuration: DeploymentConfiguration,
    /// Where tags of new tasks come from.
    pub propagate_tags: PropagateTags,
    /// Whether tasks get `aws:ecs:` tags.
    pub enable_ecs_managed_tags: bool,
    /// Stored and described; health checks come later.
    pub health_check_grace_period_seconds: Option<u32>,
    /// Stored and described; without effect yet.
    pub role_arn: Option<String>,
    /// What has no effect but is described.
    pub described: Described,
}

/// A described member with an effect: the service's tasks are started with it (ECS API: Service.enableExecuteCommand).
pub const EXECUTE_COMMAND: &str = "enableExecuteCommand";

/// Described members that a deployment rolls out: another value begins one (ECS API: UpdateService).
pub const ROLLED_OUT: [&str; 6] = [
    "loadBalancers",
    "serviceRegistries",
    "serviceConnectConfiguration",
    NETWORK_CONFIGURATION,
    LAUNCH_TYPE,
    CAPACITY_STRATEGY,
];

/// The same of a task set. `apply` reads it: it is frozen. What task sets are launched on is no matter of theirs.
const ROLLED_OUT_BY_TASK_SETS: [&str; 4] =
    ["loadBalancers", "serviceRegistries", "serviceConnectConfiguration", NETWORK_CONFIGURATION];

/// Gives a service the members that a deployment rolls out to it, and takes those away that it does not have.
pub fn roll_out(service: &mut Described, from: &Described) {
    roll_out_members(&ROLLED_OUT, service, from);
}

/// The same of its primary task set.
pub fn roll_out_task_set(service: &mut Described, from: &Described) {
    roll_out_members(&ROLLED_OUT_BY_TASK_SETS, service, from);
}

fn roll_out_members(members: &[&str], service: &mut Described, from: &Described) {
    for member in members.iter().copied() {
        match from.get(member) {
            Some(json) => service.insert(member.to_owned(), json.clone()),
            None => service.remove(member),
        };
    }
}

/// ECS API: DeploymentConfiguration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentConfiguration {
    /// `floor(desired × this / 100)` tasks at most. Default 200.
    pub maximum_percent: u32,
    /// `ceil(desired × this / 100)` tasks at least. Default 100.
    pub minimum_healthy_percent: u32,
}

impl Default for DeploymentConfiguration {
    fn default() -> Self {
        Self { maximum_percent: 200, minimum_healthy_percent: 100 }
    }
}

impl DeploymentConfiguration {
    /// The most tasks with desired status RUNNING that a service of `desired` may have.
    pub fn maximum(&self, desired: u32) -> u32 {
        let product = u64::from(desired).saturating_mul(u64::from(self.maximum_percent));
        u32::try_from(product / 100).unwrap_or(u32::MAX)
    }

    /// The fewest healthy tasks that a rolling update leaves a service of `desired`.
    pub fn minimum(&self, desired: u32) -> u32 {
        let product = u64::from(desired).saturating_mul(u64::from(self.minimum_healthy_percent));
        u32::try_from(product.div_ceil(100)).unwrap_or(u32::MAX)
    }
}

/// ECS API: PropagateTags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropagateTags {
    /// Tasks get no tags.
    #[default]
    None,
    /// Tasks get the task definition's.
    TaskDefinition,
    /// Tasks get the service's.
    Service,
}

/// ECS API: Deployment.status. A deployment without tasks that is not primary is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeploymentStatus {
    /// The one that new tasks belong to.
    Primary,
    /// An older one that still has tasks.
    Active,
}

/// ECS API: DeploymentRolloutState.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutState {
    /// Under way.
    InProgress,
    /// All its tasks run, and the older deployments' are gone.
    Completed,
    /// Given up.
    Failed,
}

/// One deployment of a service (ECS API: Deployment).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Primary or active.
    pub status: DeploymentStatus,
    /// What its tasks are made from.
    pub task_definition: TaskDefinitionKey,
    /// How far it is.
    pub rollout: RolloutState,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Tasks of it that stopped before they ran.
    pub failed_tasks: u32,
    /// When its next task may start, after failures.
    pub back_off: Option<BackOff>,
}

/// Waiting after tasks that never reached RUNNING, or exited before they were healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// Rounds of failures in a row.
    pub failures: u32,
    /// No task starts before this.
    pub not_before: Timestamp,
}

/// ECS API: ServiceEvent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// Unique.
    pub id: u128,
    /// When.
    pub created_at: Timestamp,
    /// What happened, in ECS's words.
    pub message: String,
}
