//! The state itself: every object, the indexes over them, and how far the history has been applied.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, Vector};
use serde::{Deserialize, Serialize};
use trireme_types::{
    ContainerInstanceId, DeploymentId, Family, Scope, Sequence, SubnetId, TaskId, Timestamp,
};

use crate::FeatureLevel;
use crate::command::{IdempotencyKey, Outcome};
use crate::entry::Position;
use crate::index::Index;
use crate::object::{
    AccessKey, AccessKeyId, AccountSettings, Alarm, AlarmKey, ApiDestination, ApiDestinationKey, Attributes,
    CapacityProvider, CapacityProviderKey, Cluster, ClusterConfiguration, ClusterKey, Connection,
    ConnectionKey, ContainerInstance, Delivery, DeliveryKey, DeploymentHistory, Firing, ImagePins, Interface,
    Launch, Lifecycles, LogGroup, LogGroupKey, PlacementRules, PoolSize, Retention, Rule, RuleKey,
    ScalableTarget, ScalingActivities, Schedule, ScheduleGroup, ScheduleGroupKey, ScheduleKey, Service,
    ServiceKey, SettingsKey, Subnet, Task, TaskDefinition, TaskDefinitionKey, TaskGpus, TaskHealth, TaskSets,
    Trigger, WaitingRun, ZoneMove,
};

/// What is remembered of an API write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRequest {
    /// SHA-256 of its parameters.
    pub parameters: [u8; 32],
    /// What it made.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// An idempotency key without its parameters: what a repeat is looked up by. Shared, for a map's node is copied with all its keys.
pub(crate) type RequestName = Arc<(String, String, String)>;

pub(crate) fn request_name(key: &IdempotencyKey) -> RequestName {
    Arc::new((key.principal.clone(), key.operation.clone(), key.token.clone()))
}

/// The cluster at one position of its history. A clone is O(1).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(crate) position: Position,
    pub(crate) clock: Timestamp,
    pub(crate) level: FeatureLevel,
    pub(crate) retention: Retention,
    /// The last event that the history does not keep.
    pub(crate) trimmed: Sequence,
    pub(crate) clusters: OrdMap<ClusterKey, Arc<Cluster>>,
    pub(crate) families: OrdMap<(Scope, Family), u32>,
    pub(crate) task_definitions: OrdMap<TaskDefinitionKey, Arc<TaskDefinition>>,
    pub(crate) services: OrdMap<ServiceKey, Arc<Service>>,
    pub(crate) tasks: OrdMap<TaskId, Arc<Task>>,
    pub(crate) instances: OrdMap<ContainerInstanceId, Arc<ContainerInstance>>,
    pub(crate) access_keys: OrdMap<AccessKeyId, Arc<AccessKey>>,
    /// Of clusters that were given one.
    pub(crate) cluster_configurations: OrdMap<ClusterKey, Arc<ClusterConfiguration>>,
    /// What users say of container instances, beside what their agents do.
    pub(crate) custom_attributes: OrdMap<ContainerInstanceId, Arc<Attributes>>,
    /// Until when tasks are protected.
    pub(crate) task_protections: OrdMap<TaskId, Timestamp>,
    pub(crate) capacity_providers: OrdMap<CapacityProviderKey, Arc<CapacityProvider>>,
    pub(crate) account_settings: OrdMap<SettingsKey, Arc<AccountSettings>>,
    /// Deleted task definitions that are still described, and since when.
    pub(crate) deleted_definitions: OrdMap<TaskDefinitionKey, Timestamp>,
    pub(crate) deployment_histories: OrdMap<ServiceKey, Arc<DeploymentHistory>>,
    /// Of services whose deployments are task sets.
    pub(crate) task_sets: OrdMap<ServiceKey, Arc<TaskSets>>,
    /// Of tasks of which a health check has said something.
    pub(crate) task_health: OrdMap<TaskId, Arc<TaskHealth>>,
    /// Of services whose tasks have said what their images are.
    pub(crate) image_pins: OrdMap<ServiceKey, Arc<ImagePins>>,
    /// Of tasks that were started with enableExecuteCommand.
    pub(crate) tasks_allowing_commands: OrdMap<TaskId, ()>,
    /// Until when agents are away that said so.
    pub(crate) absences: OrdMap<ContainerInstanceId, Timestamp>,
    /// Milliseconds of silence after which a cluster's instances are lost, where it is not the usual time.
    pub(crate) lost_after: OrdMap<ClusterKey, u64>,
    /// Where tasks and clients send their logs.
    pub(crate) log_groups: OrdMap<LogGroupKey, Arc<LogGroup>>,
    pub(crate) subnets: OrdMap<SubnetId, Arc<Subnet>>,
    /// Of tasks that were given one.
    pub(crate) interfaces: OrdMap<TaskId, Arc<Interface>>,
    /// Of services that had a task moved to another zone.
    pub(crate) zone_moves: OrdMap<ServiceKey, ZoneMove>,
    /// Of tasks without a service that were placed by rules.
    pub(crate) placement_rules: OrdMap<TaskId, Arc<PlacementRules>>,
    /// Of services that ask something of their deployments beside their limits.
    pub(crate) lifecycles: OrdMap<ServiceKey, Arc<Lifecycles>>,
    /// Of tasks whose containers have GPUs.
    pub(crate) task_gpus: OrdMap<TaskId, Arc<TaskGpus>>,
    /// Of services that scale by themselves.
    pub(crate) scalable_targets: OrdMap<ServiceKey, Arc<ScalableTarget>>,
    /// Of services that did.
    pub(crate) scaling_activities: OrdMap<ServiceKey, Arc<ScalingActivities>>,
    /// What watches metrics.
    pub(crate) alarms: OrdMap<AlarmKey, Arc<Alarm>>,
    /// Of services with deployments that failed by alarms: which ones.
    pub(crate) triggered_alarms: OrdMap<ServiceKey, Arc<BTreeMap<DeploymentId, Vec<String>>>>,
    /// Those that a user made, or gave tags.
    pub(crate) schedule_groups: OrdMap<ScheduleGroupKey, Arc<ScheduleGroup>>,
    pub(crate) schedules: OrdMap<ScheduleKey, Arc<Schedule>>,
    pub(crate) rules: OrdMap<RuleKey, Arc<Rule>>,
    /// How far schedules and rules have come.
    pub(crate) firings: OrdMap<Trigger, Arc<Firing>>,
    /// Of targets that are told of events: how far they have come.
    pub(crate) deliveries: OrdMap<DeliveryKey, Arc<Delivery>>,
    pub(crate) connections: OrdMap<ConnectionKey, Arc<Connection>>,
    pub(crate) api_destinations: OrdMap<ApiDestinationKey, Arc<ApiDestination>>,
    /// Of tasks that do not run on any machine of their cluster.
    pub(crate) launches: OrdMap<TaskId, Arc<Launch>>,
    /// Tasks that wait for a machine, and those that never got one.
    pub(crate) waiting_runs: OrdMap<TaskId, Arc<WaitingRun>>,
    /// Of capacity providers that scale their pools.
    pub(crate) pool_sizes: OrdMap<CapacityProviderKey, Arc<PoolSize>>,
    pub(crate) requests: OrdMap<RequestName, Arc<RecordedRequest>>,
    /// Keys without a client token, the oldest first: the order of eviction.
    pub(crate) request_order: Vector<RequestName>,
    pub(crate) index: Index,
}

