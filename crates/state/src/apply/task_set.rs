//! What happens to services with task sets, and to the sets.

use std::sync::Arc;

use imbl::Vector;
use trireme_types::{DeploymentId, Timestamp};

use super::{image_pin, request, service};
use crate::object::{
    Described, Service, ServiceKey, TaskDefinitionKey, TaskSet, TaskSetStatus, roll_out_task_set,
};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::ServiceWithTaskSetsCreated { key, spec, tags, created_by } => {
            service::created(state, at, key, spec, tags, created_by, None);
        }
        Event::TaskSetCreated { key, set } => with_sets(state, key, |_, all| all.push_front((**set).clone())),
        Event::TaskSetScaled { key, id, scale } => with_set(state, at, key, *id, |set| {
            set.spec.scale = *scale;
        }),
        Event::TaskSetDraining { key, id } => with_sets(state, key, |service, all| {
            drain(service, all, at, *id);
        }),
        Event::TaskSetDeleted { key, id } => {
            with_sets(state, key, |_, all| all.retain(|set| set.id != *id));
            request::task_set_is_gone(state, *id);
            image_pin::revisions_went(state, key);
        }
        Event::PrimaryTaskSetChanged { key, id } => {
            with_sets(state, key, |service, all| choose(service, all, at, *id));
        }
        Event::TaskSetBackedOff { key, id, back_off, failed_tasks } => {
            with_sets(state, key, |_, all| {
                for set in all.iter_mut().filter(|set| set.id == *id) {
                    set.back_off = *back_off;
                    set.failed_tasks = *failed_tasks;
                }
            });
        }
        Event::TaskSetSteadinessChanged { key, id, steady } => with_sets(state, key, |service, all| {
            let desired = service.spec.desired_count;
            for set in all.iter_mut().filter(|set| set.id == *id) {
                set.steady = *steady;
                set.steady_changed_at = at;
                // None of no tasks has shown nothing.
                set.completed |= *steady && set.computed_desired_count(desired) > 0;
            }
        }),
        // No plan reads them.
        Event::TaskSetTagged { key, id, tags } => {
            let Some(all) = state.task_sets.get_mut(key) else { return };
            for set in Arc::make_mut(all).sets.iter_mut().filter(|set| set.id == *id) {
                set.tags.clone_from(tags);
            }
        }
        _ => {}
    }
}

/// The chosen one is primary, and what it is made from is what the service is made from.
fn choose(service: &mut Service, all: &mut Vector<TaskSet>, at: Timestamp, id: DeploymentId) {
    let Some(chosen) = all.iter().find(|set| set.id == id).cloned() else { return };
    for set in all.iter_mut() {
        let status = match set.status {
            _ if set.id == id => TaskSetStatus::Primary,
            TaskSetStatus::Primary => TaskSetStatus::Active,
            other => other,
        };
        if status != set.status {
            set.status = status;
            set.updated_at = at;
        }
    }
    service.spec.task_definition = chosen.spec.task_definition.clone();
    roll_out_task_set(&mut service.spec.described, &chosen.spec.described);
}

/// A service without a primary set is made from nothing.
fn drain(service: &mut Service, all: &mut Vector<TaskSet>, at: Timestamp, id: DeploymentId) {
    let Some(set) = all.iter_mut().find(|set| set.id == id) else { return };
    if set.status == TaskSetStatus::Primary {
        service.spec.task_definition = TaskDefinitionKey::none(&service.key.cluster.scope);
        roll_out_task_set(&mut service.spec.described, &Described::new());
    }
    set.status = TaskSetStatus::Draining;
    set.updated_at = at;
}

/// The service is being deleted, and all its sets with it.
pub(super) fn service_is_gone(state: &mut State, at: Timestamp, key: &ServiceKey) {
    if !state.task_sets.contains_key(key) {
        return;
    }
    with_sets(state, key, |_, all| {
        for set in all.iter_mut().filter(|set| set.status != TaskSetStatus::Draining) {
            set.status = TaskSetStatus::Draining;
            set.updated_at = at;
        }
    });
}

/// The service is inactive: none of its sets is left. That it had some says what its controller was.
pub(super) fn service_is_inactive(state: &mut State, key: &ServiceKey) {
    let Some(all) = state.task_sets.get_mut(key) else { return };
    let gone = std::mem::take(&mut Arc::make_mut(all).sets);
    for set in gone {
        request::task_set_is_gone(state, set.id);
    }
}

fn with_set(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    change: impl FnOnce(&mut TaskSet),
) {
    with_sets(state, key, |_, all| {
        if let Some(set) = all.iter_mut().find(|set| set.id == id) {
            change(set);
            set.updated_at = at;
        }
    });
}

/// Changes a service's sets. A plan that saw them as they were fits no longer.
fn with_sets(state: &mut State, key: &ServiceKey, change: impl FnOnce(&mut Service, &mut Vector<TaskSet>)) {
    let (Some(service), Some(all)) = (state.services.get_mut(key), state.task_sets.get_mut(key)) else {
        return;
    };
    state.index.remove_definitions(service, Some(&**all));
    let (service, all) = (Arc::make_mut(service), Arc::make_mut(all));
    change(service, &mut all.sets);
    service::bump(service);
    state.index.add_definitions(service, Some(&*all));
}
