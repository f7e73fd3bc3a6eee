//! Applying: an event changes the state. Cannot fail, and decides nothing.
//!
//! An event that names an object which is not there changes nothing: `decide` never makes one, and a damaged log is found by
//! its hashes before it gets here.

mod alarm;
mod autoscaling;
mod capacity;
mod configuration;
mod delivery;
mod deployment;
mod deployment_history;
mod image_pin;
mod instance;
mod log_group;
mod placement;
mod rebalancing;
mod request;
mod schedule;
mod service;
mod subnet;
mod tag;
mod task;
mod task_definition;
mod task_set;

use std::sync::Arc;

use trireme_types::{SessionEpoch, Timestamp, planted};

use crate::event::ExecuteCommandEvent;
use crate::index::Index;
use crate::object::{Cluster, ClusterStatus, ContainerInstance, InstanceStatus, Tags};
use crate::{Entry, Event, State};

pub(crate) use task::progress;

/// What came of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its events are in the state.
    Applied,
    /// Its base did not match: it has no effect on any node.
    Void,
}

/// Applies an entry if it follows the state's position.
pub fn apply_entry(state: &mut State, entry: &Entry) -> Applied {
    if entry.base != state.position && !planted::is("base-not-checked") {
        return Applied::Void;
    }
    for sealed in &entry.events {
        apply_event(state, entry.at, sealed.event());
        state.position = entry.after(state.position, sealed.bytes());
    }
    state.clock = state.clock.max(entry.at);
    Applied::Applied
}

/// Applies one event that happened `at`, without moving the position.
pub fn apply_event(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::TaskDefinitionRegistered { .. }
        | Event::TaskDefinitionDeregistered { .. }
        | Event::TaskDefinitionDeleted { .. }
        | Event::TaskDefinitionForgotten { .. } => task_definition::happened(state, at, event),
        Event::ClusterCreated { .. }
        | Event::ClusterDeleted { .. }
        | Event::ClusterConfigured { .. }
        | Event::ClusterLostAfterSet { .. }
        | Event::CapacityProviderCreated { .. }
        | Event::CapacityProviderUpdated { .. }
        | Event::CapacityProviderDeleted { .. }
        | Event::CapacityProviderTagged { .. }
        | Event::AccountSettingChanged { .. } => configuration::happened(state, at, event),
        Event::ServiceCreated { .. }
        | Event::ServiceDeploymentStarted { .. }
        | Event::ServiceDeploymentRolledBack { .. }
        | Event::ImagesPinned { .. } => of_service(state, at, event),
        Event::ServiceUpdated { .. }
        | Event::ServiceDraining { .. }
        | Event::ServiceInactive { .. }
        | Event::ServiceEventRecorded { .. }
        | Event::ServiceSteadinessChanged { .. }
        | Event::DeploymentProgressed { .. }
        | Event::DeploymentRetired { .. }
        | Event::DeploymentBackedOff { .. } => service::changed(state, at, event),
        Event::ServiceWithTaskSetsCreated { .. }
        | Event::TaskSetCreated { .. }
        | Event::TaskSetScaled { .. }
        | Event::TaskSetDraining { .. }
        | Event::TaskSetDeleted { .. }
        | Event::PrimaryTaskSetChanged { .. }
        | Event::TaskSetBackedOff { .. }
        | Event::TaskSetSteadinessChanged { .. }
        | Event::TaskSetTagged { .. } => task_set::happened(state, at, event),
        Event::TaskCreated { .. }
        | Event::TaskStopRequested { .. }
        | Event::TaskProgressed { .. }
        | Event::TaskLost { .. }
        | Event::TaskProtectionChanged { .. }
        | Event::TaskHealthChanged { .. }
        | Event::TaskReaped { .. } => task::happened(state, at, event),
        Event::Deployment(_)
        | Event::Network(_)
        | Event::Rebalancing(_)
        | Event::Placement(_)
        | Event::Autoscaling(_)
        | Event::Schedule(_)
        | Event::ExecuteCommand(_)
        | Event::LogGroup(_)
        | Event::Capacity(_)
        | Event::Delivery(_)
        | Event::Alarm(_) => of_area(state, at, event),
        Event::SessionOpened { .. }
        | Event::InstanceLost { .. }
        | Event::InstanceAbsent { .. }
        | Event::InstanceStatusChanged { .. }
        | Event::InstanceAttributesChanged { .. }
        | Event::InstanceRegistered { .. }
        | Event::InstanceDeregistered { .. } => instance::happened(state, at, event),
        Event::ResourceTagged { .. } | Event::ResourceUntagged { .. } => tagged(state, event),
        Event::RequestRecorded { key, outcome } => request::recorded(state, at, key, outcome),
        Event::AccessKeyCreated { .. }
        | Event::Reset {}
        | Event::FeatureLevelRaised { .. }
        | Event::RetentionSet { .. }
        | Event::HistoryTrimmed { .. } => upkeep(state, at, event),
        // It is for those who read the history: the incarnation is the control nodes' own, not the state's.
        Event::ClusterRestored { .. } => {}
    }
}

