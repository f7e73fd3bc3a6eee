//! What containers' health checks say: kept with the task, refused from whoever may not say it, gone with the task.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use support::*;
use trireme_state::command::TaskHealthReport;
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn of_main(status: HealthStatus) -> TaskHealth {
    TaskHealth::from([(ContainerName::new("main").unwrap(), status)])
}

fn say(at: &Placement, task: TaskId, health: TaskHealth) -> Command {
    let reports = vec![TaskHealthReport { task, health }];
    Command::ReportTaskHealth { instance: at.instance, epoch: at.epoch, reports }
}

fn stop(node: &mut Node, at: &Placement, task: TaskId) {
    let report = report(task, TaskStatus::Stopped);
    node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports: vec![report] })
        .unwrap();
}

/// A task on its instance.
fn ready(mut node: Node) -> (Node, Placement, TaskId) {
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    let ran = node.propose(run_tasks(definition("web", 1), vec![at.clone()])).unwrap();
    let Outcome::Tasks(tasks) = ran else { panic!("{ran:?}") };
    (node, at, tasks[0])
}

fn version(node: &Node, task: TaskId) -> u64 {
    node.state.task(task).unwrap().version
}

#[test]
fn what_a_check_says_is_a_change_of_its_task() {
    let (mut node, at, task) = ready(Node::at_latest_level());
    let before = version(&node, task);
    node.propose(say(&at, task, of_main(HealthStatus::Healthy))).unwrap();
    assert_eq!(*node.state.task_health(task), of_main(HealthStatus::Healthy));
    assert_eq!(version(&node, task), before + 1);

    // The same again is no news.
    let position = node.state.position().sequence;
    node.propose(say(&at, task, of_main(HealthStatus::Healthy))).unwrap();
    assert_eq!((version(&node, task), node.state.position().sequence), (before + 1, position));

    node.propose(say(&at, task, of_main(HealthStatus::Unhealthy))).unwrap();
    assert_eq!(*node.state.task_health(task), of_main(HealthStatus::Unhealthy));
    // Nothing is known again.
    node.propose(say(&at, task, TaskHealth::new())).unwrap();
    assert!(node.state.task_health(task).is_empty());
}

#[test]
fn only_its_agent_says_it_and_only_of_what_is_there() {
    let (mut node, at, task) = ready(Node::at_latest_level());
    let other = node.open("agent-2", "us-east-1b");
    let nobody = TaskHealth::from([(ContainerName::new("nobody").unwrap(), HealthStatus::Healthy)]);
    for command in [
        say(&other, task, of_main(HealthStatus::Healthy)),
        say(&at, task, nobody),
        say(&at, TaskId::from_bits(7), of_main(HealthStatus::Healthy)),
    ] {
        node.propose(command).unwrap();
        assert!(node.state.task_health(task).is_empty());
    }
    let stale = Placement { epoch: at.epoch.next(), ..at.clone() };
    assert_eq!(node.propose(say(&stale, task, of_main(HealthStatus::Healthy))), Err(Rejection::StaleEpoch));
}

#[test]
fn a_task_that_is_over_keeps_what_was_known_until_it_is_forgotten() {
    let (mut node, at, task) = ready(Node::at_latest_level());
    node.propose(say(&at, task, of_main(HealthStatus::Unhealthy))).unwrap();
    stop(&mut node, &at, task);
    node.propose(say(&at, task, of_main(HealthStatus::Healthy))).unwrap();
    assert_eq!(*node.state.task_health(task), of_main(HealthStatus::Unhealthy));
    node.propose(Command::ReapTasks { tasks: vec![task] }).unwrap();
    assert!(node.state.task_health(task).is_empty());
}

#[test]
fn below_its_level_it_is_refused() {
    let (mut node, at, task) = ready(Node::new());
    let needs = Rejection::FeatureLevel { needed: FeatureLevel::CONTAINERS, level: FeatureLevel::FIRST };
    assert_eq!(node.propose(say(&at, task, of_main(HealthStatus::Healthy))), Err(needs));
}
