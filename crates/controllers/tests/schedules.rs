//! Stories of schedules and rules on a fake clock: each time that one is due is seen to once, whoever leads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use support::pools::*;
use support::schedules::*;
use support::*;
use trireme_scheduler::due;
use trireme_state::command::{AutoScalingGroupChange, Fire, ScheduleCommand};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

#[test]
fn a_cron_in_a_time_zone_follows_its_clocks() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let mut berlin = spec(&world, "cron(30 2 * * ? *)", target("", &job, 1));
    berlin.zone = "Europe/Berlin".to_owned();
    create(&mut world, "nightly", berlin);
    live(&mut world, Duration::from_secs(4 * 86_400));
    // On the 29th there is no half past two.
    assert_eq!(times(&world), ["2026-03-28 01:30", "2026-03-30 00:30", "2026-03-31 00:30"]);
    let task = &started(&world)[0];
    assert_eq!(task.started_by.as_deref(), Some("chronos-schedule/nightly"));
    assert_eq!(task.group, "family:job");
    assert_eq!(task.tags.len(), 2, "its own, and the cluster's name");
    assert!(world.view().allows_commands(task.id));
}

#[test]
fn it_sleeps_until_the_next_time_and_a_satisfied_state_plans_nothing() {
    let (mut world, job) = ready("2026-03-27 12:00");
    assert_eq!((plan(&world).commands.len(), plan(&world).wake_at), (0, None));
    let noon = spec(&world, "cron(0 18 * * ? *)", target("", &job, 1));
    create(&mut world, "evening", noon);
    let plan = plan(&world);
    assert_eq!((plan.commands.len(), plan.wake_at), (0, Some(moment("2026-03-27 18:00"))));
    let mut disabled = spec(&world, "rate(1 minute)", target("", &job, 1));
    disabled.enabled = false;
    create(&mut world, "disabled", disabled);
    live(&mut world, Duration::from_secs(3_600));
    assert!(started(&world).is_empty());
}

#[test]
fn a_plan_of_a_leader_that_is_gone_changes_nothing() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
    create(&mut world, "minutely", minutely);
    world.advance(MINUTE);
    let old = plan(&world).commands;
    fire(&mut world);
    assert_eq!(started(&world).len(), 1);
    for command in old {
        let actor = Actor::Controller("the other leader".to_owned());
        assert!(matches!(world.try_propose(actor, command), Err(Rejection::Stale { .. })));
    }
    world.advance(MINUTE);
    let before_the_update = plan(&world).commands;
    let slower = spec(&world, "cron(0 0 * * ? *)", target("", &job, 1));
    let (key, next) =
        (schedule_key("minutely"), due::of_schedule(&schedule_key("minutely"), &slower, world.now));
    ask(&mut world, ScheduleCommand::Update { key, spec: Box::new(slower), next });
    for command in before_the_update {
        let refused = world.try_propose(Actor::Operator, command);
        assert!(matches!(refused, Err(Rejection::Stale { .. })), "{refused:?}");
    }
    assert_eq!(started(&world).len(), 1);
}

#[test]
fn missed_runs_are_made_up_for_as_the_retry_policy_allows() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let mut minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
    minutely.target.retry.max_age_seconds = 300;
    let trigger = create(&mut world, "minutely", minutely);
    world.advance(20 * MINUTE);
    fire(&mut world);
    // 12:15 to 12:20 are no older than five minutes.
    assert_eq!(started(&world).len(), 6);
    assert_eq!(world.view().firing(&trigger).next.unwrap().at, moment("2026-03-27 12:21"));
}

#[test]
fn of_missed_runs_only_the_latest_or_none_is_made_up_for() {
    for (policy, count) in [("latest", 1), ("skip", 2), ("catch-up", 20)] {
        let (mut world, job) = ready("2026-03-27 12:00");
        set_policy(&mut world, FiringPolicy::MISSED_RUNS, policy);
        let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
        create(&mut world, "minutely", minutely);
        world.advance(20 * MINUTE);
        fire(&mut world);
        // 12:20 is due now, and 12:19 is not more than a minute late.
        assert_eq!(started(&world).len(), count, "{policy}");
    }
}

