//! Alarms that follow their metrics, and deployments that fail by them. Told as short stories.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::*;
use trireme_controllers::{AlarmController, Controller, Observed, Plan};
use trireme_state::Command;
use trireme_state::command::AlarmCommand;
use trireme_state::object::*;
use trireme_types::*;

const MINUTE: Duration = Duration::from_secs(60);
const ALARMS: &str = r#"{"alarmNames":["high","other"],"enable":true,"rollback":true}"#;
const WITHOUT_ROLLBACK: &str = r#"{"alarmNames":["high"],"enable":true,"rollback":false}"#;

fn key(name: &str) -> AlarmKey {
    AlarmKey { scope: Scope::development(), name: name.to_owned() }
}

fn spec(periods: u32, missing_data: Option<MissingData>) -> AlarmSpec {
    let metric = MetricKey {
        scope: Scope::development(),
        namespace: "App".to_owned(),
        name: "Queue".to_owned(),
        dimensions: BTreeMap::new(),
    };
    AlarmSpec {
        query: MetricQuery { metric, statistic: Statistic::Average, period_seconds: 60, unit: None },
        evaluation_periods: periods,
        datapoints_to_alarm: None,
        threshold: Real::from(5),
        comparison: Comparison::Greater,
        missing_data,
        description: None,
        actions_enabled: true,
        alarm_actions: Vec::new(),
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
    }
}

fn put(world: &mut World, name: &str, spec: AlarmSpec) {
    let command = AlarmCommand::Put { key: key(name), spec: Box::new(spec), tags: Tags::new() };
    world.user(Command::Alarm(Box::new(command)));
}

fn set(world: &mut World, name: &str, state: AlarmState) {
    let (key, reason) = (key(name), "a user says so".to_owned());
    let command = AlarmCommand::SetState { key, version: None, state, reason, reason_data: None };
    world.user(Command::Alarm(Box::new(command)));
}

fn state(world: &World, name: &str) -> AlarmState {
    world.view().alarm(&key(name)).unwrap().status.value
}

/// A metric with one value a minute.
#[derive(Default)]
struct Meter(Vec<Datapoint>);

impl Meter {
    /// A minute passes with this value, or without one.
    fn minute(&mut self, world: &mut World, value: Option<u32>) {
        let at = Timestamp::from_millis(world.now.millis() / 60_000 * 60_000);
        self.0.extend(value.map(|value| Datapoint { at, value: Real::from(value) }));
        world.advance(MINUTE);
    }

    fn plan(&self, world: &World, deciding_for: Duration) -> Plan {
        let view = world.view();
        let controller = AlarmController;
        let asked = controller.queried(&view);
        let newest = |count: usize| self.0.iter().rev().take(count).rev().copied().collect();
        let metrics = asked.into_iter().map(|(query, count)| (query, newest(count))).collect();
        let observed = Observed { metrics, deciding_for, ..Observed::default() };
        controller.plan(&view, &observed, world.now)
    }

    /// The controller looks, and what it plans is done. Then it has nothing more to plan.
    fn look(&self, world: &mut World) {
        for command in self.plan(world, MINUTE).commands {
            world.user(command);
        }
        assert_eq!(self.plan(world, MINUTE).commands, [], "a satisfied state plans nothing");
    }
}

#[test]
fn an_alarm_goes_where_its_metric_does_and_says_why() {
    let mut world = World::new();
    let mut meter = Meter::default();
    put(&mut world, "high", spec(2, None));
    meter.look(&mut world);
    assert_eq!(state(&world, "high"), AlarmState::InsufficientData);
    for (value, expected) in [
        (1, AlarmState::Ok),
        (9, AlarmState::Ok),
        (9, AlarmState::Alarm),
        (9, AlarmState::Alarm),
        (2, AlarmState::Ok),
    ] {
        meter.minute(&mut world, Some(value));
        world.advance(Duration::from_secs(2));
        meter.look(&mut world);
        assert_eq!(state(&world, "high"), expected, "after {value}");
    }
    let view = world.view();
    let alarm = view.alarm(&key("high")).unwrap();
    let went: Vec<String> = alarm
        .history
        .iter()
        .rev()
        .filter_map(|note| match &note.what {
            AlarmHappening::Moved { to, reason, .. } => Some(format!("{} {reason}", to.name())),
            _ => None,
        })
        .collect();
    assert_eq!(went.len(), 3, "{went:#?}");
    assert!(went[1].starts_with("ALARM Threshold Crossed: 2 datapoints [9.0 ("), "{went:#?}");
    assert!(alarm.status.reason_data.as_ref().unwrap().contains("\"recentDatapoints\":[9.0,2.0]"));
}

