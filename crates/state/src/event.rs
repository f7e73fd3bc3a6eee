//! Events: what happened. They are the log. Each variant's kind number and layout is frozen: add a variant.

mod alarm;
mod autoscaling;
mod capacity;
mod delivery;
mod deployment;
mod execute_command;
mod log_group;
mod network;
mod placement;
mod rebalancing;
mod schedule;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trireme_types::{
    ContainerInstanceId, DeploymentId, Sequence, ServiceRevisionId, SessionEpoch, TaskId, Timestamp,
};

pub use alarm::AlarmEvent;
pub use autoscaling::AutoscalingEvent;
pub use capacity::CapacityEvent;
pub use delivery::DeliveryEvent;
pub use deployment::DeploymentEvent;
pub use execute_command::ExecuteCommandEvent;
pub use log_group::LogGroupEvent;
pub use network::NetworkEvent;
pub use placement::PlacementEvent;
pub use rebalancing::RebalancingEvent;
pub use schedule::ScheduleEvent;

use crate::FeatureLevel;
use crate::command::{IdempotencyKey, Outcome, TaggedResource, TaskReport};
use crate::object::*;

/// What happened. The entry that carries it says when and on whose behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A cluster is active from now on.
    ClusterCreated {
        /// Its full name.
        cluster: ClusterKey,
        /// Its tags.
        tags: Tags,
    },
    /// A cluster is inactive from now on.
    ClusterDeleted {
        /// Its full name.
        cluster: ClusterKey,
    },
    /// A cluster's configuration is another one.
    ClusterConfigured {
        /// Its full name.
        cluster: ClusterKey,
        /// All of the new configuration.
        configuration: Box<ClusterConfiguration>,
    },
    /// A cluster's container instances are lost after another time of silence.
    ClusterLostAfterSet {
        /// Its full name.
        cluster: ClusterKey,
        /// Milliseconds, or `None` for the usual time.
        millis: Option<u64>,
    },
    /// A capacity provider is there.
    CapacityProviderCreated {
        /// Its full name.
        key: CapacityProviderKey,
        /// The machines behind it.
        group: Box<AutoScalingGroup>,
        /// Its tags.
        tags: Tags,
    },
    /// A capacity provider's group is managed in another way.
    CapacityProviderUpdated {
        /// Its full name.
        key: CapacityProviderKey,
        /// All of the group.
        group: Box<AutoScalingGroup>,
    },
    /// A capacity provider is gone.
    CapacityProviderDeleted {
        /// Its full name.
        key: CapacityProviderKey,
    },
    /// A capacity provider has these tags from now on.
    CapacityProviderTagged {
        /// Its full name.
        key: CapacityProviderKey,
        /// All of them.
        tags: Tags,
    },
    /// A task definition is there.
    TaskDefinitionRegistered {
        /// Family and revision.
        key: TaskDefinitionKey,
        /// What was registered.
        spec: Arc<TaskDefinitionSpec>,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        registered_by: String,
    },
    /// A task definition is inactive from now on.
    TaskDefinitionDeregistered {
        /// Family and revision.
        key: TaskDefinitionKey,
    },
    /// An inactive task definition is to be forgotten once nothing uses it.
    TaskDefinitionDeleted {
        /// Family and revision.
        key: TaskDefinitionKey,
    },
    /// A deleted task definition is gone. Its revision is never used again.
    TaskDefinitionForgotten {
        /// Family and revision.
        key: TaskDefinitionKey,
    },
    /// A service is active, with its first deployment.
    ServiceCreated {
        /// Its full name.
        key: ServiceKey,
        /// What is asked of it.
        spec: ServiceSpec,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        created_by: String,
        /// The first deployment.
        deployment: DeploymentId,
    },
    /// A service's spec is another one.
    ServiceUpdated {
        /// Its full name.
        key: ServiceKey,
        /// All of the new spec.
        spec: ServiceSpec,
        /// The new primary deployment, if the change begins one.
        deployment: Option<DeploymentId>,
    },
    /// A service is deleted; its tasks are to stop.
    ServiceDraining {
        /// Its full name.
        key: ServiceKey,
    },
    /// A draining service's tasks are gone.
    ServiceInactive {
        /// Its full name.
        key: ServiceKey,
    },
    /// Something to tell a service's owner.
    ServiceEventRecorded {
        /// Its full name.
        key: ServiceKey,
        /// The event's id.
        id: u128,
        /// What happened, in ECS's words.
        message: String,
    },
    /// A service's steadiness changed.
    ServiceSteadinessChanged {
        /// Its full name.
        key: ServiceKey,
        /// Whether it is steady now.
        steady: bool,
    },
    /// A deployment's rollout state changed.
    DeploymentProgressed {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// How far it is.
        rollout: RolloutState,
    },
    /// An old deployment is gone.
    DeploymentRetired {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
    },
    /// A deployment's back-off changed.
    DeploymentBackedOff {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// Until when, or `None` when it is over.
        back_off: Option<BackOff>,
        /// Tasks that failed to start so far.
        failed_tasks: u32,
    },
    /// A deployment of the service's spec begins: what it rolls out is a revision from now on.
    ServiceDeploymentStarted {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// What it rolls out.
        revision: ServiceRevisionId,
        /// What ran before it.
        sources: Vec<ServiceRevisionId>,
    },
    /// A deployment turns back.
    ServiceDeploymentRolledBack {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// The service's deployment that goes back.
        by: DeploymentId,
        /// To what.
        revision: ServiceRevisionId,
        /// Why.
        reason: String,
    },
    /// A service is active whose deployments are task sets.
    ServiceWithTaskSetsCreated {
        /// Its full name.
        key: ServiceKey,
        /// What is asked of it.
        spec: ServiceSpec,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        created_by: String,
    },
    /// A service has one more task set.
    TaskSetCreated {
        /// The service.
        key: ServiceKey,
        /// All of it.
        set: Box<TaskSet>,
    },
    /// A task set keeps another part of the service's desired count.
    TaskSetScaled {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// What part.
        scale: Scale,
    },
    /// A task set is deleted; its tasks are to stop.
    TaskSetDraining {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
    },
    /// A draining task set's tasks are gone, and it with them.
    TaskSetDeleted {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
    },
    /// A task set is primary; the one that was is no longer. What it is made from, the service is made from.
    PrimaryTaskSetChanged {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
    },
    /// A task set's back-off changed.
    TaskSetBackedOff {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// Until when, or `None` when it is over.
        back_off: Option<BackOff>,
        /// Tasks that failed to start so far.
        failed_tasks: u32,
    },
    /// A task set's steadiness changed.
    TaskSetSteadinessChanged {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// Whether it is steady now.
        steady: bool,
    },
    /// A task set has these tags from now on.
    TaskSetTagged {
        /// The service.
        key: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// All of them.
        tags: Tags,
    },
    /// What some images of a service's revision are: all its tasks run these from now on.
    ImagesPinned {
        /// The service.
        key: ServiceKey,
        /// Which revision.
        revision: ServiceRevisionId,
        /// By container. None of them was pinned before.
        images: Images,
    },
    /// A task is there, placed, PENDING.
    TaskCreated {
        /// All of it.
        task: Box<Task>,
    },
    /// A task is to stop.
    TaskStopRequested {
        /// Which one.
        task: TaskId,
        /// Why, in code.
        code: StopCode,
        /// Why, in words.
        reason: String,
    },
    /// A task went forward, or its containers have news.
    TaskProgressed {
        /// What its agent said.
        report: Box<TaskReport>,
    },
    /// A task is STOPPED because nobody can run it any more.
    TaskLost {
        /// Which one.
        task: TaskId,
        /// Why, in code.
        code: StopCode,
        /// Why, in words.
        reason: String,
    },
    /// A stopped task is forgotten.
    TaskReaped {
        /// Which one.
        task: TaskId,
    },
    /// A task is protected from scale-in, or no longer.
    TaskProtectionChanged {
        /// Which one.
        task: TaskId,
        /// Until when, or `None` when it is over.
        until: Option<Timestamp>,
    },
    /// The health checks of a task say something else.
    TaskHealthChanged {
        /// Which one.
        task: TaskId,
        /// Of each container of which something is known.
        health: TaskHealth,
    },
    /// A container instance opened a session, for the first time or again.
    SessionOpened {
        /// Its id.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
        /// What its agent says of itself.
        registration: Box<InstanceRegistration>,
    },
    /// A container instance is silent. Its tasks' [`Event::TaskLost`] follow in the same entry.
    InstanceLost {
        /// Which one.
        instance: ContainerInstanceId,
        /// The epoch that is over with it, plus one.
        epoch: SessionEpoch,
    },
    /// A container instance's agent goes away for a while and says so: its silence is none until then.
    InstanceAbsent {
        /// Which one.
        instance: ContainerInstanceId,
        /// Until when.
        until: Timestamp,
    },
    /// A container instance's status changed.
    InstanceStatusChanged {
        /// Which one.
        instance: ContainerInstanceId,
        /// What it is now.
        status: InstanceStatus,
    },
    /// A container instance is gone.
    InstanceDeregistered {
        /// Which one.
        instance: ContainerInstanceId,
    },
    /// A container instance is there, or says something else of itself, without a session.
    InstanceRegistered {
        /// Its id.
        instance: ContainerInstanceId,
        /// What is said of it.
        registration: Box<InstanceRegistration>,
        /// Its tags, when it is new.
        tags: Tags,
    },
    /// A container instance's custom attributes are others.
    InstanceAttributesChanged {
        /// Which one.
        instance: ContainerInstanceId,
        /// All of them, beside its agent's.
        attributes: Attributes,
    },
    /// A resource has these tags too.
    ResourceTagged {
        /// Which one.
        resource: TaggedResource,
        /// What was added.
        tags: Tags,
    },
    /// A resource lost tags.
    ResourceUntagged {
        /// Which one.
        resource: TaggedResource,
        /// Their keys.
        keys: Vec<String>,
    },
    /// An API write is known by this key from now on.
    RequestRecorded {
        /// The key.
        key: IdempotencyKey,
        /// What it made.
        outcome: Outcome,
    },
    /// An access key is there.
    AccessKeyCreated {
        /// The key, sealed.
        key: Box<AccessKey>,
    },
    /// An account's or a principal's setting is another one.
    AccountSettingChanged {
        /// Whose.
        key: SettingsKey,
        /// ECS's name of it.
        name: String,
        /// Its value, or `None` when it is as one level above.
        value: Option<String>,
    },
    /// Clusters, services, tasks and task definitions are dropped. Development only.
    Reset {},
    /// Every node supports this level; kinds and layouts of it may be written from now on.
    FeatureLevelRaised {
        /// The level.
        level: FeatureLevel,
    },
    /// How much of the history is kept from now on.
    RetentionSet {
        /// How much.
        retention: Retention,
    },
    /// The history up to and with this event may be deleted.
    HistoryTrimmed {
        /// The last event that is not kept.
        to: Sequence,
    },
    /// The cluster lives on under a higher incarnation; what the one before did after the event before this one is lost.
    ClusterRestored {
        /// The incarnation that begins.
        incarnation: u64,
        /// From what.
        source: RestoreSource,
    },
    /// To a log group. JSON has it without this level, as what follows.
    #[serde(untagged)]
    LogGroup(LogGroupEvent),
    /// To a service's deployment.
    #[serde(untagged)]
    Deployment(DeploymentEvent),
    /// To a subnet or a task's interface.
    #[serde(untagged)]
    Network(NetworkEvent),
    /// To a schedule, a group of them, or a rule.
    #[serde(untagged)]
    Schedule(ScheduleEvent),
    /// To a service's zones.
    #[serde(untagged)]
    Rebalancing(RebalancingEvent),
    /// To what is known of how tasks were placed.
    #[serde(untagged)]
    Placement(PlacementEvent),
    /// To a scalable target.
    #[serde(untagged)]
    Autoscaling(AutoscalingEvent),
    /// To commands in containers.
    #[serde(untagged)]
    ExecuteCommand(ExecuteCommandEvent),
    /// To an alarm.
    #[serde(untagged)]
    Alarm(AlarmEvent),
    /// To capacity.
    #[serde(untagged)]
    Capacity(CapacityEvent),
    /// To the delivery of events.
    #[serde(untagged)]
    Delivery(DeliveryEvent),
}
