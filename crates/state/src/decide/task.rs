//! Tasks: run, stop, report, reap. Here each placement is checked again, on what is true now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trireme_types::{ContainerInstanceId, ContainerName, SessionEpoch, TaskId, Timestamp};

use super::gpu::Assigned;
use super::subnet::Draw;
use super::{Decided, Decision, stale, task_definition};
use crate::command::{Outcome, Placement, RunTasks, TaskHealthReport, TaskReport};
use crate::event::NetworkEvent;
use crate::index::InstanceLoad;
use crate::limits::{PLACEMENTS_PER_COMMAND, REPORTS_PER_COMMAND, TASKS_PER_INSTANCE};
use crate::object::{
    ClusterKey, ContainerInstance, ContainerReport, DesiredStatus, InstanceStatus, Launch,
    NetworkConfiguration, NetworkMode, Reservation, StopCode, Tags, Task, TaskDefinition, TaskHealth,
    TaskOrigin, TaskOverrides, TaskStatus, TaskTimes,
};
use crate::query::reservation;
use crate::{Event, Rejection, Stamp, State};

pub(super) fn run(
    state: &State,
    run: &RunTasks,
    network: Option<&NetworkConfiguration>,
    launches: &[Launch],
    stamp: &mut Stamp,
) -> Decided {
    let definition = check_run(state, run, network)?;
    if run.placements.is_empty() {
        // A client token is forgotten with the last of its tasks: without one it would stay for ever.
        return Err(Rejection::Invalid {
            message: "there is no placement: name an instance for each task".into(),
        });
    }
    let tasks = NewTasks {
        cluster: &run.cluster,
        definition,
        overrides: &run.overrides,
        origin: TaskOrigin::Standalone,
        group: group(run),
        started_by: run.started_by.clone(),
        tags: run.tags.clone(),
        placements: &run.placements,
        launches,
        promised: None,
        network,
    };
    let NewlyMade { mut events, ids, gpus } = create_tasks(state, tasks, stamp)?;
    events.extend(gpus.event());
    Ok(Decision { events, outcome: Outcome::Tasks(ids) })
}

/// Whether tasks may be made so, wherever they run.
pub(super) fn check_run<'a>(
    state: &'a State,
    run: &RunTasks,
    network: Option<&NetworkConfiguration>,
) -> Result<&'a Arc<TaskDefinition>, Rejection> {
    // The pool's machines are for other clusters' tasks.
    let cluster = state.active_cluster(&run.cluster).filter(|cluster| !cluster.key.is_managed_pool());
    cluster.ok_or(Rejection::ClusterNotFound)?;
    let definition = task_definition::usable(state, &run.definition)?;
    super::tag::check_limit(&run.tags)?;
    super::subnet::check(state, &run.cluster.scope, network.unwrap_or(&NetworkConfiguration::default()))?;
    Ok(definition)
}

/// ECS API: Task.group.
pub(super) fn group(run: &RunTasks) -> String {
    run.group.clone().unwrap_or_else(|| format!("family:{}", run.definition.family))
}

/// What new tasks have in common.
pub(super) struct NewTasks<'a> {
    pub cluster: &'a ClusterKey,
    pub definition: &'a Arc<TaskDefinition>,
    pub overrides: &'a TaskOverrides,
    pub origin: TaskOrigin,
    pub group: String,
    pub started_by: Option<String>,
    pub tags: Tags,
    pub placements: &'a [Placement],
    /// On what each of them is launched; none: on a machine of the cluster.
    pub launches: &'a [Launch],
    /// The id that was promised, of a task that waited.
    pub promised: Option<TaskId>,
    /// Where they get interfaces of their own, if they are to have any.
    pub network: Option<&'a NetworkConfiguration>,
}

/// What becomes of placements.
pub(super) struct NewlyMade {
    /// Those of what the tasks need, and then as many for each task: that it is created, and its interface.
    pub events: Vec<Event>,
    /// The tasks, in the order of their events.
    pub ids: Vec<TaskId>,
    /// Their GPUs, which an event of its own tells after all others.
    pub gpus: Assigned,
}

