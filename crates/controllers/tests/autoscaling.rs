//! Autoscaling, second by second: how fast tasks are added and taken away, and what never happens.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::scaling::*;
use trireme_state::Command;
use trireme_state::command::{AlarmCommand, AutoscalingCommand as C, ScalableTargetChange, ServiceChange};
use trireme_state::object::*;
use trireme_state::query::scaling_policy_arn;
use trireme_types::*;

#[test]
fn a_busy_service_grows_within_seconds_and_an_idle_one_shrinks_after_a_minute() {
    let mut story = Story::new(1, (1, 3));
    story.track("cpu", cpu(50.0));
    story.live(60);
    assert_eq!(story.desired(), 1);
    story.load = 400.0;
    let grown = story.until(60, |story| story.running() == 3).unwrap();
    assert!(grown <= 15, "{grown} s until three tasks run");
    story.live(30);
    assert_eq!(story.causes()[0], "policy cpu wants more than the maximum of 3 tasks");
    story.load = 0.0;
    let shrunk = story.until(200, |story| story.running() == 1).unwrap();
    assert!((60..=80).contains(&shrunk), "{shrunk} s until one task is left");
    assert_eq!(story.changes.len(), 2, "{:?}", story.changes);
    assert!(
        story.causes()[0].contains("at most 0.0 with 3 tasks at a target of 50: 0 are enough"),
        "{:?}",
        story.causes()
    );
}

#[test]
fn as_many_tasks_as_the_load_needs() {
    for (load, tasks) in
        [(200.0, 4), (201.0, 5), (90.0, 2), (91.0, 3), (45.0, 1), (46.0, 2), (0.0, 1), (5_000.0, 20)]
    {
        let mut story = Story::new(3, (1, 20));
        story.track("cpu", cpu(50.0));
        story.load = load;
        story.live(400);
        assert_eq!(story.desired(), tasks, "for a load of {load}: {:?}", story.causes());
    }
}

#[test]
fn a_cool_down_counts_what_was_added_and_ends() {
    let mut story = Story::new(2, (1, 50));
    story.track("cpu", TargetTracking { scale_out_cooldown: Some(120), ..cpu(50.0) });
    story.load = 100.0;
    story.live(60);
    story.load = 200.0;
    story.until(60, |story| story.desired() == 4).unwrap();
    let first = story.world.now;
    // It helps nothing: each task is as busy as before.
    story.load = 400.0;
    story.live(60);
    assert_eq!(story.desired(), 4, "two tasks at 100 percent are worth four: {:?}", story.changes);
    // But twice as much as before is more than what was added.
    story.load = 800.0;
    story.until(30, |story| story.desired() > 4).unwrap();
    assert!(story.world.now.since(first) < Duration::from_secs(120), "a larger step does not wait");
    story.live(20);
    let grown = story.desired();
    assert!(grown <= 8, "{:?}", story.changes);
    story.load = 100.0 * f64::from(grown);
    story.until(200, |story| story.desired() > grown).unwrap();
    let begun = story.changes[0].at;
    assert!(story.world.now.since(begun) >= Duration::from_secs(120), "{:?}", story.changes);
}

#[test]
fn a_missing_metric_takes_no_task_away() {
    let mut story = Story::new(4, (1, 10));
    story.track("cpu", cpu(50.0));
    story.silent = true;
    story.live(600);
    assert_eq!((story.desired(), story.changes.len()), (4, 0));
    story.silent = false;
    story.live(100);
    assert_eq!(story.desired(), 1);
}

#[test]
fn several_policies_agree_before_a_task_goes_and_one_that_only_adds_has_no_say_then() {
    let mut story = Story::new(4, (1, 10));
    story.track("cpu", cpu(50.0));
    let memory = TrackedMetric::Memory { high_resolution: false };
    // The tasks' memory follows their cpu: 100 percent of one are 48.8 of the other.
    story.track("memory", TargetTracking { metric: memory, ..cpu(11.0) });
    story.load = 80.0;
    story.live(200);
    assert_eq!(story.desired(), 4, "cpu alone would be content with two: {:?}", story.causes());
    story.track(
        "memory",
        TargetTracking {
            metric: TrackedMetric::Memory { high_resolution: false },
            disable_scale_in: true,
            ..cpu(90.0)
        },
    );
    story.live(200);
    assert_eq!(story.desired(), 2, "{:?}", story.causes());
}

