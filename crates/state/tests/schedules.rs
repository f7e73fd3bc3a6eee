//! Stories of schedules, their groups and rules: what is refused, and that a step of a trigger is all or nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::*;
use trireme_state::event::ScheduleEvent;
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn group(name: &str) -> ScheduleGroupKey {
    ScheduleGroupKey { scope: Scope::development(), name: name.to_owned() }
}

fn schedule(name: &str) -> ScheduleKey {
    ScheduleKey { group: group(DEFAULT_GROUP), name: name.to_owned() }
}

fn rule(name: &str) -> RuleKey {
    RuleKey { scope: Scope::development(), name: name.to_owned() }
}

fn ask(node: &mut Node, command: ScheduleCommand) -> Result<Outcome, Rejection> {
    node.propose(Command::Schedule(Box::new(command)))
}

fn create(key: ScheduleKey, next: u64) -> ScheduleCommand {
    ScheduleCommand::Create {
        key,
        spec: Box::new(schedule_spec(schedule_target(""))),
        next: Some(due_at(next)),
    }
}

fn put_rule(name: &str, seen: Option<u64>) -> ScheduleCommand {
    let (key, spec) = (rule(name), Box::new(rule_spec()));
    ScheduleCommand::PutRule { key, spec, next: Some(due_at(7)), tags: Tags::new(), seen }
}

/// A step of the schedule `s` from one time to another.
fn step(version: u64, due: u64, next: Option<u64>, runs: Vec<Run>) -> ScheduleCommand {
    ScheduleCommand::Fire(Box::new(Fire {
        trigger: Trigger::Schedule(schedule("s")),
        version,
        advance: Some(Advance {
            due: Timestamp::from_millis(due),
            next: next.map(due_at),
            missed: 0,
            reason: String::new(),
        }),
        runs,
    }))
}

fn again(version: u64, runs: Vec<Run>) -> ScheduleCommand {
    let trigger = Trigger::Schedule(schedule("s"));
    ScheduleCommand::Fire(Box::new(Fire { trigger, version, advance: None, runs }))
}

fn run(due: u64, tries: u32, result: RunResult) -> Run {
    Run { due: Timestamp::from_millis(due), target: String::new(), tries, result }
}

fn start(placements: Vec<Placement>, stop: Vec<TaskId>) -> RunResult {
    RunResult::Start { run: Box::new(run_tasks(definition("web", 1), placements)), stop }
}

fn defer(again_at: u64) -> RunResult {
    let again_at = Timestamp::from_millis(again_at);
    RunResult::Defer { again_at, reason: "no place".to_owned(), stop: Vec::new() }
}

fn is_stale(outcome: &Result<Outcome, Rejection>) -> bool {
    matches!(outcome, Err(Rejection::Stale { .. }))
}

