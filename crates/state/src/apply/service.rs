//! What happens to services and their deployments.

use std::sync::Arc;

use imbl::Vector;
use trireme_types::{DeploymentId, Timestamp};

use super::{autoscaling, deployment, deployment_history, image_pin, rebalancing, request, task_set};
use crate::limits::EVENTS_PER_SERVICE;
use crate::object::{
    Deployment, DeploymentStatus, RolloutState, Service, ServiceEvent, ServiceKey, ServiceSpec,
    ServiceStatus, Tags, TaskDefinitionKey, TaskSets,
};
use crate::{Event, State};

/// A service is there: with its first deployment, or without one, which is to say with task sets.
pub(super) fn created(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    spec: &ServiceSpec,
    tags: &Tags,
    created_by: &str,
    deployment: Option<DeploymentId>,
) {
    // A name that is used again goes on counting, so that no old plan fits the new service.
    let version = state.services.get(key).map_or(0, |service| service.version).saturating_add(1);
    let service = Service {
        key: key.clone(),
        spec: spec.clone(),
        status: ServiceStatus::Active,
        deployments: deployment.map(|id| primary(at, id, &spec.task_definition)).into_iter().collect(),
        events: Vector::new(),
        tags: tags.clone(),
        created_at: at,
        created_by: created_by.to_owned(),
        version,
        steady: false,
    };
    replace(state, service, deployment.is_none().then(TaskSets::default));
}

/// A new service, in the place of an inactive one of its name.
fn replace(state: &mut State, service: Service, sets: Option<TaskSets>) {
    let key = service.key.clone();
    if let Some(before) = state.services.get(&key) {
        state.index.remove_definitions(before, state.task_sets.get(&key).map(|sets| &**sets));
    }
    state.index.add_definitions(&service, sets.as_ref());
    state.deployment_histories.remove(&key);
    rebalancing::service_is_gone(state, &key);
    state.lifecycles.remove(&key);
    state.image_pins.remove(&key);
    match sets {
        Some(sets) => state.task_sets.insert(key.clone(), Arc::new(sets)),
        None => state.task_sets.remove(&key),
    };
    state.services.insert(key, Arc::new(service));
}

fn primary(at: Timestamp, id: DeploymentId, task_definition: &TaskDefinitionKey) -> Deployment {
    Deployment {
        id,
        status: DeploymentStatus::Primary,
        task_definition: task_definition.clone(),
        rollout: RolloutState::InProgress,
        created_at: at,
        updated_at: at,
        failed_tasks: 0,
        back_off: None,
    }
}

pub(super) fn changed(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::ServiceUpdated { key, spec, deployment } => with_definitions(state, key, |service| {
            update(service, at, spec, *deployment);
        }),
        Event::ServiceDraining { key } => {
            with(state, key, |service| {
                service.status = ServiceStatus::Draining;
                service.spec.desired_count = 0;
                bump(service);
            });
            deployment_history::service_is_gone(state, at, key);
            autoscaling::service_is_gone(state, key);
            task_set::service_is_gone(state, at, key);
            // The token made a service that is no more: its repeat asks for another one.
            request::service_is_gone(state, key);
        }
        Event::ServiceInactive { key } => {
            with_definitions(state, key, |service| {
                service.status = ServiceStatus::Inactive;
                service.deployments.clear();
                bump(service);
            });
            deployment_history::service_is_inactive(state, key);
            autoscaling::service_is_inactive(state, key);
            rebalancing::service_is_gone(state, key);
            deployment::forget(state, key);
            task_set::service_is_inactive(state, key);
            image_pin::revisions_went(state, key);
            request::service_is_gone(state, key);
        }
        Event::ServiceEventRecorded { key, id, message } => with(state, key, |service| {
            let event = ServiceEvent { id: *id, created_at: at, message: message.clone() };
            service.events.push_front(event);
            service.events.truncate(EVENTS_PER_SERVICE);
        }),
        Event::ServiceSteadinessChanged { key, steady } => with(state, key, |service| {
            service.steady = *steady;
        }),
        Event::DeploymentProgressed { key, deployment, rollout } => {
            rolled_out(state, at, key, *deployment, *rollout);
            deployment_history::progressed(state, at, key, *deployment, *rollout);
        }
        Event::DeploymentRetired { key, deployment } => {
            with_definitions(state, key, |service| {
                service.deployments.retain(|one| one.id != *deployment);
                bump(service);
            });
            deployment::forget(state, key);
            image_pin::revisions_went(state, key);
        }
        Event::DeploymentBackedOff { key, deployment, back_off, failed_tasks } => {
            with(state, key, |service| {
                with_deployment(service, at, *deployment, |one| {
                    one.back_off = *back_off;
                    one.failed_tasks = *failed_tasks;
                });
            });
        }
        _ => {}
    }
}

fn update(service: &mut Service, at: Timestamp, spec: &ServiceSpec, deployment: Option<DeploymentId>) {
    service.spec = spec.clone();
    if let Some(id) = deployment {
        for old in &mut service.deployments {
            old.status = DeploymentStatus::Active;
        }
        service.deployments.insert(0, primary(at, id, &spec.task_definition));
    } else if let Some(one) = service.deployments.first_mut() {
        one.updated_at = at;
    }
    service.steady = false;
    bump(service);
}

fn with(state: &mut State, key: &ServiceKey, change: impl FnOnce(&mut Service)) {
    if let Some(service) = state.services.get_mut(key) {
        change(Arc::make_mut(service));
    }
}

/// The same, for what changes what a service is made from.
fn with_definitions(state: &mut State, key: &ServiceKey, change: impl FnOnce(&mut Service)) {
    if let Some(service) = state.services.get_mut(key) {
        let sets = state.task_sets.get(key).map(|sets| &**sets);
        state.index.remove_definitions(service, sets);
        change(Arc::make_mut(service));
        state.index.add_definitions(service, sets);
    }
}

/// A deployment's rollout is that far.
pub(super) fn rolled_out(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    rollout: RolloutState,
) {
    with(state, key, |service| with_deployment(service, at, id, |one| one.rollout = rollout));
}

/// Something of a service changed that its controller is to look at anew.
pub(super) fn moved(state: &mut State, key: &ServiceKey) {
    with(state, key, bump);
}

fn with_deployment(
    service: &mut Service,
    at: Timestamp,
    id: DeploymentId,
    change: impl FnOnce(&mut Deployment),
) {
    if let Some(one) = service.deployments.iter_mut().find(|one| one.id == id) {
        one.updated_at = at;
        change(one);
    }
    bump(service);
}

pub(super) fn bump(service: &mut Service) {
    service.version = service.version.saturating_add(1);
}