#[test]
fn while_a_deployment_runs_a_service_grows_and_does_not_shrink() {
    let mut story = Story::new(4, (1, 10));
    story.track("cpu", cpu(50.0));
    let broken = story.world.register("web", 512, 256, None);
    story.world.broken.insert(broken.clone());
    story.world.deploy("web", &broken);
    story.live(200);
    assert_eq!(story.desired(), 4, "{:?}", story.changes);
    story.load = 300.0;
    story.until(30, |story| story.desired() == 6).unwrap();
}

#[test]
fn tasks_that_a_deployment_doubles_are_not_multiplied() {
    let mut story = Story::new(4, (1, 50));
    story.track("cpu", cpu(50.0));
    story.load = 196.0;
    story.live(120);
    let next = story.world.register("web", 512, 256, None);
    story.world.deploy("web", &next);
    // New tasks and old ones run side by side, each a little above the target.
    let mut most = 0;
    for _ in 0..60 {
        story.load = 51.0 * f64::from(story.running());
        story.second();
        most = most.max(story.running());
    }
    assert_eq!(story.desired(), 5, "{:?}", story.changes);
    assert!(most >= 8, "both ran: {most}");
}

#[test]
fn what_was_taken_away_is_waited_for_before_more_is() {
    let mut story = Story::new(10, (1, 20));
    story.track("cpu", TargetTracking { scale_in_cooldown: Some(0), ..cpu(50.0) });
    story.load = 100.0;
    story.live(400);
    assert_eq!((story.desired(), story.changes.len()), (3, 1), "{:?}", story.changes);
}

#[test]
fn an_alarm_of_another_account_has_no_say() {
    let mut story = Story::new(1, (1, 9));
    story.policy("out", steps(120, &[(Some(0.0), None, 3)]));
    let query = alarm(&mut story, "out", Comparison::Greater);
    let mine = story.world.view().alarm(&ringer("out")).unwrap().clone();
    let scope = Scope { account: AccountId::new("999999999999").unwrap(), ..Scope::development() };
    let theirs = AlarmKey { scope, name: "out-alarm".to_owned() };
    let put = AlarmCommand::Put { key: theirs.clone(), spec: Box::new(mine.spec.clone()), tags: Tags::new() };
    story.world.user(Command::Alarm(Box::new(put)));
    let set = AlarmCommand::SetState {
        key: theirs,
        version: None,
        state: AlarmState::Alarm,
        reason: String::new(),
        reason_data: None,
    };
    story.world.user(Command::Alarm(Box::new(set)));
    let at = Timestamp::from_millis((story.world.now.millis() / 60_000 - 1) * 60_000);
    story.metrics.insert(query, vec![Datapoint { at, value: Real::from(500) }]);
    story.live(5);
    assert_eq!(story.desired(), 1);
    ring(&mut story, "out", AlarmState::Alarm);
    story.live(5);
    assert_eq!(story.desired(), 4, "its own has");
}

#[test]
fn without_a_cool_down_an_alarm_is_asked_once_in_its_period() {
    let mut story = Story::new(4, (1, 50));
    story.policy("out", steps(0, &[(Some(0.0), Some(50.0), 1), (Some(50.0), None, 3)]));
    let query = alarm(&mut story, "out", Comparison::Greater);
    let says = |story: &mut Story, value: f64| {
        let at = Timestamp::from_millis((story.world.now.millis() / 60_000 - 1) * 60_000);
        story.metrics.insert(query.clone(), vec![Datapoint { at, value: Real::new(value).unwrap() }]);
    };
    ring(&mut story, "out", AlarmState::Alarm);
    says(&mut story, 120.0);
    story.live(2);
    assert_eq!(story.desired(), 5);
    for _ in 0..50 {
        says(&mut story, 170.0);
        story.second();
    }
    assert_eq!(story.desired(), 5, "{:?}", story.changes);
    for _ in 0..12 {
        says(&mut story, 170.0);
        story.second();
    }
    assert_eq!(story.desired(), 8, "{:?}", story.changes);
}

#[test]
fn suspended_scaling_does_nothing_and_says_so() {
    let mut story = Story::new(2, (1, 10));
    story.track("cpu", cpu(50.0));
    let suspended = SuspendedScaling { scale_in: true, scale_out: true, scheduled: false };
    let change = ScalableTargetChange { suspended: Some(suspended), ..ScalableTargetChange::default() };
    story.ask(C::Register { service: web(), change, tags: Tags::new() });
    story.load = 900.0;
    story.live(60);
    assert_eq!(story.causes(), ["policy cpu wants more than 2 tasks, and scaling out is suspended"]);
    story.load = 0.0;
    story.live(200);
    assert_eq!((story.desired(), story.changes.len()), (2, 0));
}