/// A cluster with a machine, a definition, and the schedule `s`, which is due at 10.
fn ready() -> (Node, Placement) {
    let mut node = Node::at_latest_level();
    let at = node.open("agent", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    ask(&mut node, create(schedule("s"), 10)).unwrap();
    (node, at)
}

fn firing(node: &Node) -> Firing {
    (*node.state.firing(&Trigger::Schedule(schedule("s")))).clone()
}

#[test]
fn groups_hold_schedules_and_go_with_them() {
    let mut node = Node::at_latest_level();
    let inside = ScheduleKey { group: group("nightly"), name: "s".to_owned() };
    let missing = ask(&mut node, create(inside.clone(), 10));
    assert!(matches!(missing, Err(Rejection::ScheduleNotFound { .. })), "{missing:?}");
    let made = ScheduleCommand::CreateGroup { key: group("nightly"), tags: Tags::new() };
    ask(&mut node, made.clone()).unwrap();
    assert!(matches!(ask(&mut node, made), Err(Rejection::ScheduleExists { .. })));
    ask(&mut node, create(inside.clone(), 10)).unwrap();
    assert!(matches!(ask(&mut node, create(inside.clone(), 10)), Err(Rejection::ScheduleExists { .. })));
    assert_eq!(node.state.schedules_of(&group("nightly")).count(), 1);
    assert_eq!(node.state.index().due().iter().count(), 1);
    ask(&mut node, ScheduleCommand::DeleteGroup { key: group("nightly") }).unwrap();
    assert_eq!(node.state.schedules_in(&Scope::development()).count(), 0);
    assert_eq!(node.state.index().due().iter().count(), 0);
    let default = ask(&mut node, ScheduleCommand::DeleteGroup { key: group(DEFAULT_GROUP) });
    assert!(matches!(default, Err(Rejection::Invalid { .. })), "it is always there");
}

#[test]
fn tags_say_how_a_group_fires() {
    let (mut node, _) = ready();
    let trigger = Trigger::Schedule(schedule("s"));
    let tag = |name: &str, value: &str| ScheduleCommand::TagGroup {
        key: group(DEFAULT_GROUP),
        add: Tags::from([(name.to_owned(), value.to_owned())]),
        remove: Vec::new(),
    };
    assert_eq!(node.state.firing_policy(&trigger), FiringPolicy::default());
    ask(&mut node, tag(FiringPolicy::OVERLAP, "skip")).unwrap();
    ask(&mut node, tag(FiringPolicy::MISSED_RUNS, "latest")).unwrap();
    let policy = node.state.firing_policy(&trigger);
    assert_eq!((policy.overlap, policy.missed), (Overlap::Skip, MissedRuns::Latest));
    let wrong = ask(&mut node, tag(FiringPolicy::OVERLAP, "sometimes"));
    let message = "The tag trireme:overlap is allow, skip or replace.".to_owned();
    assert_eq!(wrong, Err(Rejection::Invalid { message }));
}

#[test]
fn a_step_is_taken_once() {
    let (mut node, at) = ready();
    let go = || step(1, 10, Some(20), vec![run(10, 0, start(vec![at.clone()], Vec::new()))]);
    ask(&mut node, go()).unwrap();
    assert_eq!(firing(&node).next, Some(due_at(20)));
    assert_eq!(node.state.tasks().count(), 1);
    assert!(is_stale(&ask(&mut node, go())), "the other leader's");
    assert!(is_stale(&ask(&mut node, step(2, 20, Some(30), Vec::new()))), "of another version");
    let change = ScheduleCommand::Update {
        key: schedule("s"),
        spec: Box::new(schedule_spec(schedule_target(""))),
        next: Some(due_at(15)),
    };
    ask(&mut node, change).unwrap();
    assert!(is_stale(&ask(&mut node, step(1, 20, Some(30), Vec::new()))), "planned before the update");
    ask(&mut node, ScheduleCommand::Delete { key: schedule("s") }).unwrap();
    assert!(is_stale(&ask(&mut node, step(2, 15, Some(30), Vec::new()))), "it is gone");
    assert_eq!(node.state.tasks().count(), 1);
}

#[test]
fn what_finds_no_place_waits_in_the_state() {
    let (mut node, at) = ready();
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, defer(12))])).unwrap();
    let pending = firing(&node).pending;
    assert_eq!((pending[0].tries, pending[0].again_at.millis()), (1, 12));
    let due: Vec<u64> = node.state.index().due().iter().map(|(at, _)| at.millis()).collect();
    assert_eq!(due, [12], "it is looked at when it is tried again");
    assert!(is_stale(&ask(&mut node, again(1, vec![run(10, 0, defer(13))]))), "tried by another leader");
    assert!(is_stale(&ask(&mut node, again(1, vec![run(9, 0, defer(13))]))), "no such run waits");
    ask(&mut node, again(1, vec![run(10, 1, defer(14))])).unwrap();
    ask(&mut node, again(1, vec![run(10, 2, start(vec![at], Vec::new()))])).unwrap();
    assert!(firing(&node).pending.is_empty());
    assert_eq!(node.state.tasks().count(), 1);
}

#[test]
fn a_run_that_is_refused_is_over_and_one_that_is_stale_changes_nothing() {
    let (mut node, at) = ready();
    let old = Placement { epoch: SessionEpoch::new(77), ..at.clone() };
    let stale = ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, start(vec![old], Vec::new()))]));
    assert!(is_stale(&stale), "{stale:?}");
    assert_eq!(firing(&node).next, Some(due_at(10)), "nor has it gone on");
    node.propose(Command::DeregisterTaskDefinition { key: definition("web", 1) }).unwrap();
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, start(vec![at], Vec::new()))])).unwrap();
    assert_eq!(node.state.tasks().count(), 0);
    let events: Vec<&'static str> =
        node.log.last().unwrap().events.iter().map(|sealed| sealed.event().name()).collect();
    assert_eq!(events, ["TriggerFired", "RunFailed"]);
}

