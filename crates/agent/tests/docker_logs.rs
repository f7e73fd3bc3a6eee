//! Containers' output on a real Docker Engine: it outlives them, is whole after the agent's restart, and stops nobody.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::Command as Process;

use common::node::{Node, has_file, shell};
use common::{LIMIT, Running};
use trireme_agent::logs::read::Span;
use trireme_agent::logs::store::Store;
use trireme_agent::logs::{Limits, StreamName};
use trireme_state::Command;
use trireme_state::object::{ContainerDefinition, LogGroupKey, StopCode, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::{Scope, TaskId};

const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn logging(script: &str, options: &str) -> ContainerDefinition {
    let mut container = shell("app", script);
    let log = format!(
        r#"{{"logDriver":"awslogs","options":{{"awslogs-group":"/web","awslogs-stream-prefix":"ecs"{options}}}}}"#
    );
    container.described.insert("logConfiguration".to_owned(), log);
    container
}

async fn node() -> Node {
    let node = Node::start().await;
    node.world.propose(Command::RaiseFeatureLevel { level: trireme_state::FeatureLevel::LATEST });
    let key = LogGroupKey { scope: Scope::development(), name: "/web".to_owned() };
    node.world.propose(Command::CreateLogGroup { key, tags: std::collections::BTreeMap::new() });
    node
}

fn stream(task: TaskId) -> StreamName {
    StreamName { region: "us-east-1".into(), group: "/web".into(), stream: format!("ecs/app/{task}") }
}

/// What an agent keeps of a stream. Of a copy: the agent writes on.
fn kept(node: &Node, name: &StreamName) -> Vec<String> {
    let copy = tempfile::tempdir().unwrap();
    let from = node.config.data_dir.as_ref().unwrap().join("logs");
    copy_all(&from, copy.path());
    let store = Store::open(copy.path(), Limits::default(), false).unwrap();
    let span = Span { limit: 100_000, bytes: u64::MAX, ..Span::default() };
    let (found, _) = store.read(std::slice::from_ref(name), &span).unwrap();
    found.into_iter().map(|(_, record)| record.message).collect()
}

fn copy_all(from: &Path, to: &Path) {
    let copied = Process::new("cp").arg("-r").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

async fn wait_kept(node: &Node, name: &StreamName, lines: &[String]) {
    wait_for("the lines to be kept", LIMIT, || async {
        let found = kept(node, name);
        if found == lines { Ok(()) } else { Err(format!("{} of {}: {found:?}", found.len(), lines.len())) }
    })
    .await;
}

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

#[tokio::test]
async fn what_a_container_said_outlives_it() {
    let node = node().await;
    let task = node.run(vec![logging("for i in $(seq 500); do echo line $i; done", "")]);
    node.world.wait_status(task, TaskStatus::Stopped).await;
    wait_for("the container to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(kept(&node, &stream(task)), numbers(500), "all of it, once its container is gone");
    let followed = std::fs::read_dir(node.config.data_dir.as_ref().unwrap().join("followed")).unwrap();
    assert_eq!(followed.count(), 0, "nothing is left of what was followed");
}

#[tokio::test]
async fn a_restarted_agent_loses_no_line_and_has_none_twice() {
    let mut node = node().await;
    let script = format!("for i in $(seq 300); do echo line $i; sleep 0.02; done; {STAY}");
    let task = node.run(vec![logging(&script, "")]);
    node.world.wait_status(task, TaskStatus::Running).await;
    for count in [30, 90, 160] {
        wait_for("some lines", LIMIT, || async {
            let there = kept(&node, &stream(task)).len();
            if there >= count { Ok(()) } else { Err(format!("{there}")) }
        })
        .await;
        node.agent.take().unwrap().kill().await;
        node.agent = Some(Running::start(node.config.clone()));
    }
    wait_kept(&node, &stream(task), &numbers(300)).await;
    node.world.stop_task(task);
    node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(kept(&node, &stream(task)), numbers(300));
}

#[tokio::test]
async fn lines_of_one_event_stay_together() {
    let node = node().await;
    let script = "echo '2026-11-28 boom'; echo ' at A'; echo ' at B'; echo '2026-11-28 again'";
    let task = node.run(vec![logging(script, r#","awslogs-datetime-format":"%Y-%m-%d""#)]);
    let events = ["2026-11-28 boom\n at A\n at B".to_owned(), "2026-11-28 again".to_owned()];
    wait_kept(&node, &stream(task), &events).await;
}

/// A disk that takes nothing: a file where the stream's folder belongs.
#[tokio::test]
async fn a_store_that_takes_nothing_stops_no_task() {
    let node = node().await;
    let logs = node.config.data_dir.as_ref().unwrap().join("logs");
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::write(&logs, "").unwrap();
    let script = format!("for i in $(seq 20000); do echo line $i; done; touch /done; {STAY}");
    let task = node.run(vec![logging(&script, "")]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    has_file(&running, "/done").await;
    node.world.stop_task(task);
    node.world.wait_status(task, TaskStatus::Stopped).await;
    wait_for("the container to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_missing_group_fails_the_task_unless_it_is_to_be_made() {
    let node = node().await;
    let mut container = logging(STAY, "");
    let log = |create| {
        let options = format!(
            r#""awslogs-group":"/other","awslogs-stream-prefix":"ecs","awslogs-create-group":"{create}""#
        );
        format!(r#"{{"logDriver":"awslogs","options":{{{options}}}}}"#)
    };
    container.described.insert("logConfiguration".to_owned(), log(false));
    let task = node.run(vec![container.clone()]);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    let reason = stopped.stopped_reason.clone().unwrap();
    assert!(
        reason.starts_with("ResourceInitializationError: failed to validate logger args:")
            && reason.contains("The specified log group does not exist."),
        "{reason}"
    );
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    container.described.insert("logConfiguration".to_owned(), log(true));
    let task = node.run(vec![container]);
    node.world.wait_status(task, TaskStatus::Running).await;
}
