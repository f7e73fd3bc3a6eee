//! What is to be known of a command before it is decided: whether it may be sent again, and whether it takes room.

use trireme_types::DeploymentId;

use super::{AutoscalingCommand, ClusterChange, Command, LogGroupChange, ServiceChange, TaggedResource};
use crate::object::{Scale, ServiceKey};
use crate::query::{overrides_level, service_level, settings_level};
use crate::{FeatureLevel, State};

impl Command {
    /// The feature level from which it may be proposed: a leader of a lower one cannot read it.
    pub fn level(&self) -> FeatureLevel {
        match self {
            Self::CreateConfiguredCluster { .. }
            | Self::UpdateCluster { .. }
            | Self::CreateCapacityProvider { .. }
            | Self::UpdateCapacityProvider { .. }
            | Self::DeleteCapacityProvider { .. }
            | Self::RollBackDeployment { .. }
            | Self::RegisterInstance { .. }
            | Self::DeleteTaskDefinition { .. }
            | Self::ForgetTaskDefinitions { .. }
            | Self::PutAttributes { .. }
            | Self::DeleteAttributes { .. }
            | Self::ProtectTask { .. }
            | Self::ChangeAccountSetting { .. }
            | Self::TagResource { resource: TaggedResource::CapacityProvider(_), .. }
            | Self::UntagResource { resource: TaggedResource::CapacityProvider(_), .. } => {
                FeatureLevel::CONFIGURATION
            }
            Self::CreateServiceWithTaskSets { spec, .. } => {
                FeatureLevel::TASK_SETS.max(service_level(&spec.described))
            }
            Self::CreateTaskSet { .. }
            | Self::ScaleTaskSet { .. }
            | Self::DeleteTaskSet { .. }
            | Self::SetPrimaryTaskSet { .. }
            | Self::RecordTaskSets { .. }
            | Self::TagResource { resource: TaggedResource::TaskSet(..), .. }
            | Self::UntagResource { resource: TaggedResource::TaskSet(..), .. } => FeatureLevel::TASK_SETS,
            Self::ReportTaskHealth { .. } => FeatureLevel::CONTAINERS,
            Self::PinImages { .. } => FeatureLevel::NODE_SERVICES,
            Self::StartCommand(_) | Self::EndCommand(_) => FeatureLevel::NODE_SERVICES,
            Self::RunTasksByRules { run, .. } => FeatureLevel::SERVICES.max(run.level()),
            Self::RunAllowingCommands(run) => FeatureLevel::NODE_SERVICES.max(run.level()),
            Self::AnnounceAbsence { .. } | Self::SetLostAfter { .. } => FeatureLevel::NODE_SERVICES,
            Self::CreateLogGroup { .. } | Self::DeleteLogGroup { .. } | Self::ChangeLogGroup { .. } => {
                FeatureLevel::NODE_SERVICES
            }
            Self::RunTasksInSubnets { .. } | Self::AddSubnet { .. } | Self::RemoveSubnet { .. } => {
                FeatureLevel::TASK_NETWORKS
            }
            Self::RecordZoneMove { .. } => FeatureLevel::SERVICES,
            Self::RecordDeployment(_) | Self::ContinueDeployment(_) => FeatureLevel::SERVICES,
            Self::Autoscaling(_) | Self::Alarm(_) | Self::Schedule(_) | Self::Capacity(_) => {
                FeatureLevel::SCALING
            }
            // A control node that does not know a member would have the task run without.
            Self::RegisterTaskDefinition { spec, .. } => settings_level(spec),
            Self::RunTasks(run) => overrides_level(&run.overrides),
            // It would keep what it cannot do.
            Self::CreateService { spec, .. } => service_level(&spec.described),
            Self::UpdateService { change, .. } => service_level(&change.set()),
            Self::CreateCluster { .. }
            | Self::DeleteCluster { .. }
            | Self::DeregisterTaskDefinition { .. }
            | Self::DeleteService { .. }
            | Self::StopTask { .. }
            | Self::SetInstanceStatus { .. }
            | Self::DeregisterInstance { .. }
            | Self::TagResource { .. }
            | Self::UntagResource { .. }
            | Self::OpenSession { .. }
            | Self::StartServiceTasks { .. }
            | Self::RecordProgress { .. }
            | Self::ReportTasks { .. }
            | Self::LoseInstance { .. }
            | Self::StopServiceTasks { .. }
            | Self::ReapTasks { .. }
            | Self::CreateAccessKey { .. }
            | Self::Reset
            | Self::SetRetention { .. }
            | Self::TrimHistory { .. }
            | Self::RaiseFeatureLevel { .. }
            | Self::RecordRestore { .. } => FeatureLevel::FIRST,
        }
    }