#[test]
fn a_new_leader_takes_no_lack_of_samples_for_one() {
    let mut world = World::new();
    let mut meter = Meter::default();
    put(&mut world, "high", spec(1, None));
    meter.minute(&mut world, Some(9));
    world.advance(Duration::from_secs(2));
    meter.look(&mut world);
    assert_eq!(state(&world, "high"), AlarmState::Alarm);
    world.advance(MINUTE * 10);
    let blank = Meter::default();
    assert_eq!(blank.plan(&world, Duration::from_secs(5)).commands, []);
    blank.look(&mut world);
    assert_eq!(state(&world, "high"), AlarmState::InsufficientData);
}

#[test]
fn what_a_user_sets_stays_for_a_while() {
    let mut world = World::new();
    let mut meter = Meter::default();
    put(&mut world, "high", spec(1, None));
    meter.minute(&mut world, Some(1));
    world.advance(Duration::from_secs(2));
    meter.look(&mut world);
    world.advance(Duration::from_secs(1));
    set(&mut world, "high", AlarmState::Alarm);
    meter.look(&mut world);
    assert_eq!(state(&world, "high"), AlarmState::Alarm);
    world.advance(Duration::from_secs(10));
    meter.look(&mut world);
    assert_eq!(state(&world, "high"), AlarmState::Ok);
}

/// Four tasks of revision 1 run; a second revision is there, and two alarms that are OK.
fn four_with_alarms(alarms: &str) -> (World, TaskDefinitionKey, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    for name in ["high", "other"] {
        put(&mut world, name, spec(2, None));
        set(&mut world, name, AlarmState::Ok);
    }
    let (one, two) = (world.register("web", 256, 256, None), world.register("web", 256, 256, None));
    world.create_with("web", &one, 4, &[(DEPLOYMENT_ALARMS, alarms)]);
    world.live(MINUTE * 4);
    assert_eq!(world.statuses("web"), [ServiceDeploymentStatus::Successful]);
    (world, one, two)
}

#[test]
fn a_deployment_is_watched_for_as_long_as_its_alarms_need() {
    let (mut world, _, two) = four_with_alarms(ALARMS);
    world.deploy("web", &two);
    let began = world.now;
    world.live(MINUTE);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::InProgress);
    assert_eq!(world.life("web").stage.map(|(stage, _)| stage), Some(LifecycleStage::BakeTime));
    world.live(MINUTE * 3);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::Successful);
    let history = world.view().deployment_history(&service_key("web"));
    assert!(history.deployments[0].finished_at.unwrap().since(began) >= MINUTE * 2);
}

#[test]
fn an_alarm_that_rings_while_it_bakes_turns_it_back() {
    let (mut world, one, two) = four_with_alarms(ALARMS);
    world.deploy("web", &two);
    let second = world.service("web").deployments[0].id;
    world.live(MINUTE);
    set(&mut world, "other", AlarmState::Alarm);
    // It is not forgotten because it was short.
    set(&mut world, "other", AlarmState::Ok);
    world.live(MINUTE * 4);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::RollbackSuccessful);
    assert_eq!(world.service("web").spec.task_definition, one);
    assert!(world.tasks("web").iter().all(|task| task.definition == one));
    let view = world.view();
    let back = view.deployment_history(&service_key("web")).deployments[0].rollback.clone().unwrap();
    assert_eq!(back.reason, "Service deployment rolled back because alarm(s) detected: other.");
    assert_eq!(view.triggered_alarms(&service_key("web"), second), ["other"]);
    world.was_told_in_order(
        "web",
        &[format!("(service web) (deployment {second}) deployment failed: alarm detected.")],
    );
}

#[test]
fn without_rollback_it_fails_and_starts_nothing_more() {
    let (mut world, _, two) = four_with_alarms(WITHOUT_ROLLBACK);
    world.deploy("web", &two);
    world.advance(Duration::from_secs(1));
    set(&mut world, "high", AlarmState::Alarm);
    world.live(MINUTE * 4);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::Stopped);
    assert_eq!(world.running("web"), 4);
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
}

#[test]
fn an_alarm_that_rang_before_is_not_listened_to() {
    let (mut world, _, two) = four_with_alarms(ALARMS);
    set(&mut world, "high", AlarmState::Alarm);
    world.advance(Duration::from_secs(1));
    world.deploy("web", &two);
    world.live(MINUTE);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::Successful, "it may be what mends it");
    set(&mut world, "other", AlarmState::Alarm);
    world.live(MINUTE);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::Successful);
}
