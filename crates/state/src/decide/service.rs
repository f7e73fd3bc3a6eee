//! Services, as their users change them: create, update, delete.

use super::{Decided, Decision, deployment, task_definition};
use crate::command::{Outcome, ServiceChange};
use crate::limits::{SERVICES_PER_CLUSTER, TASKS_PER_SERVICE};
use crate::object::{ROLLED_OUT, ServiceKey, ServiceSpec, ServiceStatus, Tags};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn create(
    state: &State,
    key: &ServiceKey,
    spec: &ServiceSpec,
    tags: &Tags,
    created_by: &str,
    stamp: &mut Stamp,
) -> Decided {
    check_new(state, key, spec, tags)?;
    task_definition::usable(state, &spec.task_definition)?;
    let id = stamp.ids.deployment();
    let mut events = vec![Event::ServiceCreated {
        key: key.clone(),
        spec: spec.clone(),
        tags: tags.clone(),
        created_by: created_by.to_owned(),
        deployment: id,
    }];
    events.extend(deployment::begun(state, key, None, id));
    Ok(Decision { events, outcome: Outcome::Service(key.clone()) })
}

/// Whether a service may be made, whatever it is made from.
pub(super) fn check_new(
    state: &State,
    key: &ServiceKey,
    spec: &ServiceSpec,
    tags: &Tags,
) -> Result<(), Rejection> {
    let cluster = state.active_cluster(&key.cluster).filter(|cluster| !cluster.key.is_managed_pool());
    cluster.ok_or(Rejection::ClusterNotFound)?;
    match state.service(key).map(|service| service.status) {
        Some(ServiceStatus::Active) => return Err(Rejection::ServiceExists),
        Some(ServiceStatus::Draining) => return Err(Rejection::ServiceDraining),
        Some(ServiceStatus::Inactive) | None => {}
    }
    check_count(spec.desired_count)?;
    super::check_described(&spec.described)?;
    super::subnet::check_described(state, &key.cluster.scope, &spec.described)?;
    super::tag::check_limit(tags)?;
    let active = state.services_of_cluster(&key.cluster);
    if active.filter(|service| service.status != ServiceStatus::Inactive).count() >= SERVICES_PER_CLUSTER {
        return Err(Rejection::LimitExceeded {
            what: "services in a cluster".to_owned(),
            limit: SERVICES_PER_CLUSTER as u64,
        });
    }
    Ok(())
}

pub(super) fn update(state: &State, key: &ServiceKey, change: &ServiceChange, stamp: &mut Stamp) -> Decided {
    state.active_cluster(&key.cluster).ok_or(Rejection::ClusterNotFound)?;
    let service = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    if service.status != ServiceStatus::Active {
        return Err(Rejection::ServiceNotActive);
    }
    let rolls_out = change.task_definition.is_some()
        || change.force_new_deployment
        || ROLLED_OUT.iter().any(|member| change.described.contains_key(*member));
    if rolls_out && state.task_sets(key).is_some() {
        return Err(Rejection::ServiceHasTaskSets);
    }
    let mut spec = service.spec.clone();
    if let Some(definition) = &change.task_definition
        && *definition != spec.task_definition
    {
        task_definition::usable(state, definition)?;
        spec.task_definition = definition.clone();
    }
    if let Some(count) = change.desired_count {
        check_count(count)?;
        spec.desired_count = count;
    }
    if let Some(configuration) = change.deployment_configuration {
        spec.deployment_configuration = configuration;
    }
    if let Some(propagate) = change.propagate_tags {
        spec.propagate_tags = propagate;
    }
    if let Some(managed) = change.enable_ecs_managed_tags {
        spec.enable_ecs_managed_tags = managed;
    }
    if let Some(seconds) = change.health_check_grace_period_seconds {
        spec.health_check_grace_period_seconds = Some(seconds);
    }
    for (member, value) in &change.described {
        match value {
            Some(json) => spec.described.insert(member.clone(), json.clone()),
            None => spec.described.remove(member),
        };
    }
    super::check_described(&spec.described)?;
    super::subnet::check_described(state, &key.cluster.scope, &spec.described)?;
    // Only what a task is made from begins a deployment, or where its traffic comes from; a new number does not (ECS API:
    // UpdateService).
    let differs = |member: &&str| spec.described.get(*member) != service.spec.described.get(*member);
    let deploys = change.force_new_deployment
        || spec.task_definition != service.spec.task_definition
        || ROLLED_OUT.iter().any(differs);
    if !deploys && spec == service.spec {
        return Ok(Decision::nothing());
    }
    let id = deploys.then(|| stamp.ids.deployment());
    let mut events = vec![Event::ServiceUpdated { key: key.clone(), spec, deployment: id }];
    let begun = id.and_then(|id| deployment::begun(state, key, Some(service), id));
    events.extend(begun);
    Ok(Decision { events, outcome: Outcome::Service(key.clone()) })
}

pub(super) fn delete(state: &State, key: &ServiceKey, force: bool) -> Decided {
    state.active_cluster(&key.cluster).ok_or(Rejection::ClusterNotFound)?;
    let service = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    match service.status {
        ServiceStatus::Inactive => Err(Rejection::ServiceNotFound),
        ServiceStatus::Draining => Ok(Decision::nothing()),
        ServiceStatus::Active if service.spec.desired_count > 0 && !force => {
            Err(Rejection::ServiceScaledAboveZero)
        }
        ServiceStatus::Active => Ok(Decision {
            events: vec![Event::ServiceDraining { key: key.clone() }],
            outcome: Outcome::Service(key.clone()),
        }),
    }
}

fn check_count(count: u32) -> Result<(), Rejection> {
    if count <= TASKS_PER_SERVICE {
        return Ok(());
    }
    Err(Rejection::LimitExceeded {
        what: "tasks in a service".to_owned(),
        limit: u64::from(TASKS_PER_SERVICE),
    })
}
