//! Alarms as objects: configured, moved, switched, tagged, deleted; and what they say of deployments. Told as short stories.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;

use support::*;
use trireme_state::command::{AlarmCommand, Command};
use trireme_state::limits::{ALARM_HISTORY, ALARMS};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn key(name: &str) -> AlarmKey {
    AlarmKey { scope: Scope::development(), name: name.to_owned() }
}

fn spec(threshold: u32) -> Box<AlarmSpec> {
    let metric = MetricKey {
        scope: Scope::development(),
        namespace: "App".to_owned(),
        name: "Queue".to_owned(),
        dimensions: BTreeMap::new(),
    };
    Box::new(AlarmSpec {
        query: MetricQuery { metric, statistic: Statistic::Average, period_seconds: 60, unit: None },
        evaluation_periods: 2,
        datapoints_to_alarm: None,
        threshold: Real::from(threshold),
        comparison: Comparison::Greater,
        missing_data: None,
        description: None,
        actions_enabled: true,
        alarm_actions: vec!["arn:aws:autoscaling:x:scalingPolicy:1".to_owned()],
        ok_actions: Vec::new(),
        insufficient_data_actions: Vec::new(),
    })
}

fn ask(command: AlarmCommand) -> Command {
    Command::Alarm(Box::new(command))
}

fn put(name: &str, threshold: u32) -> Command {
    ask(AlarmCommand::Put { key: key(name), spec: spec(threshold), tags: Tags::new() })
}

fn set(name: &str, version: Option<u64>, state: AlarmState, reason: &str) -> Command {
    let reason = reason.to_owned();
    ask(AlarmCommand::SetState { key: key(name), version, state, reason, reason_data: None })
}

fn alarm(node: &Node, name: &str) -> Alarm {
    (**node.state.alarm(&key(name)).unwrap()).clone()
}

#[test]
fn below_its_level_there_are_none() {
    let mut node = Node::new();
    let refused = Rejection::FeatureLevel { needed: FeatureLevel::SCALING, level: FeatureLevel::FIRST };
    assert_eq!(node.propose(put("high", 5)), Err(refused));
}

#[test]
fn a_new_alarm_has_too_little_to_say_and_one_that_is_put_again_stays_in_its_state() {
    let mut node = Node::at_latest_level();
    node.propose(put("high", 5)).unwrap();
    assert_eq!(alarm(&node, "high").status.value, AlarmState::InsufficientData);
    node.propose(set("high", Some(1), AlarmState::Alarm, "9 is above 5")).unwrap();
    node.propose(put("high", 7)).unwrap();
    let now = alarm(&node, "high");
    assert_eq!((now.status.value, now.spec.threshold), (AlarmState::Alarm, Real::from(7)));
    let position = node.state.position();
    node.propose(put("high", 7)).unwrap();
    assert_eq!(node.state.position(), position, "the same again changes nothing");
}

#[test]
fn who_saw_another_version_is_refused() {
    let mut node = Node::at_latest_level();
    node.propose(put("high", 5)).unwrap();
    let seen = Some(alarm(&node, "high").version);
    node.propose(set("high", seen, AlarmState::Ok, "all is well")).unwrap();
    let again = node.propose(set("high", seen, AlarmState::Alarm, "it is not"));
    assert!(matches!(again, Err(Rejection::Stale { .. })), "{again:?}");
    node.propose(set("high", None, AlarmState::Alarm, "a user says so")).unwrap();
    assert_eq!(alarm(&node, "high").status.value, AlarmState::Alarm);
}

#[test]
fn its_history_is_bounded_and_tells_what_it_was() {
    let mut node = Node::at_latest_level();
    node.propose(put("high", 5)).unwrap();
    let mut times = Vec::new();
    for n in 0..30 {
        node.now = node.now.plus(std::time::Duration::from_secs(60));
        let state = if n % 2 == 0 { AlarmState::Alarm } else { AlarmState::Ok };
        node.propose(set("high", None, state, &format!("for the {n}th time"))).unwrap();
        times.push((node.now, state));
    }
    let now = alarm(&node, "high");
    assert_eq!(now.history.len(), ALARM_HISTORY);
    for (at, state) in times.iter().rev().take(ALARM_HISTORY - 1) {
        assert_eq!(now.was(*at), *state);
    }
    let (last_alarm, _) = times[28];
    assert!(now.has_rung_since(times[27].0));
    assert!(!now.has_rung_since(last_alarm), "it went there at that very moment, not later");
    assert!(now.rang_at(last_alarm) && !now.rang_at(times[27].0));
    assert!(now.rang_at(times[0].0), "further back than its history: it came there often since");
}

#[test]
fn they_are_found_by_what_they_act_on() {
    let mut node = Node::at_latest_level();
    node.propose(put("high", 5)).unwrap();
    let scope = Scope::development();
    let names = |node: &Node, arn: &str| -> Vec<String> {
        node.state.alarms_acting_on(&scope, arn).map(|alarm| alarm.key.name.clone()).collect()
    };
    assert_eq!(names(&node, "arn:aws:autoscaling:x:scalingPolicy:1"), ["high"]);
    assert!(names(&node, "arn:aws:autoscaling:x:scalingPolicy:2").is_empty());
}

#[test]
fn actions_are_switched_tags_kept_and_what_is_not_there_is_passed_over() {
    let mut node = Node::at_latest_level();
    node.propose(put("high", 5)).unwrap();
    let keys = vec![key("high"), key("none")];
    node.propose(ask(AlarmCommand::SwitchActions { keys: keys.clone(), enabled: false })).unwrap();
    assert!(!alarm(&node, "high").spec.actions_enabled);
    let add = Tags::from([("team".to_owned(), "web".to_owned())]);
    node.propose(ask(AlarmCommand::Tag { key: key("high"), add: add.clone(), remove: Vec::new() })).unwrap();
    assert_eq!(alarm(&node, "high").tags, add);
    let missing = node.propose(set("none", None, AlarmState::Ok, "why not"));
    assert_eq!(missing, Err(Rejection::AlarmNotFound));
    node.propose(ask(AlarmCommand::Delete { keys })).unwrap();
    assert!(node.state.alarm(&key("high")).is_none());
}

#[test]
fn there_are_not_more_than_there_may_be() {
    let mut node = Node::at_latest_level();
    for n in 0..ALARMS {
        node.propose(put(&format!("a{n}"), 5)).unwrap();
    }
    let refused = node.propose(put("one more", 5));
    assert!(matches!(refused, Err(Rejection::LimitExceeded { .. })), "{refused:?}");
    node.propose(put("a7", 6)).unwrap();
}