#[test]
fn runs_overlap_unless_they_are_not_to() {
    for (policy, wanted, ever) in [("allow", 3, 3), ("skip", 1, 1), ("replace", 1, 3)] {
        let (mut world, job) = ready("2026-03-27 12:00");
        set_policy(&mut world, FiringPolicy::OVERLAP, policy);
        let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
        create(&mut world, "minutely", minutely);
        live(&mut world, 3 * MINUTE + MINUTE / 2);
        assert_eq!(started(&world).iter().filter(|task| task.wanted()).count(), wanted, "{policy}");
        assert_eq!(started(&world).len(), ever, "{policy}");
    }
    let (mut world, job) = ready("2026-03-27 12:00");
    set_policy(&mut world, FiringPolicy::OVERLAP, "skip");
    let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
    create(&mut world, "minutely", minutely);
    live(&mut world, MINUTE);
    let first = started(&world)[0].clone();
    world.exit(&first);
    live(&mut world, MINUTE);
    assert_eq!(started(&world).len(), 2, "what has ended is in nobody's way");
}

#[test]
fn what_finds_no_place_is_tried_again_and_then_given_up() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let large = world.register("large", 4_000, 64, None);
    let mut once = spec(&world, "at(2026-03-27T12:01:00)", target("", &large, 4));
    once.target.retry = RetryPolicy { max_age_seconds: 3_600, max_attempts: 3 };
    once.delete_after = true;
    let trigger = create(&mut world, "once", once.clone());
    world.advance(MINUTE);
    fire(&mut world);
    let pending = world.view().firing(&trigger).pending.clone();
    assert_eq!((pending.len(), pending[0].tries), (1, 1));
    assert!(pending[0].reason.contains("no place for 1 of 4 tasks"), "{}", pending[0].reason);
    assert!(started(&world).is_empty(), "a run has all its tasks or none");
    assert_eq!(plan(&world).wake_at, Some(world.now.plus(Duration::from_secs(1))));
    // A machine joins: the second try finds places.
    world.agent(ZONES[0], 4_096, 4_096);
    live(&mut world, Duration::from_secs(2));
    assert_eq!(started(&world).len(), 4);
    assert!(world.view().schedule(&schedule_key("once")).is_none(), "it goes when all is done");

    let (expression, target) = ("at(2026-03-27T12:05:00)".to_owned(), target("", &large, 5));
    create(&mut world, "never", ScheduleSpec { expression, delete_after: false, target, ..once.clone() });
    let trigger = Trigger::Schedule(schedule_key("never"));
    world.advance(5 * MINUTE);
    for (tries, pause) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 32), (7, 60), (8, 60)] {
        fire(&mut world);
        let pending = world.view().firing(&trigger).pending[0].clone();
        assert_eq!((pending.tries, pending.again_at.since(world.now)), (tries, Duration::from_secs(pause)));
        world.advance(Duration::from_secs(pause));
    }
    assert_eq!(started(&world).len(), 4);
}

#[test]
fn what_cannot_run_says_why_and_is_not_tried_again() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
    let trigger = create(&mut world, "minutely", minutely);
    world.user(Command::DeregisterTaskDefinition { key: job });
    world.advance(MINUTE);
    let commands = fire(&mut world);
    assert!(format!("{commands:?}").contains("the task definition job:1 is not active"), "{commands:?}");
    let firing = world.view().firing(&trigger);
    assert!(firing.pending.is_empty());
    assert_eq!(firing.next.unwrap().at, moment("2026-03-27 12:02"));
}

#[test]
fn a_rule_starts_all_its_targets() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let key = RuleKey { scope: Scope::development(), name: "hourly".to_owned() };
    let spec = RuleSpec {
        expression: Some("rate(1 hour)".to_owned()),
        pattern: None,
        enabled: true,
        description: None,
        role_arn: None,
        anchor: world.now,
    };
    let next = due::of_rule(&spec, world.now);
    let put = ScheduleCommand::PutRule {
        key: key.clone(),
        spec: Box::new(spec),
        next,
        tags: Tags::new(),
        seen: None,
    };
    ask(&mut world, put);
    let targets = vec![target("a", &job, 2), target("b", &job, 3)];
    ask(&mut world, ScheduleCommand::ChangeTargets { key, put: targets, remove: Vec::new() });
    live(&mut world, Duration::from_secs(3_600 + 60));
    assert_eq!(times(&world), ["2026-03-27 13:00"; 5]);
    assert_eq!(started(&world)[0].started_by.as_deref(), Some("events-rule/hourly"));
}

