//! What a target comes to: its tasks placed all together, or why not.

use std::time::Duration;

use trireme_scheduler::{TaskRun, Unlaunchable, due, launch, place_launched};
use trireme_state::State;
use trireme_state::command::{RunResult, RunTasks};
use trireme_state::object::{
    Launching, NetworkMode, Overlap, RetryPolicy, Tags, Target, TargetTasks, TaskDefinition,
    TaskDefinitionKey, TaskDefinitionStatus, Trigger,
};
use trireme_types::{TaskId, Timestamp};

use super::Places;

/// The first pause after tasks found no place; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Runs a target for the time `due`, which found no place so many times. Within the pass, what it takes is taken.
pub(super) fn run(
    view: &State,
    places: &mut Places,
    (trigger, target): (&Trigger, &Target),
    (due, tries): (Timestamp, u32),
    now: Timestamp,
) -> RunResult {
    let others = others(view, trigger, due);
    let stop = match view.firing_policy(trigger).overlap {
        Overlap::Skip if !others.is_empty() => {
            let reason =
                format!("task {} of another run is not STOPPED, and runs do not overlap", others[0].1);
            return RunResult::Fail { reason };
        }
        Overlap::Replace if others.iter().any(|(of, _)| *of > due) => {
            return RunResult::Fail { reason: "a later run has started".to_owned() };
        }
        Overlap::Replace => others.into_iter().map(|(_, id)| id).collect(),
        Overlap::Allow | Overlap::Skip => Vec::new(),
    };
    let Some(tasks) = target.tasks() else {
        return RunResult::Fail { reason: "the target is no task".to_owned() };
    };
    let (task_run, launching) = match prepare(view, trigger, tasks) {
        Ok(prepared) => prepared,
        Err(reason) => return RunResult::Fail { reason },
    };
    let count = usize::try_from(tasks.count).unwrap_or(usize::MAX);
    let cluster = &tasks.cluster;
    let request = task_run.request(view, now, count);
    let nodes = places.of(view, &launching.machines(cluster));
    // A run has all its tasks or none: what some of them took does not count, and what other runs took does.
    let before = (count > 1).then(|| nodes.clone());
    let found = place_launched(view, nodes, (cluster, &launching), &request);
    if found.unplaced.is_empty() {
        return RunResult::Start { run: Box::new(task_run.at(view, found)), stop };
    }
    if let Some(before) = before {
        *nodes = before;
    }
    let reason = format!("no place for {} of {count} tasks: {}", found.missing(), found.why());
    match again_at(target.retry, due.plus(window(view, trigger)), tries, now) {
        Ok(again_at) => RunResult::Defer { again_at, reason, stop },
        Err(limit) => RunResult::Fail { reason: format!("{reason}; {limit}") },
    }
}

/// Tasks of other runs that are not STOPPED, with the time of each: also those that wait for a machine. A run that waited may find newer ones.
fn others(view: &State, trigger: &Trigger, due: Timestamp) -> Vec<(Timestamp, TaskId)> {
    let others = view.firing(trigger);
    let others = others.tasks.iter().filter(|(of, id)| *of != due && view.is_under_way(*id));
    others.copied().collect()
}

/// The flexible time window: no run is late within it.
fn window(view: &State, trigger: &Trigger) -> Duration {
    match trigger {
        Trigger::Schedule(key) => {
            view.schedule(key).map_or(Duration::ZERO, |schedule| due::window(&schedule.spec))
        }
        Trigger::Rule(_) => Duration::ZERO,
    }
}

/// When tasks that found no place are tried again, or which limit of the retry policy says that they are not.
fn again_at(retry: RetryPolicy, due: Timestamp, tries: u32, now: Timestamp) -> Result<Timestamp, String> {
    if tries >= retry.max_attempts {
        return Err(format!("it was tried again {tries} times, as often as its retry policy allows"));
    }
    let pause = PAUSE.saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    let again_at = now.plus(pause);
    let last = due.plus(Duration::from_secs(retry.max_age_seconds.into()));
    if again_at <= last {
        return Ok(again_at);
    }
    Err(format!("its retry policy allows no try later than {} s", retry.max_age_seconds))
}

/// What the tasks are made from now and on what they are launched, or what is missing. What was so when the target was put is checked again: on the
/// managed pool the tasks of all accounts are side by side.
fn prepare<'a>(
    view: &'a State,
    trigger: &Trigger,
    tasks: &TargetTasks,
) -> Result<(TaskRun<'a>, Launching), String> {
    if view.active_cluster(&tasks.cluster).is_none() {
        return Err(format!("there is no active cluster {}", tasks.cluster.name));
    }
    let definition = definition(view, tasks)?;
    let of_container = |name: &trireme_types::ContainerName| {
        definition.spec.containers.iter().any(|container| container.name == *name)
    };
    if let Some(unknown) = tasks.overrides.containers.iter().find(|change| !of_container(&change.name)) {
        let key = &definition.key;
        return Err(format!("{}:{} has no container {}", key.family, key.revision, unknown.name));
    }
    let run = RunTasks {
        cluster: tasks.cluster.clone(),
        definition: definition.key.clone(),
        overrides: tasks.overrides.clone(),
        group: tasks.group.clone(),
        started_by: Some(started_by(trigger)),
        tags: tags(tasks, definition),
        placements: Vec::new(),
    };
    let awsvpc = definition.spec.network_mode == Some(NetworkMode::Awsvpc);
    let network = tasks.network.clone().filter(|_| awsvpc);
    if awsvpc && network.is_none() {
        return Err("the definition's network mode is awsvpc, and the target has no subnets".to_owned());
    }
    let launching = launching(view, tasks, definition).map_err(|why| why.to_string())?;
    let (rules, commands) = (tasks.rules.clone(), tasks.allows_commands);
    Ok((TaskRun { run, definition, network, rules, commands }, launching))
}

fn launching(
    view: &State,
    tasks: &TargetTasks,
    definition: &TaskDefinition,
) -> Result<Launching, Unlaunchable> {
    let launching = tasks.launching.clone().unwrap_or_else(|| view.default_launching(&tasks.cluster));
    launch::check_strategy(view, &tasks.cluster, launching.strategy())?;
    let rules = (tasks.rules.constraints.len(), tasks.rules.strategy.len());
    launch::check_tasks(&launching, (&definition.spec, &tasks.overrides), rules)?;
    Ok(launching)
}

fn definition<'a>(view: &'a State, tasks: &TargetTasks) -> Result<&'a TaskDefinition, String> {
    let family = &tasks.family;
    let Some(revision) = tasks.revision else {
        let latest = view.latest_task_definition(&tasks.scope, family);
        return latest.map(AsRef::as_ref).ok_or_else(|| format!("no task definition of {family} is active"));
    };
    let key = TaskDefinitionKey { scope: tasks.scope.clone(), family: family.clone(), revision };
    let known = view.task_definition(&key).filter(|known| known.status == TaskDefinitionStatus::Active);
    known.map(AsRef::as_ref).ok_or_else(|| format!("the task definition {family}:{revision} is not active"))
}

/// As AWS's services mark the tasks that they run.
fn started_by(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Schedule(key) => format!("chronos-schedule/{}", key.name),
        Trigger::Rule(key) => format!("events-rule/{}", key.name),
    }
}

fn tags(tasks: &TargetTasks, definition: &TaskDefinition) -> Tags {
    let mut all = if tasks.propagates { definition.tags.clone() } else { Tags::new() };
    all.extend(tasks.tags.clone());
    if tasks.managed_tags {
        all.insert("aws:ecs:clusterName".to_owned(), tasks.cluster.name.to_string());
    }
    all
}
