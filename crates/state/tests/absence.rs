//! Agents that go away for a while, and clusters that wait longer: what the log holds of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::limits::ABSENCE_MILLIS_MAX;
use trireme_state::object::*;
use trireme_state::*;

fn away(at: &Placement, millis: u64) -> Command {
    Command::AnnounceAbsence { instance: at.instance, epoch: at.epoch, millis }
}

fn lose(at: &Placement) -> Command {
    Command::LoseInstance { instance: at.instance, epoch: at.epoch, reason: "silent".to_owned() }
}

fn ready() -> (Node, Placement) {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    (node, at)
}

fn is_present(node: &Node, at: &Placement) -> bool {
    node.state.is_present(node.state.instance(at.instance).unwrap())
}

#[test]
fn who_says_that_it_goes_keeps_its_tasks_gets_none_and_is_not_lost_before_its_time() {
    let (mut node, at) = ready();
    let Outcome::Tasks(tasks) = node.propose(run_tasks(definition("web", 1), vec![at.clone()])).unwrap()
    else {
        panic!("no tasks")
    };
    node.propose(away(&at, 120_000)).unwrap();
    let until = node.state.absence(at.instance).unwrap();
    assert!(!is_present(&node, &at));
    assert!(node.state.task(tasks[0]).unwrap().last_status < TaskStatus::Stopped);
    assert!(matches!(
        node.propose(run_tasks(definition("web", 1), vec![at.clone()])),
        Err(Rejection::Stale { .. })
    ));
    // A plan that was made before anybody knew.
    assert!(matches!(node.propose(lose(&at)), Err(Rejection::Stale { .. })));
    // The agent did not get the answer, and says it again: its time does not begin anew.
    node.now = node.now.plus(Duration::from_secs(60));
    node.propose(away(&at, 120_000)).unwrap();
    assert_eq!(node.state.absence(at.instance), Some(until));
    invariant::check_state(&node.state).unwrap();

    node.now = until;
    node.propose(lose(&at)).unwrap();
    assert_eq!(node.state.task(tasks[0]).unwrap().last_status, TaskStatus::Stopped);
    assert_eq!(node.state.absence(at.instance), None);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn who_comes_back_is_there_again() {
    let (mut node, at) = ready();
    node.propose(away(&at, 120_000)).unwrap();
    let registration = Box::new(registration("agent-1", "us-east-1a"));
    node.propose(Command::OpenSession { instance: Some(at.instance), registration }).unwrap();
    assert!(is_present(&node, &at));
    assert_eq!(node.state.absence(at.instance), None);
    // A copy of its last word, late.
    assert_eq!(node.propose(away(&at, 120_000)), Err(Rejection::StaleEpoch));
}

#[test]
fn nobody_is_away_for_ever_and_nobody_who_is_lost_is_away() {
    let (mut node, at) = ready();
    node.propose(away(&at, u64::MAX)).unwrap();
    let longest = node.now.plus(Duration::from_millis(ABSENCE_MILLIS_MAX));
    assert!(node.state.absence(at.instance).unwrap() <= longest);
    let (mut node, at) = ready();
    node.propose(lose(&at)).unwrap();
    assert_eq!(node.propose(away(&at, 1_000)), Err(Rejection::StaleEpoch));
    let cluster = cluster("default");
    let (mut node, at) = ready();
    node.propose(away(&at, 1_000)).unwrap();
    node.propose(Command::DeregisterInstance { cluster, instance: at.instance, force: true }).unwrap();
    assert_eq!(node.state.absence(at.instance), None);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn a_cluster_waits_as_long_as_its_operator_says() {
    let (mut node, _) = ready();
    let set = |millis| Command::SetLostAfter { cluster: cluster("default"), millis };
    assert_eq!(node.state.lost_after(&cluster("default")), None);
    node.propose(set(Some(30_000))).unwrap();
    assert_eq!(node.state.lost_after(&cluster("default")), Some(Duration::from_secs(30)));
    let position = node.state.position();
    node.propose(set(Some(30_000))).unwrap();
    assert_eq!(node.state.position(), position, "the same again is no change");
    for wrong in [0, 1_999, 3_600_001] {
        assert!(matches!(node.propose(set(Some(wrong))), Err(Rejection::Invalid { .. })), "{wrong}");
    }
    let other = Command::SetLostAfter { cluster: cluster("other"), millis: None };
    assert_eq!(node.propose(other), Err(Rejection::ClusterNotFound));
    node.propose(set(None)).unwrap();
    assert_eq!(node.state.lost_after(&cluster("default")), None);
    invariant::check_state(&node.state).unwrap();
}

#[test]
fn nothing_of_it_is_written_below_its_level() {
    let mut node = Node::new();
    let at = node.open("agent-1", "us-east-1a");
    let set = Command::SetLostAfter { cluster: cluster("default"), millis: Some(30_000) };
    for command in [away(&at, 1_000), set] {
        assert!(matches!(node.propose(command), Err(Rejection::FeatureLevel { .. })));
    }
}