#[test]
fn a_flexible_window_has_a_place_for_each_run() {
    let (mut world, job) = ready("2026-03-27 12:00");
    let mut hourly = spec(&world, "cron(0 * * * ? *)", target("", &job, 1));
    hourly.window_minutes = 15;
    create(&mut world, "hourly", hourly);
    live(&mut world, Duration::from_secs(24 * 3_600 + 900));
    let late: Vec<u64> =
        started(&world).iter().map(|task| task.times.created_at.millis() % 3_600_000).collect();
    assert_eq!(late.len(), 24);
    assert!(late.iter().all(|late| *late <= 15 * 60_000), "{late:?}");
    assert!(late.iter().collect::<BTreeSet<_>>().len() > 20, "{late:?}");
}

#[test]
fn in_a_window_that_is_longer_than_the_pause_no_run_is_late() {
    for policy in ["latest", "skip", "catch-up"] {
        let (mut world, job) = ready("2026-03-27 12:00");
        set_policy(&mut world, FiringPolicy::MISSED_RUNS, policy);
        let mut often = spec(&world, "cron(0/5 * * * ? *)", target("", &job, 1));
        often.window_minutes = 15;
        create(&mut world, "often", often);
        live(&mut world, Duration::from_secs(4 * 3_600 + 900));
        assert_eq!(started(&world).len(), 48, "{policy}");
    }
}

#[test]
fn within_its_window_a_run_is_tried_again_though_its_policy_is_impatient() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let huge = world.register("huge", 8_192, 64, None);
    let mut once = spec(&world, "cron(1 12 * * ? *)", target("", &huge, 1));
    once.window_minutes = 15;
    once.target.retry.max_age_seconds = 60;
    let trigger = create(&mut world, "late", once);
    let begins = world.view().firing(&trigger).next.unwrap().fires_at;
    assert!(begins > moment("2026-03-27 12:02"), "this one begins late in its window");
    world.advance(begins.since(world.now));
    fire(&mut world);
    assert_eq!(world.view().firing(&trigger).pending.len(), 1);
    world.advance(17 * MINUTE);
    let why = reasons(&mut world);
    assert!(why[0].ends_with("its retry policy allows no try later than 60 s"), "{why:?}");
}

#[test]
fn what_waits_does_not_run_once_it_is_disabled() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let huge = world.register("huge", 8_192, 64, None);
    let minutely = spec(&world, "cron(1 12 * * ? *)", target("", &huge, 1));
    let trigger = create(&mut world, "once", minutely.clone());
    world.advance(MINUTE);
    fire(&mut world);
    assert_eq!(world.view().firing(&trigger).pending.len(), 1);
    let disabled = ScheduleSpec { enabled: false, ..minutely };
    let key = schedule_key("once");
    ask(&mut world, ScheduleCommand::Update { key, spec: Box::new(disabled), next: None });
    world.agent(ZONES[0], 16_384, 1_024);
    world.advance(60 * MINUTE);
    assert_eq!(reasons(&mut world), ["it was disabled meanwhile"]);
    assert!(started(&world).is_empty() && world.view().firing(&trigger).pending.is_empty());
}

#[test]
fn many_at_once_share_the_machines() {
    let (mut world, job) = ready("2026-03-27 12:00");
    for number in 0..150 {
        let minutely = spec(&world, "at(2026-03-27T12:01:00)", target("", &job, 1));
        create(&mut world, &format!("s{number}"), minutely);
    }
    world.advance(MINUTE);
    let commands = fire(&mut world);
    assert_eq!(commands.len(), 150, "none is refused, none planned twice");
    assert_eq!(started(&world).len(), 150);
}

#[test]
fn a_run_without_room_for_all_its_tasks_leaves_what_others_took() {
    let (mut world, _) = ready("2026-03-27 12:00");
    // Three machines of 4,096: `a` takes one, four of `b` do not fit beside it, and `c` finds the two that are left.
    let large = world.register("large", 4_000, 64, None);
    let targets = vec![target("a", &large, 1), target("b", &large, 4), target("c", &large, 2)];
    let trigger = minutely_rule(&mut world, targets);
    world.advance(MINUTE);
    fire(&mut world);
    assert_eq!(started(&world).len(), 3);
    let firing = world.view().firing(&trigger);
    let pending: Vec<&str> = firing.pending.iter().map(|pending| pending.target.as_str()).collect();
    assert_eq!(pending, ["b"]);
}