fn waiting() -> MetricKey {
    let dimensions = [("Queue".to_owned(), "orders".to_owned())].into();
    MetricKey {
        scope: Scope::development(),
        namespace: "Shop".to_owned(),
        name: "WaitingPerTask".to_owned(),
        dimensions,
    }
}

#[test]
fn a_customized_metric_is_followed_minute_by_minute() {
    let mut story = Story::new(2, (1, 10));
    let metric = TrackedMetric::Customized { metric: waiting(), statistic: Statistic::Average, unit: None };
    story.track("queue", TargetTracking { metric, ..cpu(100.0) });
    let query =
        MetricQuery { metric: waiting(), statistic: Statistic::Average, period_seconds: 60, unit: None };
    let said = |story: &mut Story, values: &[f64]| {
        let minute = story.world.now.millis() / 60_000;
        let from = minute + 1 - values.len() as u64;
        let points = values.iter().zip(from..).map(|(value, minute)| Datapoint {
            at: Timestamp::from_millis(minute * 60_000),
            value: Real::new(*value).unwrap(),
        });
        let points = points.collect();
        story.metrics.insert(query.clone(), points);
        story.second();
    };
    story.live(120);
    assert_eq!(story.desired(), 2, "nothing is known");
    said(&mut story, &[900.0]);
    assert_eq!(story.desired(), 2, "one may be an outlier");
    said(&mut story, &[250.0, 900.0]);
    assert_eq!(story.desired(), 5);
    story.live(65);
    said(&mut story, &[20.0, 20.0, 20.0]);
    assert_eq!(story.desired(), 5, "three minutes are over, and one is under way");
    said(&mut story, &[20.0, 50.0, 20.0, 20.0]);
    assert_eq!(story.desired(), 3, "by the largest: {:?}", story.causes());
    story.live(300);
    assert_eq!(story.desired(), 3, "what was said is old");
}

/// An alarm on the queue that has the policy among its actions.
fn alarm(story: &mut Story, policy: &str, comparison: Comparison) -> MetricQuery {
    let target = story.world.view().scalable_target(&web()).unwrap().clone();
    let arn = scaling_policy_arn(&web(), policy, target.policies[policy].id);
    let query =
        MetricQuery { metric: waiting(), statistic: Statistic::Maximum, period_seconds: 60, unit: None };
    let spec = AlarmSpec {
        query: query.clone(),
        evaluation_periods: 1,
        datapoints_to_alarm: None,
        threshold: Real::from(100),
        comparison,
        missing_data: None,
        description: None,
        actions_enabled: true,
        alarm_actions: vec![arn],
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
    };
    let put = AlarmCommand::Put { key: ringer(policy), spec: Box::new(spec), tags: Tags::new() };
    story.world.user(Command::Alarm(Box::new(put)));
    query
}

fn ringer(policy: &str) -> AlarmKey {
    AlarmKey { scope: Scope::development(), name: format!("{policy}-alarm") }
}

fn ring(story: &mut Story, policy: &str, state: AlarmState) {
    let (reason, key) = ("a test".to_owned(), ringer(policy));
    let set = AlarmCommand::SetState { key, version: None, state, reason, reason_data: None };
    story.world.user(Command::Alarm(Box::new(set)));
}

fn steps(cooldown: u32, steps: &[(Option<f64>, Option<f64>, i32)]) -> ScalingPolicySpec {
    let step = |(lower, upper, adjustment): &(Option<f64>, Option<f64>, i32)| StepAdjustment {
        lower: lower.and_then(Real::new),
        upper: upper.and_then(Real::new),
        adjustment: *adjustment,
    };
    ScalingPolicySpec::Step(StepScaling {
        adjustment: AdjustmentType::ChangeInCapacity,
        steps: steps.iter().map(step).collect(),
        min_magnitude: None,
        cooldown: Some(cooldown),
        aggregation: None,
    })
}