/// Makes a task for each placement; stale if one of them holds no more.
pub(super) fn create_tasks(
    state: &State,
    new: NewTasks<'_>,
    stamp: &mut Stamp,
) -> Result<NewlyMade, Rejection> {
    if new.placements.len() > PLACEMENTS_PER_COMMAND {
        return Err(Rejection::LimitExceeded {
            what: "placements in one command".to_owned(),
            limit: PLACEMENTS_PER_COMMAND as u64,
        });
    }
    let held = reservation(&new.definition.spec, new.overrides);
    let nowhere = NetworkConfiguration::default();
    let interfaces = new.definition.spec.network_mode == Some(NetworkMode::Awsvpc);
    let network = new.network.filter(|_| interfaces).unwrap_or(&nowhere);
    if interfaces && network.subnets.is_empty() {
        return Err(Rejection::Invalid {
            message: "Network Configuration must be provided when networkMode 'awsvpc' is specified.".into(),
        });
    }
    let mut draw = Draw::new(state, &new.cluster.scope, network, stamp.now);
    let mut loads: BTreeMap<ContainerInstanceId, InstanceLoad> = BTreeMap::new();
    let (mut events, mut ids) = (super::log_group::wanted(state, new.cluster, new.definition), Vec::new());
    let mut gpus = Assigned::default();
    for (at, placement) in new.placements.iter().enumerate() {
        let instance = ready_instance(state, new.cluster, placement, new.launches.get(at))?;
        let load =
            loads.entry(instance.id).or_insert_with(|| (*state.index().instance_load(instance.id)).clone());
        let id = new.promised.unwrap_or_else(|| stamp.ids.task());
        hold(instance, load, &held, id)?;
        gpus.assign(state, &new.definition.spec, instance, load, id)?;
        ids.push(id);
        let mut task = new_task(&new, instance, &held, id, stamp);
        if !interfaces {
            events.push(Event::TaskCreated { task: Box::new(task) });
            continue;
        }
        // ECS API: lastStatus: until its agent has the interface.
        task.last_status = TaskStatus::Provisioning;
        let interface = Box::new(draw.interface(&task.zone, stamp)?);
        events.push(Event::TaskCreated { task: Box::new(task) });
        events.push(Event::Network(NetworkEvent::TaskAttached { task: id, interface }));
    }
    Ok(NewlyMade { events, ids, gpus })
}

fn ready_instance<'a>(
    state: &'a State,
    cluster: &ClusterKey,
    placement: &Placement,
    launch: Option<&Launch>,
) -> Result<&'a Arc<ContainerInstance>, Rejection> {
    let moved = || stale(format!("container instance {}", placement.instance));
    let instance = state.instance(placement.instance).ok_or_else(moved)?;
    let ready = state.takes(instance, cluster, launch)
        && instance.epoch == placement.epoch
        && state.is_present(instance)
        && instance.status == InstanceStatus::Active;
    if ready { Ok(instance) } else { Err(moved()) }
}

/// Adds a task to an instance's load, unless it no longer fits.
fn hold(
    instance: &ContainerInstance,
    load: &mut InstanceLoad,
    held: &Reservation,
    id: TaskId,
) -> Result<(), Rejection> {
    let full = |what: &str| stale(format!("free {what} of container instance {}", instance.id));
    let resources = &instance.registration.resources;
    let cpu = load.cpu.checked_add(held.cpu).filter(|cpu| *cpu <= resources.cpu);
    let memory = load.memory.checked_add(held.memory).filter(|memory| *memory <= resources.memory);
    load.cpu = cpu.ok_or_else(|| full("cpu"))?;
    load.memory = memory.ok_or_else(|| full("memory"))?;
    for port in &held.ports {
        if resources.reserved_ports.contains(port) || load.ports.insert(*port).is_some() {
            return Err(full("ports"));
        }
    }
    load.tasks.insert(id);
    if load.tasks.len() > TASKS_PER_INSTANCE { Err(full("task slots")) } else { Ok(()) }
}