impl State {
    /// The state before the first event.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far the history has been applied.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The time of the last entry.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// The feature level that every node supports.
    pub fn level(&self) -> FeatureLevel {
        self.level
    }

    /// How much of the history is kept.
    pub fn retention(&self) -> Retention {
        self.retention
    }

    /// The last event that the history does not keep; 0 while it is whole.
    pub fn trimmed(&self) -> Sequence {
        self.trimmed
    }

    /// A cluster, active or not.
    pub fn cluster(&self, key: &ClusterKey) -> Option<&Arc<Cluster>> {
        self.clusters.get(key)
    }

    /// A task definition, active or not.
    pub fn task_definition(&self, key: &TaskDefinitionKey) -> Option<&Arc<TaskDefinition>> {
        self.task_definitions.get(key)
    }

    /// A service, active or not.
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.get(key)
    }

    /// A task, until it is reaped.
    pub fn task(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// A container instance.
    pub fn instance(&self, id: ContainerInstanceId) -> Option<&Arc<ContainerInstance>> {
        self.instances.get(&id)
    }

    /// An access key.
    pub fn access_key(&self, id: &AccessKeyId) -> Option<&Arc<AccessKey>> {
        self.access_keys.get(id)
    }

    /// What a cluster was given beyond name and tags; the default when that was nothing.
    pub fn cluster_configuration(&self, key: &ClusterKey) -> Arc<ClusterConfiguration> {
        self.cluster_configurations.get(key).cloned().unwrap_or_default()
    }

    /// A capacity provider that a user made.
    pub fn capacity_provider(&self, key: &CapacityProviderKey) -> Option<&Arc<CapacityProvider>> {
        self.capacity_providers.get(key)
    }

    /// What an account or a principal has set; nothing when it has set nothing.
    pub fn account_settings(&self, key: &SettingsKey) -> Arc<AccountSettings> {
        self.account_settings.get(key).cloned().unwrap_or_default()
    }

    /// Task definitions that were deleted and not forgotten yet, and when they were deleted.
    pub fn deleted_definitions(&self) -> &OrdMap<TaskDefinitionKey, Timestamp> {
        &self.deleted_definitions
    }

    /// A service's deployments so far; none for a service that had none since the second feature level.
    pub fn deployment_history(&self, service: &ServiceKey) -> Arc<DeploymentHistory> {
        self.deployment_histories.get(service).cloned().unwrap_or_default()
    }

    /// How a service's deployments go, as far as it asks for more than that they go on.
    pub fn lifecycles(&self, service: &ServiceKey) -> Arc<Lifecycles> {
        self.lifecycles.get(service).cloned().unwrap_or_default()
    }

    /// A service's task sets; `None` for a service whose deployments Trireme controls.
    pub fn task_sets(&self, service: &ServiceKey) -> Option<&Arc<TaskSets>> {
        self.task_sets.get(service)
    }

    /// The attributes that users gave an instance.
    pub fn custom_attributes(&self, instance: ContainerInstanceId) -> Arc<Attributes> {
        self.custom_attributes.get(&instance).cloned().unwrap_or_default()
    }

    /// What the health checks of a task's containers say; empty while none has said anything.
    pub fn task_health(&self, task: TaskId) -> Arc<TaskHealth> {
        self.task_health.get(&task).cloned().unwrap_or_default()
    }

    /// The last move of a service's task to another zone.
    pub fn zone_move(&self, service: &ServiceKey) -> Option<ZoneMove> {
        self.zone_moves.get(service).copied()
    }

    /// Whether commands may be run in a task's containers (ECS API: Task.enableExecuteCommand).
    pub fn allows_commands(&self, task: TaskId) -> bool {
        self.tasks_allowing_commands.contains_key(&task)
    }

    /// Until when an instance's agent is away, if it said that it goes. It may have stayed away longer.
    pub fn absence(&self, instance: ContainerInstanceId) -> Option<Timestamp> {
        self.absences.get(&instance).copied()
    }

    /// Silence after which a cluster's instances are lost, if it was set.
    pub fn lost_after(&self, cluster: &ClusterKey) -> Option<Duration> {
        self.lost_after.get(cluster).copied().map(Duration::from_millis)
    }

    /// What RunTask asked of a task's machine; nothing of a task that was started without rules, or of a service's.
    pub fn placement_rules(&self, task: TaskId) -> Arc<PlacementRules> {
        self.placement_rules.get(&task).cloned().unwrap_or_default()
    }

    /// The GPUs of a task's containers; none when it has none.
    pub fn task_gpus(&self, task: TaskId) -> Arc<TaskGpus> {
        self.task_gpus.get(&task).cloned().unwrap_or_default()
    }

    /// A service's scalable target.
    pub fn scalable_target(&self, service: &ServiceKey) -> Option<&Arc<ScalableTarget>> {
        self.scalable_targets.get(service)
    }

    /// Every scalable target, by service.
    pub fn scalable_targets(&self) -> &OrdMap<ServiceKey, Arc<ScalableTarget>> {
        &self.scalable_targets
    }

    /// What was scaled of a service lately, the newest first; also when it does not scale by itself any more.
    pub fn scaling_activities(&self, service: &ServiceKey) -> Arc<ScalingActivities> {
        self.scaling_activities.get(service).cloned().unwrap_or_default()
    }

    /// Every service's scaling activities.
    pub fn all_scaling_activities(&self) -> &OrdMap<ServiceKey, Arc<ScalingActivities>> {
        &self.scaling_activities
    }

    /// A log group.
    pub fn log_group(&self, key: &LogGroupKey) -> Option<&Arc<LogGroup>> {
        self.log_groups.get(key)
    }

    /// Until when a task is protected, if it is at `now`.
    pub fn task_protection(&self, task: TaskId, now: Timestamp) -> Option<Timestamp> {
        self.task_protections.get(&task).copied().filter(|until| *until > now)
    }

    /// What is known of an API write, if it was seen before.
    pub fn recorded_request(&self, key: &IdempotencyKey) -> Option<&Arc<RecordedRequest>> {
        self.requests.get(&request_name(key))
    }

    /// Requests that live as long as what they made: those not in the order of eviction.
    pub(crate) fn object_tokens(&self) -> impl Iterator<Item = (&RequestName, &Outcome)> {
        let timed: std::collections::BTreeSet<&RequestName> = self.request_order.iter().collect();
        self.requests
            .iter()
            .filter(move |(name, _)| !timed.contains(name))
            .map(|(name, request)| (name, &request.outcome))
    }

    /// The indexes, made anew from the objects.
    pub(crate) fn rebuilt_index(&self) -> Index {
        Index::rebuild(
            self.instances.values(),
            self.tasks.values().map(|task| (task, self.task_gpus.get(&task.id))),
            self.services.values().map(|service| (service, self.task_sets.get(&service.key))),
            self.object_tokens(),
            self.waiting_runs.keys().copied(),
        )
        .with_interfaces(self.interfaces.iter())
        .with_firings(self.firings.iter())
    }

    /// What can be derived from the objects.
    pub fn index(&self) -> &Index {
        &self.index
    }
}
