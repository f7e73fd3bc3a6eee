//! Commands: what someone wants changed. A command is decided once, on the leader, and never stored; its events are.

mod access_key;
mod alarm;
mod autoscaling;
mod capacity;
mod change;
mod deployment;
mod outcome;
mod proposal;
mod report;
mod rules;
mod run;
mod schedule;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trireme_types::{
    ContainerInstanceId, DeploymentId, Family, Scope, Sequence, SessionEpoch, SubnetId, TaskId,
};

use crate::FeatureLevel;
use crate::object::{
    AutoScalingGroup, CapacityProviderKey, ClusterKey, InstanceRegistration, InstanceStatus, LogGroupKey,
    NetworkConfiguration, PlacementRules, RestoreSource, Scale, ServiceKey, ServiceSpec, SettingsKey, Tags,
    TaskDefinitionKey, TaskDefinitionSpec, TaskSetSpec,
};

pub use access_key::NewAccessKey;
pub use alarm::AlarmCommand;
pub use autoscaling::{AutoscalingCommand, ScalableTargetChange};
pub use capacity::CapacityCommand;
pub use change::{AutoScalingGroupChange, ClusterChange, InstanceAttribute, LogGroupChange, ServiceChange};
pub use deployment::{ContinueDeployment, RecordDeployment};
pub use outcome::Outcome;
pub use proposal::{Actor, IdempotencyKey, Proposal, TaggedResource};
pub use report::{
    LifecycleProgress, ServiceProgress, TaskHealthReport, TaskImages, TaskReport, TaskSetProgress,
};
pub use rules::Growth;
pub use run::{EndCommand, NewSubnet, Placement, RunTasks, StartCommand};
pub use schedule::{Advance, DeliveryCommand, Fire, Mark, Run, RunResult, ScheduleCommand};