#[test]
fn what_is_put_again_around_a_fire_does_not_fire_again() {
    let (mut node, at) = ready();
    // The asker read that it is due at 10; the leader was faster.
    let again = |spec: ScheduleSpec, next: u64| ScheduleCommand::Update {
        key: schedule("s"),
        spec: Box::new(spec),
        next: Some(due_at(next)),
    };
    let spec = || schedule_spec(schedule_target(""));
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, start(vec![at.clone()], Vec::new()))])).unwrap();
    ask(&mut node, again(ScheduleSpec { description: Some("again".to_owned()), ..spec() }, 10)).unwrap();
    assert_eq!(firing(&node).next, Some(due_at(20)));
    assert!(is_stale(&ask(&mut node, step(2, 10, Some(20), Vec::new()))));
    ask(&mut node, again(ScheduleSpec { zone: "Europe/Berlin".to_owned(), ..spec() }, 15)).unwrap();
    assert_eq!(firing(&node).next, Some(due_at(15)), "it has other times");
    ask(&mut node, again(ScheduleSpec { enabled: false, ..spec() }, 16)).unwrap();
    assert_eq!(firing(&node).next, None);
    ask(&mut node, again(spec(), 30)).unwrap();
    assert_eq!(firing(&node).next, Some(due_at(30)), "it was disabled");

    ask(&mut node, put_rule("r", None)).unwrap();
    let put = vec![schedule_target("a")];
    ask(&mut node, ScheduleCommand::ChangeTargets { key: rule("r"), put, remove: Vec::new() }).unwrap();
    ask(&mut node, fire_rule(2, vec![of_target("a", vec![at])])).unwrap();
    ask(&mut node, put_rule("r", Some(2))).unwrap();
    assert_eq!(node.state.firing(&Trigger::Rule(rule("r"))).next, Some(due_at(9)));
}

/// A step of the rule `r`, which is due at 7.
fn fire_rule(version: u64, runs: Vec<Run>) -> ScheduleCommand {
    let advance =
        Advance { due: Timestamp::from_millis(7), next: Some(due_at(9)), missed: 0, reason: String::new() };
    let trigger = Trigger::Rule(rule("r"));
    ScheduleCommand::Fire(Box::new(Fire { trigger, version, advance: Some(advance), runs }))
}

fn of_target(target: &str, placements: Vec<Placement>) -> Run {
    Run { target: target.to_owned(), ..run(7, 0, start(placements, Vec::new())) }
}

/// The rule `r` with the targets `a` and `b`.
fn ready_rule() -> (Node, Placement) {
    let (mut node, at) = ready();
    ask(&mut node, put_rule("r", None)).unwrap();
    let put = vec![schedule_target("a"), schedule_target("b")];
    ask(&mut node, ScheduleCommand::ChangeTargets { key: rule("r"), put, remove: Vec::new() }).unwrap();
    (node, at)
}

#[test]
fn what_has_no_room_beside_another_target_waits_for_the_next_step() {
    let (mut node, at) = ready_rule();
    // Each wants three tasks of 100 cpu units; the machine has 400.
    let one = |target: &str| of_target(target, vec![at.clone(); 3]);
    ask(&mut node, fire_rule(2, vec![one("a"), one("b")])).unwrap();
    assert_eq!(node.state.tasks().count(), 3, "a run has all its tasks or none");
    let firing = node.state.firing(&Trigger::Rule(rule("r")));
    let pending = &firing.pending[0];
    assert_eq!((firing.pending.len(), pending.target.as_str(), pending.tries), (1, "b", 1));
    assert!(pending.again_at > node.now, "{pending:?}");
}

#[test]
fn a_run_that_is_too_large_for_a_command_is_over_and_two_that_are_so_together_take_two() {
    let large = |run: Run, bytes: usize| {
        let RunResult::Start { run: command, stop } = run.result else { panic!("it starts") };
        let Command::RunTasks(mut tasks) = *command else { panic!("it runs tasks") };
        tasks.tags = Tags::from([("large".to_owned(), "x".repeat(bytes))]);
        let command = Box::new(Command::RunTasks(tasks));
        Run { result: RunResult::Start { run: command, stop }, ..run }
    };
    let (mut node, at) = ready_rule();
    let two = |target: &str, bytes| large(of_target(target, vec![at.clone(); 2]), bytes);
    ask(&mut node, fire_rule(2, vec![two("a", 300_000), two("b", 10)])).unwrap();
    let events = &node.log.last().unwrap().events;
    let why = events.iter().find_map(|sealed| match sealed.event() {
        Event::Schedule(ScheduleEvent::RunFailed { target, reason, .. }) => Some((target.as_str(), reason)),
        _ => None,
    });
    let (target, reason) = why.unwrap();
    assert_eq!(target, "a");
    assert!(reason.contains("too large for one command"), "{reason}");
    assert_eq!(node.state.tasks().count(), 2, "the other's");

    let (mut node, at) = ready_rule();
    let two = |target: &str, bytes| large(of_target(target, vec![at.clone(); 2]), bytes);
    ask(&mut node, fire_rule(2, vec![two("a", 150_000), two("b", 150_000)])).unwrap();
    assert_eq!(node.state.tasks().count(), 2);
    assert_eq!(node.state.firing(&Trigger::Rule(rule("r"))).pending[0].target, "b");
}

