//! Services, as their controller moves them: start tasks, stop tasks, record how far a deployment is.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_types::{DeploymentId, ServiceName, TaskId, Zone};

use super::placement::check_distinct;
use super::task::{NewTasks, NewlyMade, create_tasks};
use super::{Decided, Decision, stale};
use crate::command::{Outcome, Placement, ServiceProgress};
use crate::limits::{BYTES_PER_COMMAND, EVENTS_PER_COMMAND};
use crate::object::{
    Deployment, DeploymentStatus, Described, DesiredStatus, Launch, Launching, NetworkConfiguration,
    PlacementRules, PropagateTags, RolloutState, SchedulingStrategy, Service, ServiceKey, ServiceStatus,
    StopCode, Tags, Task, TaskDefinition, TaskDefinitionKey, TaskOrigin, TaskOverrides, TaskStatus,
};
use crate::query::SERVICE_GROUP;
use crate::{Event, Rejection, Stamp, State};

/// Tasks that a service event names; the rest is counted.
const TASKS_NAMED: usize = 10;

pub(super) fn seen<'a>(
    state: &'a State,
    key: &ServiceKey,
    version: u64,
) -> Result<&'a Arc<Service>, Rejection> {
    let service = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    if service.version == version { Ok(service) } else { Err(stale(format!("service {}", key.name))) }
}

pub(super) fn start_tasks(
    state: &State,
    key: &ServiceKey,
    version: u64,
    (deployment, launch): (DeploymentId, Option<&Launch>),
    placements: &[Placement],
    stamp: &mut Stamp,
) -> Decided {
    let service = seen(state, key, version)?;
    if service.status != ServiceStatus::Active {
        return Err(Rejection::ServiceNotActive);
    }
    let run = running(state, service, deployment)?;
    if !Launching::of(&run.described).allows(launch) {
        return Err(stale(format!("where service {} is launched", key.name)));
    }
    let launches: Vec<Launch> = launch.into_iter().cycle().take(placements.len()).cloned().collect();
    check_maximum(state, service, &run, placements.len())?;
    if PlacementRules::of_service(&service.spec.described).are_distinct() {
        check_distinct(state, &key.cluster, &format!("{SERVICE_GROUP}{}", key.name), placements)?;
    }
    let definition = state.task_definition(run.definition).ok_or(Rejection::TaskDefinitionNotFound)?;
    let overrides = TaskOverrides::default();
    let network = NetworkConfiguration::of(&run.described);
    let tasks = NewTasks {
        cluster: &key.cluster,
        definition,
        overrides: &overrides,
        origin: TaskOrigin::Service { name: key.name.clone(), deployment },
        group: format!("{SERVICE_GROUP}{}", key.name),
        started_by: Some(deployment.to_string()),
        tags: task_tags(service, definition),
        placements,
        launches: &launches,
        promised: None,
        network: network.as_ref(),
    };
    let NewlyMade { mut events, mut ids, gpus } = create_tasks(state, tasks, stamp)?;
    // Tasks with many tags are large. Those that do not fit into this command are started by the controller's next one.
    let needed = events.iter().take_while(|event| !matches!(event, Event::TaskCreated { .. })).count();
    let made = events.get(needed..).unwrap_or_default();
    let each = made.len().checked_div(ids.len()).unwrap_or(1);
    // What is said of them, their GPUs and what they are launched on are one event each.
    let most = EVENTS_PER_COMMAND.saturating_sub(needed).saturating_sub(3).checked_div(each).unwrap_or(1);
    let of_one = gpus.clone().of(ids.get(..1).unwrap_or_default()).event();
    let fit = fitting(made.iter().take(each).chain(&of_one)).min(most);
    events.truncate(needed.saturating_add(fit.saturating_mul(each)));
    ids.truncate(fit);
    events.extend(gpus.of(&ids).event());
    if !ids.is_empty() {
        let placed: Vec<&Zone> = placements.iter().filter_map(|one| zone_of(state, one)).collect();
        let moved = moved_in(state, key, &placed);
        let to = moved.map_or_else(String::new, |zone| format!(" in {zone} to AZ Rebalance"));
        let message = format!("({}) has started {} tasks{to}: {}.", run.subject, ids.len(), name_tasks(&ids));
        events.push(Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message });
    }
    Ok(Decision { events, outcome: Outcome::Tasks(ids) })
}

/// How many tasks, which are alike, one command has room for, by the events that one of them takes. Half of it is left for longer zones
/// and what is said of them.
fn fitting<'a>(one: impl Iterator<Item = &'a Event>) -> usize {
    let bytes = one.map(|event| crate::codec::encode_event(event).len());
    let largest = bytes.fold(0, usize::saturating_add);
    (BYTES_PER_COMMAND / 2).checked_div(largest).map_or(1, |fit| fit.max(1))
}

