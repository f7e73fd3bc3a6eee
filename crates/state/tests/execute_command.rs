//! Commands in containers: which tasks allow them, and what stands in the history before they run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use support::*;
use trireme_state::command::{EndCommand, ServiceChange, StartCommand};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

fn main_container() -> ContainerName {
    ContainerName::new("main").unwrap()
}

fn start(task: TaskId, forced: bool) -> StartCommand {
    let command = vec!["sh".to_owned()];
    StartCommand {
        execution: 9,
        task,
        container: main_container(),
        command,
        by: "ops@host".to_owned(),
        forced,
    }
}

fn propose(node: &mut Node, new: StartCommand) -> Result<Outcome, Rejection> {
    node.propose(Command::StartCommand(Box::new(new)))
}

fn report_as(node: &mut Node, at: &Placement, task: TaskId, status: TaskStatus) {
    let reports = vec![report(task, status)];
    node.propose(Command::ReportTasks { instance: at.instance, epoch: at.epoch, reports }).unwrap();
}

/// A task that runs, and one that runs and allows commands.
fn ready() -> (Node, Placement, TaskId, TaskId) {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    let run = || run_tasks(definition("web", 1), vec![at.clone()]);
    let ran = [run(), Command::RunAllowingCommands(Box::new(run()))].map(|command| {
        let ran = node.propose(command).unwrap();
        let Outcome::Tasks(tasks) = ran else { panic!("{ran:?}") };
        tasks[0]
    });
    for task in ran {
        report_as(&mut node, &at, task, TaskStatus::Running);
    }
    (node, at, ran[0], ran[1])
}

#[test]
fn a_command_is_recorded_where_it_is_allowed_or_forced() {
    let (mut node, _, closed, open) = ready();
    assert!(!node.state.allows_commands(closed) && node.state.allows_commands(open));
    let refused = propose(&mut node, start(closed, false)).unwrap_err().to_string();
    assert!(refused.contains("enableExecuteCommand"), "{refused}");
    for new in [start(open, false), start(closed, true)] {
        let before = node.state.position().sequence;
        propose(&mut node, new).unwrap();
        assert_eq!(node.state.position().sequence, before.next(), "one event");
    }
    node.propose(Command::EndCommand(Box::new(EndCommand {
        execution: 9,
        task: open,
        container: main_container(),
        exit_code: Some(0),
        reason: String::new(),
    })))
    .unwrap();
}

#[test]
fn what_cannot_run_is_not_recorded() {
    let (mut node, at, _, open) = ready();
    let before = node.state.position().sequence;
    let other = StartCommand { container: ContainerName::new("other").unwrap(), ..start(open, false) };
    assert!(propose(&mut node, other).is_err());
    assert!(propose(&mut node, StartCommand { command: Vec::new(), ..start(open, false) }).is_err());
    let long = vec!["x".repeat(limits::COMMAND_BYTES)];
    assert!(propose(&mut node, StartCommand { command: long, ..start(open, false) }).is_err());
    assert_eq!(propose(&mut node, start(TaskId::from_bits(1), true)), Err(Rejection::TaskNotFound));
    let twice =
        Command::RunAllowingCommands(Box::new(Command::RunAllowingCommands(Box::new(Command::Reset))));
    assert!(node.propose(twice).is_err());
    assert_eq!(node.state.position().sequence, before);
    report_as(&mut node, &at, open, TaskStatus::Stopped);
    assert!(propose(&mut node, start(open, false)).unwrap_err().to_string().contains("not RUNNING"));
    // It is known of a task until the task is forgotten.
    assert!(node.state.allows_commands(open));
    node.propose(Command::ReapTasks { tasks: vec![open] }).unwrap();
    assert!(!node.state.allows_commands(open));
}

#[test]
fn a_services_tasks_are_as_it_is_when_they_are_made() {
    let mut node = Node::at_latest_level();
    let at = node.open("agent-1", "us-east-1a");
    node.propose(register("web", None)).unwrap();
    let described = Described::from([(EXECUTE_COMMAND.to_owned(), "true".to_owned())]);
    let spec = ServiceSpec { described, ..spec(definition("web", 1), 2) };
    let key = service("web");
    node.propose(Command::CreateService {
        key: key.clone(),
        spec,
        tags: Tags::new(),
        created_by: String::new(),
    })
    .unwrap();
    let start = |node: &mut Node| {
        let found: &Arc<Service> = node.state.service(&key).unwrap();
        let (version, deployment) = (found.version, found.deployments[0].id);
        let placements = vec![at.clone()];
        let command = Command::StartServiceTasks { service: key.clone(), version, deployment, placements };
        node.propose(command).unwrap();
    };
    start(&mut node);
    let change =
        ServiceChange { described: [(EXECUTE_COMMAND.to_owned(), None)].into(), ..ServiceChange::default() };
    node.propose(Command::UpdateService { key: key.clone(), change }).unwrap();
    start(&mut node);
    let mut allowed: Vec<bool> =
        node.state.tasks_of_service(&key).iter().map(|task| node.state.allows_commands(task.id)).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, [false, true]);
}