#[test]
fn runs_that_wait_are_tried_again_a_few_at_a_time() {
    let (mut world, _) = ready("2026-03-27 12:00");
    let large = world.register("large", 4_000, 64, None);
    let minutely = spec(&world, "cron(* * * * ? *)", target("", &large, 1));
    let trigger = create(&mut world, "minutely", minutely);
    for _ in 0..15 {
        world.advance(MINUTE);
        fire(&mut world);
    }
    assert_eq!((started(&world).len(), world.view().firing(&trigger).pending.len()), (3, 12));
    for _ in 0..13 {
        world.agent(ZONES[0], 4_096, 4_096);
    }
    world.advance(MINUTE);
    let first = plan(&world);
    let sizes = |fires: Vec<Fire>| -> Vec<(bool, usize)> {
        fires.iter().map(|fire| (fire.advance.is_some(), fire.runs.len())).collect()
    };
    assert_eq!((sizes(fires(&first.commands)), first.wake_at), (vec![(true, 1)], Some(world.now)));
    assert_eq!(sizes(fires(&fire(&mut world))), [(true, 1), (false, 5), (false, 5), (false, 2)]);
    assert_eq!(started(&world).len(), 16);
}

#[test]
fn a_run_that_waited_does_not_replace_a_later_one_nor_run_beside_it() {
    for (policy, why) in [("replace", "a later run has started"), ("skip", "runs do not overlap")] {
        let (mut world, _) = ready("2026-03-27 12:00");
        set_policy(&mut world, FiringPolicy::OVERLAP, policy);
        let large = world.register("large", 4_000, 64, None);
        let minutely = spec(&world, "cron(* * * * ? *)", target("", &large, 4));
        let trigger = create(&mut world, "minutely", minutely.clone());
        world.advance(MINUTE);
        fire(&mut world);
        assert_eq!(world.view().firing(&trigger).pending.len(), 1);
        // The next run wants less, and its time comes before the first one is tried again.
        let key = schedule_key("minutely");
        let small = ScheduleSpec { target: target("", &large, 1), ..minutely };
        ask(&mut world, ScheduleCommand::Update { key, spec: Box::new(small), next: None });
        world.advance(MINUTE);
        let runs: Vec<String> =
            fires(&fire(&mut world)).iter().map(|fire| format!("{:?}", fire.runs)).collect();
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert!(runs[1].contains(why), "{runs:?}");
        assert_eq!(started(&world).iter().filter(|task| task.wanted()).count(), 1);
        assert!(world.view().firing(&trigger).pending.is_empty());
    }
}

#[test]
fn what_was_missed_for_long_is_passed_over_in_parts() {
    let (mut world, job) = ready("2026-03-27 12:00");
    set_policy(&mut world, FiringPolicy::MISSED_RUNS, "skip");
    for name in ["a", "b"] {
        let minutely = spec(&world, "cron(* * * * ? *)", target("", &job, 1));
        create(&mut world, name, minutely);
    }
    world.advance(1_000 * MINUTE);
    let first = plan(&world);
    let passed: Vec<u32> =
        fires(&first.commands).iter().filter_map(|fire| Some(fire.advance.as_ref()?.missed)).collect();
    assert_eq!((passed, first.wake_at), (vec![200, 200], Some(world.now)), "each has its turn");
    fire(&mut world);
    assert_eq!(started(&world).len(), 4);
}