fn new_task(
    new: &NewTasks<'_>,
    instance: &ContainerInstance,
    held: &Reservation,
    id: TaskId,
    stamp: &Stamp,
) -> Task {
    let containers = new.definition.spec.containers.iter().map(|container| ContainerReport {
        name: container.name.clone(),
        runtime_id: None,
        image_digest: None,
        status: TaskStatus::Pending,
        exit_code: None,
        reason: None,
        network_bindings: Vec::new(),
    });
    Task {
        id,
        cluster: new.cluster.clone(),
        definition: new.definition.key.clone(),
        origin: new.origin.clone(),
        instance: instance.id,
        zone: instance.registration.zone.clone(),
        reservation: held.clone(),
        overrides: new.overrides.clone(),
        group: new.group.clone(),
        started_by: new.started_by.clone(),
        tags: new.tags.clone(),
        desired_status: DesiredStatus::Running,
        last_status: TaskStatus::Pending,
        times: TaskTimes { created_at: stamp.now, ..TaskTimes::default() },
        stop_code: None,
        stopped_reason: None,
        containers: containers.collect(),
        version: 1,
    }
}

pub(super) fn stop(
    state: &State,
    cluster: &ClusterKey,
    id: TaskId,
    reason: Option<&str>,
    stamp: &Stamp,
) -> Decided {
    if let Some(run) = state.waiting_run(id).filter(|run| run.cluster == *cluster) {
        return super::capacity::stop(state, run, reason, stamp);
    }
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    let task = state.task(id).filter(|task| task.cluster == *cluster).ok_or(Rejection::TaskNotFound)?;
    if task.desired_status == DesiredStatus::Stopped {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::TaskStopRequested {
        task: id,
        code: StopCode::UserInitiated,
        reason: reason.unwrap_or("Task stopped by user").to_owned(),
    }))
}

/// ECS API: UpdateTaskProtection. Only a service's tasks are stopped by someone else than their owner.
pub(super) fn protect(
    state: &State,
    cluster: &ClusterKey,
    id: TaskId,
    minutes: Option<u32>,
    stamp: &Stamp,
) -> Decided {
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    let task = state.task(id).filter(|task| task.cluster == *cluster).ok_or(Rejection::TaskNotFound)?;
    if task.last_status == TaskStatus::Stopped {
        return Err(Rejection::TaskNotFound);
    }
    task.service().ok_or(Rejection::TaskNotOfService)?;
    let until =
        minutes.map(|minutes| stamp.now.plus(Duration::from_secs(u64::from(minutes).saturating_mul(60))));
    if until.is_none() && !state.task_protections.contains_key(&id) {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::TaskProtectionChanged { task: id, until }))
}

pub(super) fn report(
    state: &State,
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    reports: &[TaskReport],
) -> Decided {
    check_batch(state, instance, epoch, reports.len())?;
    // Two reports of one task in a batch: the second is judged by the first.
    let mut latest: BTreeMap<TaskId, Task> = BTreeMap::new();
    let mut events = Vec::new();
    for report in reports {
        let Some(stored) = state.task(report.task).filter(|task| task.instance == instance) else { continue };
        let task = latest.entry(report.task).or_insert_with(|| (**stored).clone());
        if let Some(news) = news(task, report) {
            crate::apply::progress(task, &news, state.clock());
            events.push(Event::TaskProgressed { report: Box::new(news) });
        }
    }
    Ok(Decision::of(events))
}

/// A batch is of the session that its instance has now, and of a size that one command may have.
pub(super) fn check_batch(
    state: &State,
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    reports: usize,
) -> Result<(), Rejection> {
    let known = state.instance(instance).ok_or(Rejection::ContainerInstanceNotFound)?;
    if known.epoch != epoch || !known.connected {
        return Err(Rejection::StaleEpoch);
    }
    if reports > REPORTS_PER_COMMAND {
        return Err(Rejection::LimitExceeded {
            what: "task reports in one command".to_owned(),
            limit: REPORTS_PER_COMMAND as u64,
        });
    }
    Ok(())
}