/// Everything that can be asked of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// ECS API: CreateCluster. An active cluster of that name is success without change.
    CreateCluster {
        /// Its full name.
        cluster: ClusterKey,
        /// Its tags.
        tags: Tags,
    },
    /// ECS API: DeleteCluster. Refused while anything active is in it.
    DeleteCluster {
        /// Its full name.
        cluster: ClusterKey,
    },
    /// ECS API: RegisterTaskDefinition. The decider gives the revision.
    RegisterTaskDefinition {
        /// Account and region.
        scope: Scope,
        /// The family.
        family: Family,
        /// What to register.
        spec: Arc<TaskDefinitionSpec>,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        registered_by: String,
    },
    /// ECS API: DeregisterTaskDefinition.
    DeregisterTaskDefinition {
        /// Family and revision.
        key: TaskDefinitionKey,
    },
    /// ECS API: CreateService.
    CreateService {
        /// Its full name.
        key: ServiceKey,
        /// What is asked of it.
        spec: ServiceSpec,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        created_by: String,
    },
    /// ECS API: UpdateService.
    UpdateService {
        /// Its full name.
        key: ServiceKey,
        /// What changes.
        change: ServiceChange,
    },
    /// ECS API: DeleteService.
    DeleteService {
        /// Its full name.
        key: ServiceKey,
        /// Also when its desired count is above 0.
        force: bool,
    },
    /// ECS API: RunTask, StartTask. The caller has placed the tasks on an applied view.
    RunTasks(Box<RunTasks>),
    /// ECS API: StopTask.
    StopTask {
        /// Its cluster.
        cluster: ClusterKey,
        /// Which one.
        task: TaskId,
        /// The caller's reason, shown as stoppedReason.
        reason: Option<String>,
    },
    /// ECS API: UpdateContainerInstancesState.
    SetInstanceStatus {
        /// Its cluster.
        cluster: ClusterKey,
        /// Which one.
        instance: ContainerInstanceId,
        /// What it shall be.
        status: InstanceStatus,
    },
    /// ECS API: DeregisterContainerInstance. Its tasks, if `force` allows any, are lost.
    DeregisterInstance {
        /// Its cluster.
        cluster: ClusterKey,
        /// Which one.
        instance: ContainerInstanceId,
        /// Also while tasks run there.
        force: bool,
    },
    /// ECS API: TagResource.
    TagResource {
        /// What.
        resource: TaggedResource,
        /// Added; the same key replaces.
        tags: Tags,
    },
    /// ECS API: UntagResource.
    UntagResource {
        /// What.
        resource: TaggedResource,
        /// Keys to remove.
        keys: Vec<String>,
    },
    /// An agent opens a session: registers, or comes back. Raises the epoch.
    OpenSession {
        /// The id that it got the first time, if it has one.
        instance: Option<ContainerInstanceId>,
        /// What it says of itself.
        registration: Box<InstanceRegistration>,
    },
    /// An agent's news, in one batch. Refused under another epoch.
    ReportTasks {
        /// The agent's instance.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
        /// At most [`crate::limits::REPORTS_PER_COMMAND`].
        reports: Vec<TaskReport>,
    },
    /// Node health: an instance is silent. Its tasks stop in the same entry, and its epoch rises.
    LoseInstance {
        /// Which one.
        instance: ContainerInstanceId,
        /// The epoch under which it was silent; another one makes the command stale.
        epoch: SessionEpoch,
        /// Shown as its tasks' stoppedReason.
        reason: String,
    },
    /// Service controller: start tasks of the primary deployment.
    StartServiceTasks {
        /// The service.
        service: ServiceKey,
        /// The version that the plan saw.
        version: u64,
        /// The deployment that they belong to.
        deployment: DeploymentId,
        /// One for each task.
        placements: Vec<Placement>,
    },
    /// Service controller: stop tasks that the service no longer wants.
    StopServiceTasks {
        /// The service.
        service: ServiceKey,
        /// The version that the plan saw.
        version: u64,
        /// Which ones.
        tasks: Vec<TaskId>,
        /// Shown as stoppedReason.
        reason: String,
    },
    /// Service controller: how far a service's deployments are.
    RecordProgress {
        /// The service.
        service: ServiceKey,
        /// The version that the plan saw.
        version: u64,
        /// What is new.
        progress: Box<ServiceProgress>,
    },
    /// Reaper: forget tasks that stopped long ago.
    ReapTasks {
        /// Which ones. Those that are not STOPPED are left.
        tasks: Vec<TaskId>,
    },
    /// Operator: a new access key.
    CreateAccessKey(Box<NewAccessKey>),
    /// Development only: drop clusters, services, tasks and task definitions. Connected instances stay, in the cluster that
    /// they registered in, and stop what they run.
    Reset,
    /// Operator: how much of the history is kept. What is not given stays as it is when this is decided.
    SetRetention {
        /// The newest events that are kept.
        events: Option<u64>,
        /// How long an event is kept, in milliseconds.
        millis: Option<u64>,
    },
    /// Upkeep: delete the history up to and with this event.
    TrimHistory {
        /// The last event that is not kept.
        to: Sequence,
    },
    /// Upkeep: every control node supports this feature level.
    RaiseFeatureLevel {
        /// The level.
        level: FeatureLevel,
    },
    /// Operator, on the one node that is left or made: the cluster lives on from there.
    RecordRestore {
        /// The incarnation that begins.
        incarnation: u64,
        /// From what.
        source: RestoreSource,
    },
    /// ECS API: CreateCluster, with more than name and tags. Nodes of the first level know only the other one.
    CreateConfiguredCluster {
        /// Its full name.
        cluster: ClusterKey,
        /// Its tags.
        tags: Tags,
        /// What it is given beyond that. What is not said of `containerInsights` is as the caller's account settings have it.
        configuration: Box<ClusterChange>,
    },
    /// ECS API: UpdateCluster, UpdateClusterSettings, PutClusterCapacityProviders.
    UpdateCluster {
        /// Its full name.
        cluster: ClusterKey,
        /// What changes.
        change: Box<ClusterChange>,
    },
    /// ECS API: CreateCapacityProvider.
    CreateCapacityProvider {
        /// Its full name.
        key: CapacityProviderKey,
        /// The machines behind it.
        group: Box<AutoScalingGroup>,
        /// Its tags.
        tags: Tags,
    },
    /// ECS API: UpdateCapacityProvider.
    UpdateCapacityProvider {
        /// Its full name.
        key: CapacityProviderKey,
        /// What changes.
        change: AutoScalingGroupChange,
    },
    /// ECS API: DeleteCapacityProvider. Refused while a cluster names it.
    DeleteCapacityProvider {
        /// Its full name.
        key: CapacityProviderKey,
    },
    /// ECS API: StopServiceDeployment, ROLLBACK.
    RollBackDeployment {
        /// The service.
        service: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// Why, for people.
        reason: String,
    },
    /// ECS API: DeleteTaskDefinitions, for one of them. Refused while it is active.
    DeleteTaskDefinition {
        /// Family and revision.
        key: TaskDefinitionKey,
    },
    /// ECS API: RegisterContainerInstance: an instance without a session, which is never connected.
    RegisterInstance {
        /// The id that it got the first time, if it has one.
        instance: Option<ContainerInstanceId>,
        /// What is said of it.
        registration: Box<InstanceRegistration>,
        /// Its tags, the first time.
        tags: Tags,
    },
    /// Reaper: forget deleted task definitions that nothing uses any more. Those that something uses are left.
    ForgetTaskDefinitions {
        /// Which ones.
        keys: Vec<TaskDefinitionKey>,
    },
    /// ECS API: PutAttributes.
    PutAttributes {
        /// The instances' cluster.
        cluster: ClusterKey,
        /// Added; the same name replaces.
        attributes: Vec<InstanceAttribute>,
    },
    /// ECS API: DeleteAttributes. Those that are not there are left.
    DeleteAttributes {
        /// The instances' cluster.
        cluster: ClusterKey,
        /// Which ones.
        attributes: Vec<InstanceAttribute>,
    },
    /// ECS API: UpdateTaskProtection, for one task of a service.
    ProtectTask {
        /// Its cluster.
        cluster: ClusterKey,
        /// Which one.
        task: TaskId,
        /// For how long from now, or `None` to end it.
        minutes: Option<u32>,
    },
    /// ECS API: PutAccountSetting, PutAccountSettingDefault, DeleteAccountSetting.
    ChangeAccountSetting {
        /// Whose.
        key: SettingsKey,
        /// ECS's name of it.
        name: String,
        /// The value, or `None` to have it as one level above.
        value: Option<String>,
    },
    /// ECS API: CreateService, with the deployment controller EXTERNAL.
    CreateServiceWithTaskSets {
        /// Its full name.
        key: ServiceKey,
        /// What is asked of it. It is made from nothing yet.
        spec: ServiceSpec,
        /// Its tags.
        tags: Tags,
        /// The principal's ARN.
        created_by: String,
    },
    /// ECS API: CreateTaskSet.
    CreateTaskSet {
        /// The service.
        service: ServiceKey,
        /// What is asked of it.
        spec: Box<TaskSetSpec>,
        /// Its tags.
        tags: Tags,
    },
    /// ECS API: UpdateTaskSet.
    ScaleTaskSet {
        /// The service.
        service: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// The part of the service's desired count.
        scale: Scale,
    },
    /// ECS API: DeleteTaskSet.
    DeleteTaskSet {
        /// The service.
        service: ServiceKey,
        /// Which one.
        id: DeploymentId,
        /// Also when it is scaled above 0.
        force: bool,
    },
    /// ECS API: UpdateServicePrimaryTaskSet.
    SetPrimaryTaskSet {
        /// The service.
        service: ServiceKey,
        /// Which one.
        id: DeploymentId,
    },
    /// Service controller: how far a service's task sets are.
    RecordTaskSets {
        /// The service.
        service: ServiceKey,
        /// The version that the plan saw.
        version: u64,
        /// What is new of each set.
        sets: Vec<TaskSetProgress>,
        /// Whether the service as a whole is in a steady state now, if that changes.
        steady: Option<bool>,
        /// Event texts of the service as a whole, the oldest first.
        events: Vec<String>,
    },
    /// What the health checks of an agent's tasks say. Refused under another epoch.
    ReportTaskHealth {
        /// The agent's instance.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
        /// At most [`crate::limits::REPORTS_PER_COMMAND`].
        reports: Vec<TaskHealthReport>,
    },
    /// What images of an agent's tasks are that wait to be pinned. Refused under another epoch.
    PinImages {
        /// The agent's instance.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
        /// At most [`crate::limits::REPORTS_PER_COMMAND`].
        images: Vec<TaskImages>,
    },
    /// Operator: a command begins in a container. Refused when the task does not allow it.
    StartCommand(Box<StartCommand>),
    /// Operator: that command is over.
    EndCommand(Box<EndCommand>),
    /// ECS API: RunTask, StartTask, with enableExecuteCommand: whatever command runs tasks.
    RunAllowingCommands(Box<Command>),
    /// An agent goes away for a while: it is not to be taken for lost. Refused under another epoch.
    AnnounceAbsence {
        /// The agent's instance.
        instance: ContainerInstanceId,
        /// The session's epoch.
        epoch: SessionEpoch,
        /// For how long from now, in milliseconds; at most [`crate::limits::ABSENCE_MILLIS_MAX`] of it count.
        millis: u64,
    },
    /// Operator: after how much silence a cluster's container instances are lost.
    SetLostAfter {
        /// Its full name.
        cluster: ClusterKey,
        /// Milliseconds, or `None` for the usual time.
        millis: Option<u64>,
    },
    /// logs API: CreateLogGroup, and `awslogs-create-group` of a task.
    CreateLogGroup {
        /// Its full name.
        key: LogGroupKey,
        /// Its tags.
        tags: Tags,
    },
    /// logs API: DeleteLogGroup.
    DeleteLogGroup {
        /// Its full name.
        key: LogGroupKey,
    },
    /// logs API: PutRetentionPolicy, DeleteRetentionPolicy, TagResource, UntagResource and their kin.
    ChangeLogGroup {
        /// Its full name.
        key: LogGroupKey,
        /// What changes.
        change: LogGroupChange,
    },
    /// ECS API: RunTask, StartTask, of tasks with network interfaces of their own.
    RunTasksInSubnets {
        /// Everything else.
        run: Box<RunTasks>,
        /// Where they get them.
        network: Box<NetworkConfiguration>,
    },
    /// Operator: a subnet. One that is there already, and is the same, is success without change.
    AddSubnet {
        /// What it is to be.
        subnet: Box<NewSubnet>,
    },
    /// Operator: a subnet that no task and no service uses goes.
    RemoveSubnet {
        /// Which one.
        subnet: SubnetId,
    },
    /// Service controller: a task is being moved to another zone, or no longer.
    RecordZoneMove {
        /// The service.
        service: ServiceKey,
        /// Its version that the controller saw.
        version: u64,
        /// Whether it is on its way.
        under_way: bool,
        /// What the service's owner is told, in ECS's words.
        events: Vec<String>,
    },
    /// ECS API: RunTask, with placement constraints or strategies: whatever command runs the tasks where they led.
    RunTasksByRules {
        /// What runs them.
        run: Box<Command>,
        /// What the caller asked for.
        rules: Box<PlacementRules>,
    },
    /// Service controller: how far a service's deployments are, and how the primary one goes.
    RecordDeployment(Box<RecordDeployment>),
    /// ECS API: ContinueServiceDeployment.
    ContinueDeployment(Box<ContinueDeployment>),
    /// To a scalable target.
    Autoscaling(Box<AutoscalingCommand>),
    /// CloudWatch API: alarms.
    Alarm(Box<AlarmCommand>),
    /// To schedules, their groups and rules.
    Schedule(Box<ScheduleCommand>),
    /// About where tasks run, what waits for a machine, and how large pools are to be.
    Capacity(Box<CapacityCommand>),
}