    /// Whether deciding it twice is as good as once, whatever came between, so that it may be sent again without an idempotency key
    /// when nobody knows whether the first one was committed. Others that bring no key are for their author to plan anew.
    pub fn may_be_repeated(&self) -> bool {
        matches!(
            self,
            Self::ReportTasks { .. }
                | Self::PinImages { .. }
                | Self::LoseInstance { .. }
                | Self::AnnounceAbsence { .. }
                | Self::SetLostAfter { .. }
                | Self::StopServiceTasks { .. }
                | Self::ReapTasks { .. }
                | Self::ForgetTaskDefinitions { .. }
                | Self::CreateAccessKey { .. }
                | Self::Reset
                | Self::SetRetention { .. }
                | Self::TrimHistory { .. }
                | Self::RaiseFeatureLevel { .. }
                | Self::RecordRestore { .. }
                | Self::AddSubnet { .. }
        )
    }

    /// What room it takes in the state, for good or until someone takes it away.
    pub fn growth(&self, state: &State) -> Growth {
        match self {
            Self::CreateCluster { .. }
            | Self::RegisterTaskDefinition { .. }
            | Self::CreateService { .. }
            | Self::CreateServiceWithTaskSets { .. }
            | Self::CreateTaskSet { .. }
            | Self::RunTasks(_)
            | Self::StartCommand(_)
            | Self::RunAllowingCommands(_)
            | Self::RunTasksInSubnets { .. }
            | Self::RunTasksByRules { .. }
            | Self::AddSubnet { .. }
            | Self::TagResource { .. }
            | Self::OpenSession { instance: None, .. }
            | Self::CreateAccessKey { .. }
            | Self::CreateConfiguredCluster { .. }
            | Self::CreateCapacityProvider { .. }
            | Self::RegisterInstance { .. }
            | Self::PutAttributes { .. }
            | Self::ProtectTask { minutes: Some(_), .. }
            | Self::ChangeAccountSetting { value: Some(_), .. }
            | Self::CreateLogGroup { .. } => Growth::Asked,
            Self::ChangeLogGroup { change: LogGroupChange::Tags { add, .. }, .. } if !add.is_empty() => {
                Growth::Asked
            }
            Self::Autoscaling(_) | Self::Alarm(_) | Self::Schedule(_) => of_area(self),
            Self::UpdateService { key, change } => Growth::asked(!shrinks(change, state, key)),
            Self::UpdateCluster { change, .. } => Growth::asked(adds(change)),
            Self::ScaleTaskSet { service, id, scale } => of_scale(state, service, *id, *scale),
            Self::StartServiceTasks { .. } | Self::RollBackDeployment { .. } => Growth::Kept,
            Self::Capacity(command) => command.growth(),
            Self::DeleteCluster { .. }
            | Self::DeregisterTaskDefinition { .. }
            | Self::DeleteService { .. }
            | Self::StopTask { .. }
            | Self::SetInstanceStatus { .. }
            | Self::DeregisterInstance { .. }
            | Self::UntagResource { .. }
            | Self::OpenSession { instance: Some(_), .. }
            | Self::ReportTasks { .. }
            | Self::ReportTaskHealth { .. }
            | Self::PinImages { .. }
            | Self::EndCommand(_)
            | Self::LoseInstance { .. }
            | Self::AnnounceAbsence { .. }
            | Self::SetLostAfter { .. }
            | Self::StopServiceTasks { .. }
            | Self::RecordProgress { .. }
            | Self::RecordZoneMove { .. }
            | Self::RecordDeployment(_)
            | Self::ContinueDeployment(_)
            | Self::ReapTasks { .. }
            | Self::Reset
            | Self::SetRetention { .. }
            | Self::TrimHistory { .. }
            | Self::RaiseFeatureLevel { .. }
            | Self::RecordRestore { .. }
            | Self::UpdateCapacityProvider { .. }
            | Self::DeleteCapacityProvider { .. }
            | Self::DeleteTaskDefinition { .. }
            | Self::ForgetTaskDefinitions { .. }
            | Self::DeleteAttributes { .. }
            | Self::DeleteTaskSet { .. }
            | Self::SetPrimaryTaskSet { .. }
            | Self::RecordTaskSets { .. }
            | Self::RemoveSubnet { .. }
            | Self::ProtectTask { minutes: None, .. }
            | Self::ChangeAccountSetting { value: None, .. }
            | Self::DeleteLogGroup { .. }
            | Self::ChangeLogGroup { .. } => Growth::None,
        }
    }
}