#[test]
fn a_run_replaces_its_own_earlier_tasks_and_no_others() {
    let (mut node, at) = ready();
    let Ok(Outcome::Tasks(others)) = node.propose(run_tasks(definition("web", 1), vec![at.clone()])) else {
        panic!("no task");
    };
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, start(vec![at.clone()], Vec::new()))])).unwrap();
    let (_, first) = firing(&node).tasks[0];
    let stop = vec![first, others[0]];
    ask(&mut node, step(1, 20, Some(30), vec![run(20, 0, start(vec![at], stop))])).unwrap();
    let wanted = |id: TaskId| node.state.task(id).unwrap().desired_status == DesiredStatus::Running;
    assert!(!wanted(first) && wanted(others[0]));
    assert_eq!(firing(&node).tasks.len(), 2, "the first is not STOPPED yet");
}

fn machines() -> Launch {
    Launch::Provider(provider("machines").name)
}

/// [`ready`], with a capacity provider whose pool grows.
fn ready_pool() -> (Node, Placement) {
    let (mut node, at) = ready();
    node.propose(create_provider("machines")).unwrap();
    let change = AutoScalingGroupChange { scaling: Some(true), ..Default::default() };
    node.propose(Command::UpdateCapacityProvider { key: provider("machines"), change }).unwrap();
    (node, at)
}

/// So many tasks wait for a machine.
fn wait(waiting: usize, stop: Vec<TaskId>) -> RunResult {
    let run = Command::Capacity(Box::new(CapacityCommand::RunTasks {
        run: Box::new(run_tasks(definition("web", 1), Vec::new())),
        launches: Vec::new(),
        waiting: vec![machines(); waiting],
        allows_commands: true,
    }));
    RunResult::Start { run: Box::new(Command::RunAllowingCommands(Box::new(run))), stop }
}

fn machine_of_pool(node: &mut Node) -> Placement {
    let mut registration = Box::new(registration("pool", "us-east-1a"));
    registration.attributes.insert(capability::POOL.to_owned(), "group-1".to_owned());
    match node.propose(Command::OpenSession { instance: None, registration }).unwrap() {
        Outcome::Session { instance, epoch } => Placement { instance, epoch },
        other => panic!("{other:?}"),
    }
}

#[test]
fn tasks_that_wait_for_a_machine_are_the_runs_and_keep_their_ids() {
    let (mut node, _) = ready_pool();
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, wait(2, Vec::new()))])).unwrap();
    let (due, first) = firing(&node).tasks[0];
    assert_eq!((due.millis(), firing(&node).tasks.len(), firing(&node).pending.len()), (10, 2, 0));
    assert!(node.state.is_under_way(first) && node.state.task(first).is_none());
    let placement = machine_of_pool(&mut node);
    let place = CapacityCommand::PlaceWaitingRun { task: first, placement };
    node.propose(Command::Capacity(Box::new(place))).unwrap();
    assert!(node.state.task(first).is_some() && node.state.allows_commands(first));
    ask(&mut node, step(1, 20, Some(30), vec![run(20, 0, wait(1, Vec::new()))])).unwrap();
    assert_eq!(firing(&node).tasks.len(), 3, "none of them is STOPPED");
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn what_waits_is_replaced_like_what_runs() {
    let (mut node, at) = ready_pool();
    let stranger = Command::Capacity(Box::new(CapacityCommand::RunTasks {
        run: Box::new(run_tasks(definition("web", 1), Vec::new())),
        launches: Vec::new(),
        waiting: vec![machines()],
        allows_commands: false,
    }));
    let Ok(Outcome::Tasks(others)) = node.propose(stranger) else { panic!("no task") };
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, wait(1, Vec::new()))])).unwrap();
    let (_, first) = firing(&node).tasks[0];
    let stop = vec![first, others[0]];
    ask(&mut node, step(1, 20, Some(30), vec![run(20, 0, start(vec![at], stop))])).unwrap();
    let end = node.state.waiting_run(first).unwrap().end.clone().unwrap();
    assert_eq!(end.code, StopCode::UserInitiated);
    assert_eq!(end.reason, "Replaced by the next run of schedule default/s");
    assert!(node.state.is_under_way(others[0]), "it is nobody's of the trigger");
    assert_eq!(firing(&node).tasks.len(), 1, "what ended is forgotten");
    let placement = machine_of_pool(&mut node);
    let late = CapacityCommand::PlaceWaitingRun { task: first, placement };
    assert!(is_stale(&node.propose(Command::Capacity(Box::new(late)))));
}