/// Of whom an event tells: a service, or one of its task sets.
fn subject(service: &ServiceName, set: Option<DeploymentId>) -> String {
    match set {
        None => format!("service {service}"),
        Some(set) => format!("service {service}, taskSet {set}"),
    }
}

/// What new tasks may be started of: a service's primary deployment, the one that serves beside it or in its place, or one of its task
/// sets.
struct Running<'a> {
    definition: &'a TaskDefinitionKey,
    desired: u32,
    /// Whose tasks count toward the maximum, if not all of the service do.
    of: Option<DeploymentId>,
    subject: String,
    /// What says where they get network interfaces.
    described: Cow<'a, Described>,
}

fn running<'a>(state: &'a State, service: &'a Service, id: DeploymentId) -> Result<Running<'a>, Rejection> {
    let gone = || stale(format!("deployment {id}"));
    let name = &service.key.name;
    if let Some(sets) = state.task_sets(&service.key) {
        let set = sets.set(id).ok_or_else(gone)?;
        return Ok(Running {
            definition: &set.spec.task_definition,
            desired: set.computed_desired_count(service.spec.desired_count),
            of: Some(id),
            subject: subject(name, Some(id)),
            described: Cow::Borrowed(&set.spec.described),
        });
    }
    let beside = state.is_beside(service);
    let other = if beside { state.serving(service) } else { state.stand_in(service) };
    let serves = |one: &Deployment| other.is_some_and(|other| other.id == one.id);
    let found = service.deployments.iter().find(|one| one.id == id);
    let found =
        found.filter(|one| one.status == DeploymentStatus::Primary || serves(one)).ok_or_else(gone)?;
    if found.rollout == RolloutState::Failed {
        return Err(gone());
    }
    Ok(Running {
        definition: &found.task_definition,
        desired: desired(state, service),
        of: beside.then_some(id),
        subject: subject(name, None),
        described: match found.status {
            DeploymentStatus::Primary => Cow::Borrowed(&service.spec.described),
            DeploymentStatus::Active => Cow::Owned(described_of(state, service, id)),
        },
    })
}

/// How many tasks a service may be asked for: of a daemon as many as there are machines.
fn desired(state: &State, service: &Service) -> u32 {
    match SchedulingStrategy::of(&service.spec.described) {
        SchedulingStrategy::Replica => service.spec.desired_count,
        SchedulingStrategy::Daemon => {
            let instances = state.index().instances_of_cluster(&service.key.cluster).len();
            u32::try_from(instances).unwrap_or(u32::MAX)
        }
    }
}

/// What an older deployment's tasks are started with: as its revision has it.
fn described_of(state: &State, service: &Service, id: DeploymentId) -> Described {
    let history = state.deployment_history(&service.key);
    let revision = history.revision(state.revision_of(&service.key, id));
    revision.map_or(&service.spec, |revision| &revision.spec).described.clone()
}

/// The tasks with desired status RUNNING of a service, of one of its task sets, or of one of two deployments that run beside each
/// other, are never more than the maximum.
fn check_maximum(state: &State, service: &Service, run: &Running<'_>, more: usize) -> Result<(), Rejection> {
    let tasks = state.tasks_of_service(&service.key);
    let load = state.index().service_load(&service.key);
    let side = run.of.map(|id| state.deployments_like(&service.key, &load, id));
    let counts = |task: &&Arc<Task>| {
        let on_side = |side: &BTreeSet<DeploymentId>| task.deployment().is_some_and(|id| side.contains(&id));
        task.desired_status == DesiredStatus::Running && side.as_ref().is_none_or(on_side)
    };
    let wanted = tasks.iter().filter(counts).count();
    let maximum = service.spec.deployment_configuration.maximum(run.desired) as usize;
    if wanted.saturating_add(more) <= maximum {
        return Ok(());
    }
    Err(stale(format!("service {} ({wanted} tasks of at most {maximum})", service.key.name)))
}

fn task_tags(service: &Service, definition: &TaskDefinition) -> Tags {
    let mut tags = match service.spec.propagate_tags {
        PropagateTags::None => Tags::new(),
        PropagateTags::TaskDefinition => definition.tags.clone(),
        PropagateTags::Service => service.tags.clone(),
    };
    if service.spec.enable_ecs_managed_tags {
        tags.insert("aws:ecs:clusterName".to_owned(), service.key.cluster.name.to_string());
        tags.insert("aws:ecs:serviceName".to_owned(), service.key.name.to_string());
    }
    tags
}

