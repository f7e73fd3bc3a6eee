//! Services with task sets, and the sets: made, scaled, chosen, deleted by their users; moved by the service controller.

use std::sync::Arc;

use trireme_types::DeploymentId;

use super::{Decided, Decision, progress, service, stale, task_definition};
use crate::command::{Outcome, TaskSetProgress};
use crate::limits::TASK_SETS_PER_SERVICE;
use crate::object::{
    Scale, ServiceKey, ServiceSpec, ServiceStatus, Tags, TaskSet, TaskSetSpec, TaskSetStatus, TaskSets,
    roll_out_task_set,
};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn create_service(
    state: &State,
    key: &ServiceKey,
    spec: &ServiceSpec,
    tags: &Tags,
    created_by: &str,
) -> Decided {
    service::check_new(state, key, spec, tags)?;
    if !spec.task_definition.is_none() {
        return Err(Rejection::ServiceHasTaskSets);
    }
    let event = Event::ServiceWithTaskSetsCreated {
        key: key.clone(),
        spec: spec.clone(),
        tags: tags.clone(),
        created_by: created_by.to_owned(),
    };
    Ok(Decision { events: vec![event], outcome: Outcome::Service(key.clone()) })
}

/// The sets of a service whose user may change them.
fn sets_of<'a>(state: &'a State, key: &ServiceKey) -> Result<&'a Arc<TaskSets>, Rejection> {
    state.active_cluster(&key.cluster).ok_or(Rejection::ClusterNotFound)?;
    let service = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    let sets = state.task_sets(key).ok_or(Rejection::ServiceHasNoTaskSets)?;
    if service.status == ServiceStatus::Active { Ok(sets) } else { Err(Rejection::ServiceNotActive) }
}

fn found<'a>(state: &'a State, key: &ServiceKey, id: DeploymentId) -> Result<&'a TaskSet, Rejection> {
    sets_of(state, key)?.set(id).ok_or(Rejection::TaskSetNotFound)
}

fn kept<'a>(state: &'a State, key: &ServiceKey, id: DeploymentId) -> Result<&'a TaskSet, Rejection> {
    let set = found(state, key, id)?;
    if set.status == TaskSetStatus::Draining { Err(Rejection::TaskSetDraining) } else { Ok(set) }
}

fn outcome(key: &ServiceKey, id: DeploymentId) -> Outcome {
    Outcome::TaskSet(key.clone(), id)
}

pub(super) fn create(
    state: &State,
    key: &ServiceKey,
    spec: &TaskSetSpec,
    tags: &Tags,
    stamp: &mut Stamp,
) -> Decided {
    let sets = sets_of(state, key)?;
    task_definition::usable(state, &spec.task_definition)?;
    super::check_described(&spec.described)?;
    super::subnet::check_described(state, &key.cluster.scope, &spec.described)?;
    super::tag::check_limit(tags)?;
    if sets.sets.len() >= TASK_SETS_PER_SERVICE {
        let message = format!(
            "{TASK_SETS_PER_SERVICE} deployments exist on the service. Unable to create new TaskSet since this exceeds \
             the maximum limit."
        );
        return Err(Rejection::Invalid { message });
    }
    let id = stamp.ids.deployment();
    let set = TaskSet {
        id,
        spec: spec.clone(),
        status: TaskSetStatus::Active,
        tags: tags.clone(),
        created_at: stamp.now,
        updated_at: stamp.now,
        steady: false,
        steady_changed_at: stamp.now,
        completed: false,
        failed_tasks: 0,
        back_off: None,
    };
    let mut events = vec![Event::TaskSetCreated { key: key.clone(), set: Box::new(set) }];
    events.extend(told_of_count(state, key, id, spec.scale, stamp));
    Ok(Decision { events, outcome: outcome(key, id) })
}

/// What a service's owner is told when a set is to have another number of tasks, in ECS's words.
fn told_of_count(
    state: &State,
    key: &ServiceKey,
    id: DeploymentId,
    scale: Scale,
    stamp: &mut Stamp,
) -> Option<Event> {
    let count = scale.of(state.service(key)?.spec.desired_count);
    let message = format!("(service {}) updated computedDesiredCount for taskSet {id} to {count}.", key.name);
    (count > 0).then(|| Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message })
}

pub(super) fn scale(
    state: &State,
    key: &ServiceKey,
    id: DeploymentId,
    scale: Scale,
    stamp: &mut Stamp,
) -> Decided {
    let set = kept(state, key, id)?;
    if set.spec.scale == scale {
        return Ok(Decision { events: Vec::new(), outcome: outcome(key, id) });
    }
    let mut events = vec![Event::TaskSetScaled { key: key.clone(), id, scale }];
    events.extend(told_of_count(state, key, id, scale, stamp));
    Ok(Decision { events, outcome: outcome(key, id) })
}

pub(super) fn delete(state: &State, key: &ServiceKey, id: DeploymentId, force: bool) -> Decided {
    let set = found(state, key, id)?;
    let events = match set.status {
        TaskSetStatus::Draining => Vec::new(),
        TaskSetStatus::Primary if !force => return Err(Rejection::PrimaryTaskSet),
        _ if set.spec.scale > Scale::default() && !force => return Err(Rejection::TaskSetScaledAboveZero),
        _ => vec![Event::TaskSetDraining { key: key.clone(), id }],
    };
    Ok(Decision { events, outcome: outcome(key, id) })
}

pub(super) fn set_primary(state: &State, key: &ServiceKey, id: DeploymentId) -> Decided {
    let set = kept(state, key, id)?;
    let mut described = state.service(key).map(|service| service.spec.described.clone()).unwrap_or_default();
    roll_out_task_set(&mut described, &set.spec.described);
    super::check_described(&described)?;
    let events = match set.status {
        TaskSetStatus::Primary => Vec::new(),
        _ => vec![Event::PrimaryTaskSetChanged { key: key.clone(), id }],
    };
    Ok(Decision { events, outcome: outcome(key, id) })
}

pub(super) fn record(
    state: &State,
    key: &ServiceKey,
    version: u64,
    (all, steady, told): (&[TaskSetProgress], Option<bool>, &[String]),
    stamp: &mut Stamp,
) -> Decided {
    let service = progress::seen(state, key, version)?;
    let sets = state.task_sets(key).ok_or(Rejection::ServiceHasNoTaskSets)?;
    let mut events = Vec::new();
    for one in all {
        let id = one.id;
        let set = sets.set(id).ok_or_else(|| stale(format!("task set {id}")))?;
        if let Some((back_off, failed_tasks)) = one.back_off {
            events.push(Event::TaskSetBackedOff { key: key.clone(), id, back_off, failed_tasks });
        }
        for message in &one.events {
            let message = message.clone();
            events.push(Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message });
        }
        if let Some(steady) = one.steady.filter(|steady| *steady != set.steady) {
            events.push(Event::TaskSetSteadinessChanged { key: key.clone(), id, steady });
        }
        if one.gone {
            let mut tasks = state.tasks_of_service(key).into_iter();
            if set.status != TaskSetStatus::Draining || tasks.any(|task| task.deployment() == Some(id)) {
                return Err(stale(format!("task set {id}")));
            }
            events.push(Event::TaskSetDeleted { key: key.clone(), id });
        }
    }
    events.extend(told.iter().map(|message| Event::ServiceEventRecorded {
        key: key.clone(),
        id: stamp.ids.bits(),
        message: message.clone(),
    }));
    if let Some(steady) = steady.filter(|steady| *steady != service.steady) {
        events.push(Event::ServiceSteadinessChanged { key: key.clone(), steady });
    }
    Ok(Decision::of(events))
}