/// What is said of a task that is over no longer matters: it keeps what was known when it ended.
pub(super) fn report_health(
    state: &State,
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    reports: &[TaskHealthReport],
) -> Decided {
    check_batch(state, instance, epoch, reports.len())?;
    let mut latest: BTreeMap<TaskId, TaskHealth> = BTreeMap::new();
    let mut events = Vec::new();
    for report in reports {
        let ours = |task: &&Arc<Task>| task.instance == instance && task.last_status != TaskStatus::Stopped;
        let Some(task) = state.task(report.task).filter(ours) else { continue };
        let there = |name: &ContainerName| task.containers.iter().any(|container| container.name == *name);
        let mut health = report.health.clone();
        health.retain(|name, _| there(name));
        let known = latest.entry(task.id).or_insert_with(|| (*state.task_health(task.id)).clone());
        if *known != health {
            known.clone_from(&health);
            events.push(Event::TaskHealthChanged { task: task.id, health });
        }
    }
    Ok(Decision::of(events))
}

/// What a report adds to what is known, or nothing. What is known never goes back.
fn news(task: &Task, report: &TaskReport) -> Option<TaskReport> {
    if task.last_status == TaskStatus::Stopped || report.status < task.last_status {
        return None;
    }
    let containers: Vec<ContainerReport> = task
        .containers
        .iter()
        .map(|known| match report.containers.iter().find(|said| said.name == known.name) {
            Some(said) => forward(known, said, report.status),
            None => known.clone(),
        })
        .collect();
    let news = TaskReport {
        task: task.id,
        status: report.status,
        stop_code: first(task.stop_code.is_some(), report.stop_code),
        stopped_reason: first(task.stopped_reason.is_some(), report.stopped_reason.clone()),
        pull_started_at: first(task.times.pull_started_at.is_some(), report.pull_started_at),
        pull_stopped_at: first(task.times.pull_stopped_at.is_some(), report.pull_stopped_at),
        execution_stopped_at: first(task.times.execution_stopped_at.is_some(), report.execution_stopped_at),
        containers,
    };
    let nothing_new = news.status == task.last_status
        && news.containers == task.containers
        && news.stop_code.is_none()
        && news.stopped_reason.is_none()
        && news.pull_started_at.is_none()
        && news.pull_stopped_at.is_none()
        && news.execution_stopped_at.is_none();
    (!nothing_new).then_some(news)
}

/// What is said, unless it is already known.
fn first<T>(known: bool, said: Option<T>) -> Option<T> {
    if known { None } else { said }
}

fn forward(known: &ContainerReport, said: &ContainerReport, task: TaskStatus) -> ContainerReport {
    let bindings = if said.network_bindings.is_empty() { known } else { said };
    // A container of a stopped task is stopped, whatever was last heard of it.
    let status = if task == TaskStatus::Stopped { task } else { known.status.max(said.status) };
    ContainerReport {
        name: known.name.clone(),
        runtime_id: said.runtime_id.clone().or_else(|| known.runtime_id.clone()),
        image_digest: said.image_digest.clone().or_else(|| known.image_digest.clone()),
        status,
        exit_code: known.exit_code.or(said.exit_code),
        reason: known.reason.clone().or_else(|| said.reason.clone()),
        network_bindings: bindings.network_bindings.clone(),
    }
}

/// One whose address nobody else may have yet is kept: what is forgotten holds none.
pub(super) fn reap(state: &State, tasks: &[TaskId], now: Timestamp) -> Decided {
    let gone = |id: &TaskId| {
        let stopped = state.task(*id).is_some_and(|task| task.last_status == TaskStatus::Stopped);
        stopped && !state.holds_address(*id, now)
    };
    let mut unique: Vec<TaskId> = tasks.iter().copied().filter(gone).collect();
    unique.sort_unstable();
    unique.dedup();
    Ok(Decision::of(unique.into_iter().map(|task| Event::TaskReaped { task }).collect()))
}