fn zone_of<'a>(state: &'a State, placement: &Placement) -> Option<&'a Zone> {
    state.instance(placement.instance).map(|instance| &instance.registration.zone)
}

/// The zone of all these tasks, while one of the service is being moved.
fn moved_in<'a>(state: &State, key: &ServiceKey, zones: &[&'a Zone]) -> Option<&'a Zone> {
    let under_way = state.zone_move(key).is_some_and(|known| known.under_way);
    let one = zones.iter().all(|zone| Some(zone) == zones.first());
    zones.first().copied().filter(|_| under_way && one)
}

fn name_tasks(ids: &[TaskId]) -> String {
    let mut names: Vec<String> = ids.iter().take(TASKS_NAMED).map(|id| format!("(task {id})")).collect();
    if let Some(more) = ids.len().checked_sub(TASKS_NAMED).filter(|more| *more > 0) {
        names.push(format!("and {more} more"));
    }
    names.join(" ")
}

pub(super) fn stop_tasks(
    state: &State,
    key: &ServiceKey,
    version: u64,
    tasks: &[TaskId],
    reason: &str,
    stamp: &mut Stamp,
) -> Decided {
    seen(state, key, version)?;
    let of_sets = state.task_sets(key).is_some();
    let stoppable: Vec<TaskId> = tasks
        .iter()
        .copied()
        .filter(|id| {
            state.task(*id).is_some_and(|task| {
                task.service().as_ref() == Some(key)
                    && task.desired_status == DesiredStatus::Running
                    && task.last_status != TaskStatus::Stopped
            })
        })
        .collect();
    if stoppable.is_empty() {
        return Ok(Decision::nothing());
    }
    let mut events: Vec<Event> = stoppable
        .iter()
        .map(|task| Event::TaskStopRequested {
            task: *task,
            code: StopCode::ServiceSchedulerInitiated,
            reason: reason.to_owned(),
        })
        .collect();
    let set = stoppable.first().and_then(|id| state.task(*id)?.deployment()).filter(|_| of_sets);
    let zones: Vec<&Zone> = stoppable.iter().filter_map(|id| Some(&state.task(*id)?.zone)).collect();
    let moved = moved_in(state, key, &zones);
    let from = moved.map_or_else(String::new, |zone| format!(" in {zone} due to AZ rebalancing"));
    let message = format!(
        "({}) has stopped {} running tasks{from}: {}.",
        subject(&key.name, set),
        stoppable.len(),
        name_tasks(&stoppable)
    );
    events.push(Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message });
    Ok(Decision { events, outcome: Outcome::Tasks(stoppable) })
}

pub(super) fn record(
    state: &State,
    key: &ServiceKey,
    version: u64,
    progress: &ServiceProgress,
    stamp: &mut Stamp,
) -> Decided {
    let service = seen(state, key, version)?;
    let load = state.index().service_load(key);
    let mut events = Vec::new();
    for (deployment, rollout) in &progress.rollouts {
        known(service, *deployment)?;
        events.push(Event::DeploymentProgressed {
            key: key.clone(),
            deployment: *deployment,
            rollout: *rollout,
        });
    }
    for (deployment, back_off, failed_tasks) in &progress.back_offs {
        known(service, *deployment)?;
        events.push(Event::DeploymentBackedOff {
            key: key.clone(),
            deployment: *deployment,
            back_off: *back_off,
            failed_tasks: *failed_tasks,
        });
    }
    for deployment in &progress.retired {
        let is_primary = known(service, *deployment)? == DeploymentStatus::Primary;
        let adopted = service
            .deployments
            .first()
            .is_some_and(|primary| state.run_the_same(key, primary.id, *deployment));
        let left = !adopted && state.counts_of_deployment(key, &load, *deployment).tasks > 0;
        if is_primary || left {
            return Err(stale(format!("deployment {deployment}")));
        }
        events.push(Event::DeploymentRetired { key: key.clone(), deployment: *deployment });
    }
    for message in &progress.events {
        let message = message.clone();
        events.push(Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message });
    }
    if let Some(steady) = progress.steady.filter(|steady| *steady != service.steady) {
        events.push(Event::ServiceSteadinessChanged { key: key.clone(), steady });
    }
    if progress.inactive {
        if service.status != ServiceStatus::Draining || !load.tasks.is_empty() {
            return Err(stale(format!("service {}", key.name)));
        }
        events.push(Event::ServiceInactive { key: key.clone() });
    }
    Ok(Decision::of(events))
}

fn known(service: &Service, deployment: DeploymentId) -> Result<DeploymentStatus, Rejection> {
    let found = service.deployments.iter().find(|one| one.id == deployment);
    found.map(|one| one.status).ok_or_else(|| stale(format!("deployment {deployment}")))
}
