//! Containers that come again in place, on a real Docker Engine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use common::LIMIT;
use common::Running;
use common::node::{Node, docker, shell};
use trireme_state::object::{ContainerDefinition, PortMapping, Task, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::{Port, Protocol, TaskId};

/// In seconds. The API takes no policy with less than 60; an agent takes what it is given.
const PERIOD: u64 = 6;

fn again(name: &str) -> ContainerDefinition {
    let mut app = shell(name, "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    let policy = format!(r#"{{"enabled":true,"ignoredExitCodes":[7],"restartAttemptPeriod":{PERIOD}}}"#);
    app.described = [("restartPolicy".to_owned(), policy)].into();
    app
}

fn said(task: &Task, format: &str) -> String {
    docker(&["inspect", "--format", format, task.containers[0].runtime_id.as_ref().unwrap()])
}

fn started_at(task: &Task) -> String {
    said(task, "{{.State.StartedAt}}")
}

/// Waits until its present run has been long enough.
async fn long_enough(task: &Task) {
    let begun = std::time::Instant::now();
    wait_for("the period to pass", LIMIT, || async {
        let up = begun.elapsed();
        let enough = Duration::from_secs(PERIOD) + Duration::from_millis(300);
        if up > enough { Ok(()) } else { Err(format!("{up:?}; {}", started_at(task))) }
    })
    .await;
}

fn kill(task: &Task) {
    docker(&["kill", task.containers[0].runtime_id.as_ref().unwrap()]);
}

async fn runs_again(node: &Node, task: TaskId, before: &str) -> Task {
    wait_for("the container to run again", LIMIT, || async {
        let task = (**node.world.view().task(task).unwrap()).clone();
        let now = said(&task, "{{.State.Running}} {{.State.StartedAt}}");
        let again = now.strip_prefix("true ").is_some_and(|at| at > before);
        if again && task.last_status == TaskStatus::Running { Ok(task) } else { Err(now) }
    })
    .await
}

fn kept_count(node: &Node) -> String {
    let file = node.config.data_dir.as_ref().unwrap().join("restarts.json");
    std::fs::read_to_string(file).unwrap_or_default()
}

#[tokio::test]
async fn a_container_comes_again_also_when_it_ended_while_there_was_no_agent() {
    let mut node = Node::start().await;
    let mut app = again("app");
    app.port_mappings = vec![PortMapping {
        container_port: Port::new(80),
        host_port: None,
        protocol: Protocol::Tcp,
        name: None,
    }];
    let task = node.run(vec![app]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    long_enough(&running).await;
    let first = started_at(&running);
    kill(&running);
    let running = runs_again(&node, task, &first).await;
    wait_for("its new port to be known", LIMIT, || async {
        let task = node.world.view().task(task).cloned().unwrap();
        let known = task.containers[0].network_bindings.first().map(|one| one.host_port.to_string());
        let docker = said(&task, "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}");
        if known.as_deref() == Some(&docker) { Ok(()) } else { Err(format!("{known:?} is not {docker}")) }
    })
    .await;
    wait_for("the count to be kept", LIMIT, || async {
        let kept = kept_count(&node);
        if kept.contains(r#""app":1"#) { Ok(()) } else { Err(kept) }
    })
    .await;

    long_enough(&running).await;
    node.agent.take().unwrap().kill().await;
    let second = started_at(&running);
    kill(&running);
    node.agent = Some(Running::start(node.config.clone()));
    let running = runs_again(&node, task, &second).await;
    wait_for("it to be counted on", LIMIT, || async {
        let kept = kept_count(&node);
        if kept.contains(r#""app":2"#) { Ok(()) } else { Err(kept) }
    })
    .await;

    // Too early: that was it.
    kill(&running);
    let ended = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(ended.containers[0].exit_code, Some(137));
    assert_eq!(node.world.view().tasks().count(), 1, "the task was never replaced");
}

#[tokio::test]
async fn a_container_that_is_stopped_or_ends_with_an_ignored_code_stays_ended() {
    let node = Node::start().await;
    let task = node.run(vec![again("app")]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    let ignored = node.run(vec![{
        let mut app = again("app");
        let script = format!("sleep {}; exit 7", PERIOD + 2);
        app.command = Some(vec!["sh".to_owned(), "-c".to_owned(), script]);
        app
    }]);
    long_enough(&running).await;
    node.world.stop_task(task);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(0));
    let ended = node.world.wait_status(ignored, TaskStatus::Stopped).await;
    assert_eq!(ended.containers[0].exit_code, Some(7));
}