/// One thing that happens in a random life.
#[derive(Debug, Clone)]
enum Happens {
    /// Time passes while somebody leads.
    Led(u64),
    /// Time passes while nobody does.
    Unled(u64),
    /// A leader plans, and what it planned arrives only later, or never.
    Delayed(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (1..400_000u64).prop_map(Happens::Led),
        2 => (1..400_000u64).prop_map(Happens::Unled),
        2 => any::<bool>().prop_map(Happens::Delayed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whoever leads and whenever nobody does: each time that a schedule was due has exactly one run.
    #[test]
    fn each_time_is_seen_to_once(
        expressions in prop::collection::vec(
            prop::sample::select(&["cron(* * * * ? *)", "rate(1 minute)", "rate(3 minutes)", "cron(0/2 * * * ? *)"][..]), 1..5,
        ),
        window in 0..3u32,
        on in prop::collection::vec(0..4usize, 5),
        life in prop::collection::vec(happens(), 1..25),
    ) {
        let (mut world, targets) = anywhere();
        let begin = world.now;
        let mut keys = Vec::new();
        for (number, expression) in expressions.iter().enumerate() {
            let mut made = spec(&world, expression, targets[on[number]].clone());
            made.window_minutes = window;
            create(&mut world, &format!("s{number}"), made.clone());
            keys.push((schedule_key(&format!("s{number}")), made));
        }
        let mut runs: BTreeMap<(Trigger, Timestamp), u32> = BTreeMap::new();
        let mut on_their_way: Vec<Command> = Vec::new();
        for event in life {
            match event {
                Happens::Led(millis) => {
                    let end = world.now.plus(Duration::from_millis(millis));
                    while world.now < end {
                        count(&fire(&mut world), &mut runs);
                        let next = plan(&world).wake_at.map_or(end, |at| at.min(end));
                        world.advance(next.since(world.now).max(Duration::from_millis(1)));
                        finish(&mut world);
                    }
                }
                Happens::Unled(millis) => world.advance(Duration::from_millis(millis)),
                Happens::Delayed(arrives) => {
                    if arrives {
                        for command in std::mem::take(&mut on_their_way) {
                            if world.try_propose(Actor::Operator, command.clone()).is_ok() {
                                count(&[command], &mut runs);
                            }
                        }
                    }
                    on_their_way.extend(plan(&world).commands);
                }
            }
            finish(&mut world);
        }
        count(&fire(&mut world), &mut runs);
        prop_assert!(runs.values().all(|count| *count == 1), "twice: {:?}", runs);
        finish(&mut world);
        prop_assert_eq!(started(&world).len(), runs.len(), "each run has its task, though it waited for a machine");
        for (key, made) in keys {
            let (mut at, trigger) = (begin, Trigger::Schedule(key.clone()));
            while let Some(due) = due::of_schedule(&key, &made, at).filter(|due| due.fires_at <= world.now) {
                prop_assert!(runs.contains_key(&(trigger.clone(), due.at)), "missed: {trigger} of {}", due.at);
                at = due.at;
            }
        }
    }
}

fn count(commands: &[Command], runs: &mut BTreeMap<(Trigger, Timestamp), u32>) {
    for command in commands {
        let Command::Schedule(command) = command else { continue };
        let ScheduleCommand::Fire(fire) = &**command else { continue };
        for run in &fire.runs {
            *runs.entry((fire.trigger.clone(), run.due)).or_default() += 1;
        }
    }
}

/// What runs ends, so that there is room, also for what waits.
fn finish(world: &mut World) {
    loop {
        world.agents_work(|_| true);
        for task in started(world).iter().filter(|task| task.last_status == TaskStatus::Running) {
            world.exit(task);
        }
        if pass(world) > 0 {
            continue;
        }
        if world.view().waiting_runs().all(|run| run.end.is_some()) {
            return;
        }
        // The hook does what it is told.
        join(world, "grown", ZONES[1], 128, 128);
    }
}

/// Targets of each kind: on the cluster's machines, on the managed pool, by a strategy, and on a pool that grows and has room for two tasks.
fn anywhere() -> (World, Vec<Target>) {
    let (mut world, job) = ready("2026-03-27 12:00");
    provide(&mut world, &["own", "grown"]);
    manage(&mut world, "grown", AutoScalingGroupChange::default());
    let network = subnets(&mut world);
    let web = register_fargate(&mut world, "web");
    join(&mut world, capability::MANAGED_POOL, ZONES[0], 65_536, 65_536);
    join(&mut world, "own", ZONES[0], 65_536, 65_536);
    join(&mut world, "grown", ZONES[1], 128, 128);
    let one = || target("", &job, 1);
    let strategy = |name| Launching::Strategy(vec![item(name, 1, 0)]);
    let targets = vec![
        one(),
        on_fargate(target("", &web, 1), &network),
        launched(one(), strategy("own")),
        launched(one(), strategy("grown")),
    ];
    (world, targets)
}
