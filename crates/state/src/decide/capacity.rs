//! Capacity: tasks on the managed pool and on providers' pools, those that wait for a machine, and the sizes of pools.

use std::collections::BTreeMap;

use trireme_types::{ContainerInstanceId, TaskId};

use super::task::{NewTasks, NewlyMade, create_tasks};
use super::{Decided, Decision, placement, progress, stale, task};
use crate::command::{CapacityCommand, Command, Outcome, Placement, RunTasks};
use crate::event::{CapacityEvent, ExecuteCommandEvent, PlacementEvent};
use crate::limits::INSTANCES_PER_CLUSTER;
use crate::object::{
    CapacityProviderKey, ClusterKey, Launch, NetworkConfiguration, PlacementRules, PoolSize, RunEnd,
    StopCode, TaskOrigin, WaitingRun,
};
use crate::{Event, Rejection, Stamp, State};

/// Characters of what is said of a decision.
const REASON: usize = 1_000;

pub(super) fn decide(state: &State, command: &CapacityCommand, stamp: &mut Stamp) -> Decided {
    match command {
        CapacityCommand::RunTasks { run, launches, waiting, allows_commands } => {
            run_tasks(state, run, launches, (waiting, *allows_commands), stamp)
        }
        CapacityCommand::StartServiceTasks { service, version, deployment, placements, launch } => {
            let mut decision = progress::start_tasks(
                state,
                service,
                *version,
                (*deployment, Some(launch)),
                placements,
                stamp,
            )?;
            if let Outcome::Tasks(tasks) = &decision.outcome {
                decision.events.extend(launched(tasks, launch));
            }
            Ok(decision)
        }
        CapacityCommand::PlaceWaitingRun { task, placement } => place(state, *task, placement, stamp),
        CapacityCommand::GiveUpWaitingRuns { tasks, reason } => {
            let end = RunEnd {
                at: stamp.now,
                code: StopCode::TaskFailedToStart,
                reason: reason.chars().take(REASON).collect(),
            };
            let waits = |id: &&TaskId| state.waiting_run(**id).is_some_and(|run| run.end.is_none());
            Ok(Decision::of(tasks.iter().filter(waits).map(|id| ended(*id, end.clone())).collect()))
        }
        CapacityCommand::ForgetWaitingRuns { tasks } => {
            let over = |id: &&TaskId| state.waiting_run(**id).is_some_and(|run| run.end.is_some());
            let gone = |id: &TaskId| Event::Capacity(CapacityEvent::WaitingRunForgotten { task: *id });
            Ok(Decision::of(tasks.iter().filter(over).map(gone).collect()))
        }
        CapacityCommand::SizePool { key, seen, wanted, leaving, idle, reason } => {
            size(state, (key, *seen), (*wanted, leaving), (*idle, reason), stamp)
        }
    }
}

/// No events of tasks that are none.
fn launched(tasks: &[TaskId], launch: &Launch) -> Option<Event> {
    let event = CapacityEvent::TasksLaunched { tasks: tasks.to_vec(), launch: launch.clone() };
    (!tasks.is_empty()).then_some(Event::Capacity(event))
}

pub(super) fn ended(task: TaskId, end: RunEnd) -> Event {
    Event::Capacity(CapacityEvent::WaitingRunEnded { task, end })
}

/// What runs tasks, with where and by what rules.
fn parts(run: &Command) -> Result<(&RunTasks, Option<&NetworkConfiguration>, PlacementRules), Rejection> {
    match run {
        Command::RunTasks(run) => Ok((run, None, PlacementRules::default())),
        Command::RunTasksInSubnets { run, network } => Ok((run, Some(network), PlacementRules::default())),
        Command::RunTasksByRules { run, rules } => {
            parts(run).map(|(run, network, _)| (run, network, (**rules).clone()))
        }
        _ => Err(Rejection::Invalid { message: "what is launched are tasks that are run".to_owned() }),
    }
}

fn run_tasks(
    state: &State,
    run: &Command,
    launches: &[Launch],
    (waiting, allows_commands): (&[Launch], bool),
    stamp: &mut Stamp,
) -> Decided {
    let (of, network, rules) = parts(run)?;
    if launches.len() != of.placements.len() {
        return Err(Rejection::Invalid { message: "each placement has a launch of its own".to_owned() });
    }
    let mut decision = match (of.placements.is_empty(), waiting.is_empty()) {
        (true, false) => Decision { outcome: Outcome::Tasks(Vec::new()), ..Decision::nothing() },
        _ => placement::run(state, run, launches, stamp)?,
    };
    let Outcome::Tasks(mut ids) = std::mem::take(&mut decision.outcome) else { return Ok(decision) };
    let mut by_launch: BTreeMap<&Launch, Vec<TaskId>> = BTreeMap::new();
    launches.iter().zip(&ids).for_each(|(launch, id)| by_launch.entry(launch).or_default().push(*id));
    decision.events.extend(by_launch.iter().filter_map(|(launch, tasks)| launched(tasks, launch)));
    if !waiting.is_empty() {
        check_room(state, &of.cluster, waiting.len())?;
        task::check_run(state, of, network)?;
    }
    for launch in waiting {
        check_provider(state, &of.cluster, launch)?;
        let run = WaitingRun {
            id: stamp.ids.task(),
            cluster: of.cluster.clone(),
            definition: of.definition.clone(),
            overrides: of.overrides.clone(),
            group: task::group(of),
            started_by: of.started_by.clone(),
            tags: of.tags.clone(),
            network: network.cloned(),
            rules: rules.clone(),
            launch: launch.clone(),
            allows_commands,
            created_at: stamp.now,
            end: None,
        };
        ids.push(run.id);
        decision.events.push(Event::Capacity(CapacityEvent::RunWaits { run: Box::new(run) }));
    }
    decision.outcome = Outcome::Tasks(ids);
    Ok(decision)
}