/// Whether a command makes the state larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// It does not: stops, deletes, status. Such commands go on when disks are nearly full.
    None,
    /// It keeps a promise that was made before: a service's tasks are replaced.
    Kept,
    /// Someone asks for more.
    Asked,
}

impl Growth {
    fn asked(more: bool) -> Self {
        if more { Self::Asked } else { Self::None }
    }
}

/// Whether a service is only to have fewer tasks than it has, or as many.
fn shrinks(change: &ServiceChange, state: &State, key: &ServiceKey) -> bool {
    let count = state.service(key).map_or(0, |service| service.spec.desired_count);
    let less = ServiceChange { desired_count: change.desired_count, ..ServiceChange::default() };
    *change == less && change.desired_count.is_some_and(|wanted| wanted <= count)
}

/// Those of an area with an enum of its own.
fn of_area(command: &Command) -> Growth {
    match command {
        Command::Autoscaling(command) => of_autoscaling(command),
        Command::Alarm(command) => Growth::asked(command.grows()),
        Command::Schedule(command) => command.growth(),
        _ => Growth::None,
    }
}

/// A service may get more tasks, or a target more to its name. A due action keeps a promise.
fn of_autoscaling(command: &AutoscalingCommand) -> Growth {
    match command {
        AutoscalingCommand::Register { .. }
        | AutoscalingCommand::PutPolicy { .. }
        | AutoscalingCommand::PutAction { .. } => Growth::Asked,
        AutoscalingCommand::Tag { add, .. } => Growth::asked(!add.is_empty()),
        AutoscalingCommand::Scale { from, to, .. } => Growth::asked(to > from),
        AutoscalingCommand::TakeAction { .. } => Growth::Kept,
        AutoscalingCommand::Deregister { .. }
        | AutoscalingCommand::DeletePolicy { .. }
        | AutoscalingCommand::DeleteAction { .. }
        | AutoscalingCommand::Hold { .. } => Growth::None,
    }
}

/// A task set may get a larger part than it has.
fn of_scale(state: &State, service: &ServiceKey, id: DeploymentId, scale: Scale) -> Growth {
    let known = state.task_sets(service).and_then(|sets| sets.set(id));
    Growth::asked(known.is_none_or(|set| scale > set.spec.scale))
}

/// Whether a cluster gets more than it has.
fn adds(change: &ClusterChange) -> bool {
    change.container_insights.is_some()
        || change.capacity.as_ref().is_some_and(|(providers, _)| !providers.is_empty())
        || change.described.values().any(Option::is_some)
}
