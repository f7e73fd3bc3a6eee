//! Schedules and rules in a [`World`]: what is made, what time brings, and what was started.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trireme_controllers::{Controller, Observed, Plan, ScheduleController};
use trireme_scheduler::due;
use trireme_state::command::{Fire, RunResult, ScheduleCommand};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

use super::{World, cluster};

pub const MINUTE: Duration = Duration::from_secs(60);

pub fn moment(text: &str) -> Timestamp {
    let (date, time) = text.split_once(' ').unwrap();
    // Days between dates by the calendar that the state writes.
    let day = (0..40_000_u64)
        .map(|day| day * 86_400_000)
        .find(|millis| Timestamp::from_millis(*millis).to_string().starts_with(date))
        .unwrap();
    let parts: Vec<u64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    Timestamp::from_millis(day + (parts[0] * 3_600 + parts[1] * 60) * 1_000)
}

pub fn schedule_key(name: &str) -> ScheduleKey {
    let group = ScheduleGroupKey { scope: Scope::development(), name: DEFAULT_GROUP.to_owned() };
    ScheduleKey { group, name: name.to_owned() }
}

pub fn target(id: &str, definition: &TaskDefinitionKey, count: u32) -> Target {
    Target {
        id: id.to_owned(),
        described: "{}".to_owned(),
        invokes: Invocation::Tasks(Box::new(TargetTasks {
            cluster: cluster(),
            scope: definition.scope.clone(),
            family: definition.family.clone(),
            revision: Some(definition.revision),
            count,
            overrides: TaskOverrides::default(),
            group: None,
            launching: None,
            network: None,
            rules: PlacementRules::default(),
            tags: Tags::from([("by".to_owned(), "test".to_owned())]),
            propagates: false,
            managed_tags: true,
            allows_commands: true,
        })),
        input: TargetInput::Event,
        retry: RetryPolicy::default(),
    }
}

pub fn spec(world: &World, expression: &str, target: Target) -> ScheduleSpec {
    ScheduleSpec {
        expression: expression.to_owned(),
        zone: "UTC".to_owned(),
        start: None,
        end: None,
        window_minutes: 0,
        enabled: true,
        delete_after: false,
        description: None,
        kms_key_arn: None,
        anchor: world.now,
        target,
    }
}

pub fn ask(world: &mut World, command: ScheduleCommand) {
    world.user(Command::Schedule(Box::new(command)));
}

pub fn create(world: &mut World, name: &str, spec: ScheduleSpec) -> Trigger {
    let key = schedule_key(name);
    let next = due::of_schedule(&key, &spec, world.now);
    ask(world, ScheduleCommand::Create { key: key.clone(), spec: Box::new(spec), next });
    Trigger::Schedule(key)
}

pub fn set_policy(world: &mut World, name: &str, value: &str) {
    let key = schedule_key("").group;
    let add = Tags::from([(name.to_owned(), value.to_owned())]);
    ask(world, ScheduleCommand::TagGroup { key, add, remove: Vec::new() });
}

pub fn plan(world: &World) -> Plan {
    ScheduleController.plan(&world.view(), &Observed::default(), world.now)
}

/// Passes until there is nothing to do; agents work. Gives what was planned.
pub fn fire(world: &mut World) -> Vec<Command> {
    let mut all = Vec::new();
    for _ in 0..2_000 {
        let commands = plan(world).commands;
        if commands.is_empty() {
            world.agents_work(|_| true);
            return all;
        }
        for command in &commands {
            let actor = Actor::Controller(ScheduleController::NAME.to_owned());
            world.try_propose(actor, command.clone()).unwrap_or_else(|why| panic!("{why}: {command:?}"));
            invariant::check_state(&world.view()).unwrap();
        }
        all.extend(commands);
    }
    panic!("it plans for ever");
}

/// Lets time pass in steps to each time at which the controller asks to be woken.
pub fn live(world: &mut World, time: Duration) {
    let end = world.now.plus(time);
    loop {
        fire(world);
        let next = plan(world).wake_at.map_or(end, |at| at.min(end));
        if world.now >= end {
            return;
        }
        world.advance(next.since(world.now).max(Duration::from_millis(1)));
    }
}

/// Tasks that schedules and rules started, by the run's time, from the history of the world's store.
pub fn started(world: &World) -> Vec<Arc<Task>> {
    let mut tasks: Vec<Arc<Task>> =
        world.view().tasks().filter(|task| task.started_by.is_some()).cloned().collect();
    tasks.sort_by_key(|task| (task.times.created_at, task.id));
    tasks
}

pub fn times(world: &World) -> Vec<String> {
    started(world).iter().map(|task| task.times.created_at.to_string()[..16].replace('T', " ")).collect()
}

pub fn ready(at: &str) -> (World, TaskDefinitionKey) {
    let mut world = World::new();
    let at = moment(at);
    world.advance(at.since(world.now));
    world.agents_per_zone(1, 4_096, 4_096);
    let definition = world.register("job", 64, 64, None);
    (world, definition)
}

pub fn fires(commands: &[Command]) -> Vec<Fire> {
    let fires = commands.iter().filter_map(|command| match command {
        Command::Schedule(command) => match &**command {
            ScheduleCommand::Fire(fire) => Some((**fire).clone()),
            _ => None,
        },
        _ => None,
    });
    fires.collect()
}

/// A rule that is due each minute, with these targets.
pub fn minutely_rule(world: &mut World, targets: Vec<Target>) -> Trigger {
    let key = RuleKey { scope: Scope::development(), name: "minutely".to_owned() };
    let spec = RuleSpec {
        expression: Some("cron(* * * * ? *)".to_owned()),
        pattern: None,
        enabled: true,
        description: None,
        role_arn: None,
        anchor: world.now,
    };
    let (next, tags) = (due::of_rule(&spec, world.now), Tags::new());
    let spec = Box::new(spec);
    ask(world, ScheduleCommand::PutRule { key: key.clone(), spec, next, tags, seen: None });
    ask(world, ScheduleCommand::ChangeTargets { key: key.clone(), put: targets, remove: Vec::new() });
    Trigger::Rule(key)
}

/// A target with other tasks.
pub fn with_tasks(mut target: Target, change: impl FnOnce(&mut TargetTasks)) -> Target {
    if let Invocation::Tasks(tasks) = &mut target.invokes {
        change(tasks);
    }
    target
}

/// What is said of a target's tasks.
pub fn launched(target: Target, launching: Launching) -> Target {
    with_tasks(target, |tasks| tasks.launching = Some(launching))
}

/// The same on FARGATE, in these subnets.
pub fn on_fargate(target: Target, network: &NetworkConfiguration) -> Target {
    with_tasks(launched(target, Launching::Fargate), |tasks| tasks.network = Some(network.clone()))
}

/// What tasks run on, by what they were launched on.
pub fn launches(world: &World) -> BTreeMap<String, usize> {
    let view = world.view();
    let mut counts = BTreeMap::new();
    for task in started(world) {
        let on = match view.launch(task.id) {
            None => "instances".to_owned(),
            Some(Launch::Fargate) => "FARGATE".to_owned(),
            Some(Launch::Provider(name)) => name.to_string(),
        };
        *counts.entry(on).or_default() += 1;
    }
    counts
}

pub fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// What became of runs, for people.
pub fn reasons(world: &mut World) -> Vec<String> {
    let runs = fires(&fire(world)).into_iter().flat_map(|fire| fire.runs);
    let reason = runs.filter_map(|run| match run.result {
        RunResult::Start { .. } => None,
        RunResult::Defer { reason, .. } | RunResult::Fail { reason } => Some(reason),
    });
    reason.collect()
}