#[test]
fn an_alarm_scales_step_by_step_and_a_larger_step_does_not_wait() {
    let mut story = Story::new(1, (1, 9));
    story.policy("out", steps(120, &[(Some(0.0), Some(50.0), 1), (Some(50.0), None, 3)]));
    story.policy("in", steps(60, &[(None, Some(0.0), -2)]));
    let query = alarm(&mut story, "out", Comparison::Greater);
    alarm(&mut story, "in", Comparison::Less);
    let says = |story: &mut Story, value: f64| {
        let minute = story.world.now.millis() / 60_000;
        let at = |minute: u64| Timestamp::from_millis(minute * 60_000);
        // It is the same for a while before and after.
        let points = (minute - 1..minute + 5)
            .map(|minute| Datapoint { at: at(minute), value: Real::new(value).unwrap() });
        story.metrics.insert(query.clone(), points.collect());
    };
    says(&mut story, 120.0);
    story.live(5);
    assert_eq!(story.desired(), 1, "no alarm rings");
    ring(&mut story, "out", AlarmState::Alarm);
    story.live(30);
    assert_eq!(story.desired(), 2, "one step, though it rings on: {:?}", story.causes());
    says(&mut story, 170.0);
    story.live(30);
    assert_eq!(story.desired(), 4, "three in all in this cool-down: {:?}", story.causes());
    story.live(130);
    assert_eq!(story.desired(), 7, "it rings on after the cool-down: {:?}", story.causes());
    ring(&mut story, "out", AlarmState::Ok);
    ring(&mut story, "in", AlarmState::Alarm);
    says(&mut story, 90.0);
    story.live(55);
    assert_eq!(story.desired(), 5);
    story.live(10);
    assert_eq!(story.desired(), 3);
    story.metrics.clear();
    story.live(200);
    assert_eq!(story.desired(), 3, "nothing is known of the metric");
    assert!(story.causes()[0].starts_with("policy in: alarm in-alarm is in ALARM"), "{:?}", story.causes());
}

fn action(schedule: &str, zone: Option<&str>, (min, max): (Option<u32>, Option<u32>)) -> ScheduledActionSpec {
    let timezone = zone.map(str::to_owned);
    ScheduledActionSpec { schedule: schedule.to_owned(), timezone, start: None, end: None, min, max }
}

/// 2026-03-07T12:00:00Z; on the night that follows, New York's clocks go from 2:00 to 3:00.
const BEFORE_SPRING: u64 = 1_772_884_800;

#[test]
fn a_cron_action_follows_the_clocks_of_its_time_zone() {
    let mut story = Story::new(1, (1, 9));
    story.world.now = Timestamp::from_millis(BEFORE_SPRING * 1_000);
    story.world.store.set_now(story.world.now);
    // Half past nine in New York: 14:30 UTC in winter, 13:30 in summer.
    let first = Timestamp::from_millis((BEFORE_SPRING + 9_000) * 1_000);
    let spec = action("cron(30 9 * * ? *)", Some("America/New_York"), (Some(4), None));
    story.ask(C::PutAction { service: web(), name: "open".to_owned(), spec, next: Some(first) });
    let mut taken = Vec::new();
    for _ in 0..3 {
        let next = |story: &Story| story.world.view().scalable_target(&web()).unwrap().actions["open"].next;
        let due = next(&story).unwrap();
        story.world.now = Timestamp::from_millis(due.millis() - 2_000);
        story.world.store.set_now(story.world.now);
        story.ask(bounds(1, 9));
        story.second();
        assert_eq!(next(&story), Some(due), "not before it is due");
        story.second();
        assert_ne!(next(&story), Some(due));
        assert_eq!(story.world.view().scalable_target(&web()).unwrap().spec.min, 4);
        taken.push((due.millis() / 1_000 - BEFORE_SPRING) / 60);
    }
    assert_eq!(taken, [150, 150 + 23 * 60, 150 + 47 * 60], "minutes: one day has 23 hours");
    assert_eq!(story.desired(), 4);
}

#[test]
fn an_action_that_was_due_while_nobody_led_is_taken_late_and_once() {
    let mut story = Story::new(1, (1, 9));
    let due = story.world.now.plus(Duration::from_secs(10));
    let spec = action("rate(1 minute)", None, (Some(2), Some(5)));
    story.ask(C::PutAction { service: web(), name: "minute".to_owned(), spec, next: Some(due) });
    story.headless = true;
    story.live(200);
    story.headless = false;
    story.second();
    let target = story.world.view().scalable_target(&web()).unwrap().clone();
    assert_eq!((target.spec.min, target.spec.max, story.desired()), (2, 5, 2));
    assert!(target.actions["minute"].next.unwrap() > story.world.now);
    assert_eq!(story.changes.len(), 1, "{:?}", story.changes);
}