/// A service, its deployments and what they run.
fn of_service(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::ServiceCreated { key, spec, tags, created_by, deployment } => {
            service::created(state, at, key, spec, tags, created_by, Some(*deployment));
        }
        Event::ServiceDeploymentStarted { .. } | Event::ServiceDeploymentRolledBack { .. } => {
            deployment_history::happened(state, at, event);
        }
        Event::ImagesPinned { key, revision, images } => image_pin::pinned(state, key, *revision, images),
        _ => {}
    }
}

/// What has an enum of its own.
fn of_area(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::Deployment(event) => deployment::happened(state, at, event),
        Event::Network(event) => subnet::happened(state, event),
        Event::Rebalancing(event) => rebalancing::happened(state, at, event),
        Event::Placement(event) => placement::happened(state, event),
        Event::Autoscaling(event) => autoscaling::happened(state, at, event),
        Event::Schedule(event) => schedule::happened(state, at, event),
        Event::ExecuteCommand(ExecuteCommandEvent::TasksAllowCommands { tasks }) => {
            task::allow_commands(state, tasks)
        }
        // The others are for those who read the history.
        Event::ExecuteCommand(_) => {}
        Event::LogGroup(event) => log_group::happened(state, at, event),
        Event::Alarm(event) => alarm::happened(state, at, event),
        Event::Capacity(event) => capacity::happened(state, event),
        Event::Delivery(event) => delivery::happened(state, at, event),
        _ => {}
    }
}

/// A resource has other tags.
fn tagged(state: &mut State, event: &Event) {
    match event {
        Event::ResourceTagged { resource, tags } => {
            tag::change(state, resource, |known| known.extend(tags.clone()));
        }
        Event::ResourceUntagged { resource, keys } => {
            tag::change(state, resource, |known| known.retain(|key, _| !keys.contains(key)));
        }
        _ => {}
    }
}

/// What operators and the control nodes themselves do.
fn upkeep(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::AccessKeyCreated { key } => {
            state.access_keys.insert(key.id.clone(), Arc::new((**key).clone()));
        }
        Event::Reset {} => reset(state, at),
        Event::FeatureLevelRaised { level } => state.level = state.level.max(*level),
        Event::RetentionSet { retention } => state.retention = *retention,
        Event::HistoryTrimmed { to } => state.trimmed = state.trimmed.max(*to),
        _ => {}
    }
}

/// Clusters that container instances are registered in begin anew, and so do the instances; everything else that a user made is
/// gone.
fn reset(state: &mut State, at: Timestamp) {
    // Those that never had a session were made by a user.
    let instances: Vec<Arc<ContainerInstance>> = state
        .instances
        .values()
        .filter(|instance| instance.epoch > SessionEpoch::default())
        .cloned()
        .collect();
    let kept = instances.iter().map(|instance| instance.registration.cluster.clone()).map(|key| {
        let cluster =
            Cluster { key: key.clone(), status: ClusterStatus::Active, tags: Tags::new(), created_at: at };
        (key, Arc::new(cluster))
    });
    *state = State {
        clusters: kept.collect(),
        index: Index::rebuild(
            instances.iter(),
            std::iter::empty(),
            std::iter::empty(),
            std::iter::empty(),
            std::iter::empty(),
        ),
        instances: instances.iter().map(|instance| (instance.id, as_registered(state, instance))).collect(),
        absences: state.absences.clone(),
        access_keys: state.access_keys.clone(),
        // They are the machines', not a user's.
        subnets: state.subnets.clone(),
        position: state.position,
        clock: state.clock,
        level: state.level,
        retention: state.retention,
        trimmed: state.trimmed,
        ..State::default()
    };
}

fn as_registered(state: &State, instance: &Arc<ContainerInstance>) -> Arc<ContainerInstance> {
    let custom = state.custom_attributes.contains_key(&instance.id);
    if !custom && instance.status == InstanceStatus::Active && instance.tags.is_empty() {
        return instance.clone();
    }
    let mut fresh = (**instance).clone();
    fresh.status = InstanceStatus::Active;
    fresh.tags = Tags::new();
    fresh.version = fresh.version.saturating_add(1);
    Arc::new(fresh)
}