#[test]
fn a_run_without_room_to_wait_is_planned_anew_and_not_over() {
    let (mut node, _) = ready_pool();
    for _ in 0..2 {
        let RunResult::Start { run: many, .. } = wait(limits::WAITING_RUNS_PER_CLUSTER / 2, Vec::new())
        else {
            panic!("it starts")
        };
        node.propose(*many).unwrap();
    }
    let full = ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, wait(1, Vec::new()))]));
    assert!(is_stale(&full), "{full:?}");
    let change = AutoScalingGroupChange { scaling: Some(false), ..Default::default() };
    node.propose(Command::UpdateCapacityProvider { key: provider("machines"), change }).unwrap();
    let fixed = ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, wait(1, Vec::new()))]));
    assert!(is_stale(&fixed), "the pool grows no more: {fixed:?}");
    assert_eq!(firing(&node).next, Some(due_at(10)));
}

#[test]
fn a_run_is_tasks_and_nothing_else_of_capacity() {
    let (mut node, _) = ready_pool();
    let command = CapacityCommand::SizePool {
        key: provider("machines"),
        seen: 0,
        wanted: 3,
        leaving: Vec::new(),
        idle: false,
        reason: String::new(),
    };
    let command = Box::new(Command::Capacity(Box::new(command)));
    let result = RunResult::Start { run: command, stop: Vec::new() };
    ask(&mut node, step(1, 10, Some(20), vec![run(10, 0, result)])).unwrap();
    assert!(node.state.pool_size(&provider("machines")).is_none());
    let last = node.log.last().unwrap().events.last().unwrap().event().name();
    assert_eq!(last, "RunFailed");
}

#[test]
fn a_schedule_goes_when_it_never_fires_again_if_it_is_to() {
    let (mut node, at) = ready();
    let mut spec = schedule_spec(schedule_target(""));
    spec.delete_after = true;
    let update = ScheduleCommand::Update { key: schedule("s"), spec: Box::new(spec), next: Some(due_at(10)) };
    ask(&mut node, update).unwrap();
    ask(&mut node, step(2, 10, None, vec![run(10, 0, defer(12))])).unwrap();
    assert!(node.state.schedule(&schedule("s")).is_some(), "a run of it waits");
    ask(&mut node, again(2, vec![run(10, 1, start(vec![at], Vec::new()))])).unwrap();
    assert!(node.state.schedule(&schedule("s")).is_none());
}

#[test]
fn rules_have_five_targets_at_most_and_go_without_any() {
    let mut node = Node::at_latest_level();
    ask(&mut node, put_rule("r", None)).unwrap();
    assert!(is_stale(&ask(&mut node, put_rule("r", Some(9)))));
    ask(&mut node, put_rule("r", Some(1))).unwrap();
    let put: Vec<Target> = (0..6).map(|number| schedule_target(&number.to_string())).collect();
    let change = |put, remove| ScheduleCommand::ChangeTargets { key: rule("r"), put, remove };
    let many = ask(&mut node, change(put.clone(), Vec::new()));
    assert!(matches!(many, Err(Rejection::LimitExceeded { .. })), "{many:?}");
    ask(&mut node, change(put[..2].to_vec(), Vec::new())).unwrap();
    let delete = || ScheduleCommand::DeleteRule { key: rule("r") };
    assert!(matches!(ask(&mut node, delete()), Err(Rejection::Invalid { .. })));
    ask(&mut node, change(Vec::new(), vec!["0".to_owned(), "1".to_owned()])).unwrap();
    ask(&mut node, delete()).unwrap();
    ask(&mut node, delete()).unwrap();
    assert!(node.state.rule(&rule("r")).is_none());
}

#[test]
fn before_their_level_there_are_none() {
    let mut node = Node::new();
    let refused = ask(&mut node, create(schedule("s"), 10));
    assert!(matches!(refused, Err(Rejection::FeatureLevel { .. })), "{refused:?}");
}