/// The same of a trigger that is due: that no more can wait now is no reason never to run.
pub(super) fn run_when_due(state: &State, command: &CapacityCommand, stamp: &mut Stamp) -> Decided {
    if let CapacityCommand::RunTasks { run, waiting, .. } = command
        && !waiting.is_empty()
        && check_room(state, &parts(run)?.0.cluster, waiting.len()).is_err()
    {
        return Err(stale("how many tasks are in PROVISIONING"));
    }
    decide(state, command, stamp)
}

/// Those that were given up count until they are forgotten.
fn check_room(state: &State, cluster: &ClusterKey, more: usize) -> Result<(), Rejection> {
    let limit_exceeded = |limit: usize| Rejection::LimitExceeded {
        what: "tasks in PROVISIONING".to_owned(),
        limit: limit as u64,
    };
    state.room_to_wait(cluster).check(more).map_err(limit_exceeded)
}

/// Only a pool that grows is worth waiting for.
fn check_provider(state: &State, cluster: &ClusterKey, launch: &Launch) -> Result<(), Rejection> {
    let provider = launch.provider().and_then(|name| state.provider_of_cluster(cluster, name));
    match provider {
        Some(provider) if provider.group.managed_scaling.enabled => Ok(()),
        _ => Err(stale("managed scaling of the capacity provider")),
    }
}

fn place(state: &State, id: TaskId, placement: &Placement, stamp: &mut Stamp) -> Decided {
    let run =
        state.waiting_run(id).filter(|run| run.end.is_none()).ok_or_else(|| stale(format!("task {id}")))?;
    state.active_cluster(&run.cluster).ok_or(Rejection::ClusterNotFound)?;
    let definition = state.task_definition(&run.definition).ok_or(Rejection::TaskDefinitionNotFound)?;
    let placements = std::slice::from_ref(placement);
    if run.rules.are_distinct() {
        placement::check_distinct(state, &run.cluster, &run.group, placements)?;
    }
    let tasks = NewTasks {
        cluster: &run.cluster,
        definition,
        overrides: &run.overrides,
        origin: TaskOrigin::Standalone,
        group: run.group.clone(),
        started_by: run.started_by.clone(),
        tags: run.tags.clone(),
        placements,
        launches: std::slice::from_ref(&run.launch),
        promised: Some(id),
        network: run.network.as_ref(),
    };
    let NewlyMade { mut events, ids, gpus } = create_tasks(state, tasks, stamp)?;
    events.extend(gpus.event());
    if !run.rules.is_empty() {
        let rules = Box::new(run.rules.clone());
        events.push(Event::Placement(PlacementEvent::TasksPlaced { tasks: ids.clone(), rules }));
    }
    events.extend(launched(&ids, &run.launch));
    if run.allows_commands {
        events.push(Event::ExecuteCommand(ExecuteCommandEvent::TasksAllowCommands { tasks: ids.clone() }));
    }
    Ok(Decision { events, outcome: Outcome::Tasks(ids) })
}

/// ECS API: StopTask, of a task that waits.
pub(super) fn stop(state: &State, run: &WaitingRun, reason: Option<&str>, stamp: &Stamp) -> Decided {
    state.active_cluster(&run.cluster).ok_or(Rejection::ClusterNotFound)?;
    if run.end.is_some() {
        return Ok(Decision::nothing());
    }
    let reason = reason.unwrap_or("Task stopped by user").to_owned();
    Ok(Decision::one(ended(run.id, RunEnd { at: stamp.now, code: StopCode::UserInitiated, reason })))
}

/// A decision has another number when it asks something else of the hook.
fn size(
    state: &State,
    (key, seen): (&CapacityProviderKey, u128),
    (wanted, leaving): (u32, &[ContainerInstanceId]),
    (idle, reason): (bool, &str),
    stamp: &mut Stamp,
) -> Decided {
    let provider = state.capacity_provider(key).ok_or(Rejection::CapacityProviderNotFound)?;
    if !provider.group.managed_scaling.enabled {
        return Err(stale(format!("managed scaling of capacity provider {}", key.name)));
    }
    let known = state.pool_size(key);
    if known.map_or(0, |known| known.request) != seen {
        return Err(stale(format!("the size of capacity provider {}", key.name)));
    }
    let limit = u32::try_from(INSTANCES_PER_CLUSTER).unwrap_or(u32::MAX);
    if wanted > limit || leaving.len() > INSTANCES_PER_CLUSTER {
        return Err(Rejection::LimitExceeded {
            what: "machines of a pool".to_owned(),
            limit: INSTANCES_PER_CLUSTER as u64,
        });
    }
    let since = known.and_then(|known| known.idle_since).unwrap_or(stamp.now);
    let idle_since = idle.then_some(since);
    let same = known.filter(|known| known.wanted == wanted && known.leaving == leaving);
    if same.is_some_and(|known| known.idle_since == idle_since) {
        return Ok(Decision::nothing());
    }
    let size = match same {
        Some(known) => PoolSize { idle_since, ..(**known).clone() },
        None => PoolSize {
            wanted,
            request: stamp.ids.bits(),
            leaving: leaving.to_vec(),
            at: stamp.now,
            idle_since,
            reason: reason.chars().take(REASON).collect(),
        },
    };
    Ok(Decision::one(Event::Capacity(CapacityEvent::PoolSized { key: key.clone(), size: Box::new(size) })))
}