/// What happens during so many seconds.
#[derive(Debug, Clone)]
struct Phase {
    seconds: u64,
    load: f64,
    headless: bool,
    silent: bool,
    /// Someone deploys the service anew.
    deploys: bool,
}

fn phase() -> impl Strategy<Value = Phase> {
    let often = |weight| prop::bool::weighted(weight);
    (20..200_u64, 0..12_u32, often(0.15), often(0.15), often(0.1)).prop_map(
        |(seconds, load, headless, silent, deploys)| Phase {
            seconds,
            load: f64::from(load) * 60.0,
            headless,
            silent,
            deploys,
        },
    )
}

fn holds_cooldowns(story: &Story, scale_in: u64) {
    for pair in story.changes.windows(2) {
        let [one, other] = pair else { continue };
        let between = other.at.since(one.at).as_secs();
        let (first_in, second_in) = (one.to < one.from, other.to < other.from);
        assert!(!(first_in && second_in) || between >= scale_in, "{between} s between {one:?} and {other:?}");
        assert!(
            !second_in || first_in || between >= 55,
            "taken away {between} s after it was added: {pair:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the load does, and whoever leads.
    #[test]
    fn never_outside_the_bounds_and_cool_downs_are_held(
        (min, more) in (0..4_u32, 0..12_u32),
        target in 20..90_u32,
        cooldowns in (0..200_u32, 0..200_u32),
        phases in prop::collection::vec(phase(), 1..7),
    ) {
        let max = min + more;
        let mut story = Story::new(min.max(1).min(max.max(1)), (min, max.max(1)));
        let (out, scale_in) = (Some(cooldowns.0), Some(cooldowns.1));
        let tracking = TargetTracking { scale_out_cooldown: out, scale_in_cooldown: scale_in, ..cpu(target.into()) };
        story.track("cpu", tracking);
        for phase in &phases {
            (story.load, story.headless, story.silent) = (phase.load, phase.headless, phase.silent);
            if phase.deploys {
                let change = ServiceChange { force_new_deployment: true, ..ServiceChange::default() };
                story.world.update("web", change);
            }
            for _ in 0..phase.seconds {
                let before = (story.desired(), story.world.view().is_deploying(&web()));
                story.second();
                let desired = story.desired();
                prop_assert!((min..=max.max(1)).contains(&desired), "{desired} of {min} to {max}");
                prop_assert!(!before.1 || desired >= before.0, "taken away during a deployment");
            }
        }
        holds_cooldowns(&story, cooldowns.1.into());
    }

    /// Under a load that stays, the service comes to rest at what the load needs, and stays there.
    #[test]
    fn there_is_no_flapping_around_the_target(
        start in 1..10_u32,
        tenths in 1..80_u32,
        noise in prop::collection::vec(-4..=4_i32, 40),
        target in 30..90_u32,
        failover in prop::option::of((0..500_u64, 1..40_u64)),
    ) {
        let mut story = Story::new(start, (1, 30));
        story.track("cpu", TargetTracking { scale_out_cooldown: Some(30), scale_in_cooldown: Some(60), ..cpu(target.into()) });
        let load = f64::from(tenths) / 10.0 * f64::from(target);
        let mut jitter = noise.iter().cycle();
        for second in 0..900_u64 {
            story.headless = failover.is_some_and(|(at, long)| (at..at + long).contains(&second));
            if second % 7 == 0 {
                story.load = load * (1.0 + f64::from(*jitter.next().unwrap()) / 100.0);
            }
            story.second();
        }
        let late = story.changes.iter().filter(|change| change.at.since(story.began).as_secs() > 600);
        prop_assert_eq!(late.count(), 0, "{:?}", story.changes);
        let turns = story.changes.windows(2).filter(|pair| (pair[0].to > pair[0].from) != (pair[1].to > pair[1].from));
        prop_assert!(turns.count() <= 1, "{:?}", story.changes);
        let exact = load / f64::from(target);
        let tasks = |exact: f64| exact.ceil().max(1.0) as u32;
        let (least, most) = (tasks(exact * 0.96 - 1e-6), tasks(exact * 1.04 / 0.9 + 1e-6));
        prop_assert!((least..=most).contains(&story.desired()), "{} for {exact}: {:?}", story.desired(), story.changes);
    }
}
