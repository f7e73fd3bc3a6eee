//! Containers of a task that need each other, on a real Docker Engine: what one waits for, what another says of its health.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::node::{Node, docker, shell};
use common::{LIMIT, Running};
use trireme_state::Command;
use trireme_state::FeatureLevel;
use trireme_state::object::{ContainerDefinition, HealthStatus, StopCode, Task, TaskHealth, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::{ContainerName, TaskId};

const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// A container that does this, with a setting.
fn told(name: &str, script: &str, settings: &[(&str, &str)]) -> ContainerDefinition {
    let mut container = shell(name, script);
    container.described =
        settings.iter().map(|(member, json)| ((*member).to_owned(), (*json).to_owned())).collect();
    container
}

fn beside(name: &str, script: &str, settings: &[(&str, &str)]) -> ContainerDefinition {
    ContainerDefinition { essential: false, ..told(name, script, settings) }
}

fn needs(on: &str, condition: &str) -> String {
    format!(r#"[{{"containerName":"{on}","condition":"{condition}"}}]"#)
}

/// What a command prints in one of the task's containers.
fn inside(task: &Task, index: usize, script: &str) -> String {
    docker(&["exec", task.containers[index].runtime_id.as_ref().unwrap(), "sh", "-c", script])
}

fn when(task: &Task, index: usize, what: &str) -> String {
    let format = format!("{{{{.State.{what}}}}}");
    docker(&["inspect", "--format", &format, task.containers[index].runtime_id.as_ref().unwrap()])
}

async fn health(node: &Node, task: TaskId, name: &str, status: HealthStatus) -> Arc<TaskHealth> {
    let name = ContainerName::new(name).unwrap();
    wait_for(&format!("{name} to be {status:?}"), LIMIT, || async {
        let health = node.world.view().task_health(task);
        if health.get(&name) == Some(&status) { Ok(health) } else { Err(format!("{health:?}")) }
    })
    .await
}

#[tokio::test]
async fn a_container_starts_when_what_it_needs_has_succeeded_and_stops_before_what_it_needs() {
    let node = Node::start().await;
    let task = node.run(vec![
        told("app", STAY, &[("dependsOn", &needs("proxy", "START"))]),
        told("proxy", STAY, &[("dependsOn", &needs("init", "SUCCESS"))]),
        beside("init", "sleep 1", &[]),
    ]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    assert_eq!(when(&running, 2, "ExitCode"), "0");
    assert!(when(&running, 2, "FinishedAt") < when(&running, 1, "StartedAt"));
    assert!(when(&running, 1, "StartedAt") < when(&running, 0, "StartedAt"));

    node.world.stop_task(task);
    let ended = {
        let ended = |index: usize| {
            let running = running.clone();
            wait_for("a container's end", LIMIT, move || {
                let known = std::process::Command::new("docker")
                    .args(["inspect", "--format", "{{.State.Running}} {{.State.FinishedAt}}"])
                    .arg(running.containers[index].runtime_id.as_ref().unwrap())
                    .output();
                let text = String::from_utf8(known.unwrap().stdout).unwrap();
                async move { text.strip_prefix("false ").map(str::to_owned).ok_or(text) }
            })
        };
        (ended(0).await, ended(1).await)
    };
    assert!(ended.0 < ended.1, "the one that needs the other ends first: {ended:?}");
    node.world.wait_status(task, TaskStatus::Stopped).await;
}

#[tokio::test]
async fn a_task_ends_when_what_a_container_needs_failed_or_is_not_in_time() {
    let node = Node::start().await;
    let failed = node.run(vec![
        told("app", STAY, &[("dependsOn", &needs("init", "SUCCESS"))]),
        beside("init", "exit 3", &[]),
    ]);
    let failed = node.world.wait_status(failed, TaskStatus::Stopped).await;
    assert_eq!(failed.stop_code, Some(StopCode::TaskFailedToStart));
    assert_eq!((failed.containers[0].exit_code, failed.containers[1].exit_code), (None, Some(3)));
    let reason = failed.containers[0].reason.as_deref();
    assert_eq!(
        reason,
        Some("TaskDependencyError: container app needs init to be SUCCESS, which exited with 3")
    );

    let late = node.run(vec![
        told("app", STAY, &[("dependsOn", &needs("init", "COMPLETE"))]),
        beside("init", STAY, &[("startTimeout", "2")]),
    ]);
    let late = node.world.wait_status(late, TaskStatus::Stopped).await;
    assert_eq!(late.stop_code, Some(StopCode::TaskFailedToStart));
    assert!(late.containers[0].reason.as_deref().unwrap().ends_with("which had 2 s for it"));
    assert_eq!(late.containers[0].exit_code, None);
}

#[tokio::test]
async fn what_a_health_check_says_is_known_and_waited_for_also_after_the_agent_was_killed() {
    let mut node = Node::start().await;
    node.world.propose(Command::RaiseFeatureLevel { level: FeatureLevel::LATEST });
    let check = r#"{"command":["CMD-SHELL","test -f /tmp/well"],"interval":1,"timeout":2,"retries":1,"startPeriod":0}"#;
    let task = node.run(vec![
        told("app", STAY, &[("dependsOn", &needs("db", "HEALTHY"))]),
        told("db", STAY, &[("healthCheck", check)]),
    ]);
    let pending = wait_for("the database to run", LIMIT, || async {
        let ids = node.containers();
        let runs =
            |id: &&String| docker(&["inspect", "--format", "{{.State.Running}} {{.Name}}", id.as_str()]);
        let db = ids.iter().find(|id| {
            let known = runs(id);
            known.starts_with("true") && known.ends_with("-db")
        });
        db.cloned().ok_or_else(|| format!("{ids:?}"))
    })
    .await;
    assert_eq!(node.world.view().task(task).unwrap().last_status, TaskStatus::Pending);
    docker(&["exec", &pending, "touch", "/tmp/well"]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    let known = health(&node, task, "db", HealthStatus::Healthy).await;
    assert_eq!(known.len(), 1, "the other has no check: {known:?}");
    assert_eq!(
        docker(&[
            "inspect",
            "--format",
            "{{.Config.Healthcheck.Test}}",
            running.containers[0].runtime_id.as_ref().unwrap()
        ]),
        "[NONE]",
        "what the image brings does not count"
    );

    inside(&running, 1, "rm /tmp/well");
    health(&node, task, "db", HealthStatus::Unhealthy).await;
    node.agent.take().unwrap().kill().await;
    inside(&running, 1, "touch /tmp/well");
    wait_for("Docker to say that it is well", LIMIT, || async {
        let says = when(&running, 1, "Health.Status");
        if says == "healthy" { Ok(()) } else { Err(says) }
    })
    .await;
    node.agent = Some(Running::start(node.config.clone()));
    health(&node, task, "db", HealthStatus::Healthy).await;
    assert_eq!(node.world.view().task(task).unwrap().last_status, TaskStatus::Running);
}

#[tokio::test]
async fn containers_know_each_other_by_link_and_share_volumes() {
    let node = Node::start().await;
    // An image with a volume: Debian's busybox has none.
    let image = format!("trireme-test-volume:{}", node.instance);
    let made = docker(&["create", "busybox:1"]);
    docker(&["commit", "--change", "VOLUME /data", &made, &image]);
    docker(&["rm", &made]);
    let script = format!("echo hello > /data/file; httpd -p 80 -h /data; {STAY}");
    let db = ContainerDefinition { image: image.clone(), ..told("db", &script, &[]) };
    let app = told(
        "app",
        STAY,
        &[("links", r#"["db:database"]"#), ("volumesFrom", r#"[{"sourceContainer":"db","readOnly":true}]"#)],
    );
    let task = node.run(vec![app, db]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    wait_for("the other's file by its alias", LIMIT, || async {
        let said = inside(&running, 0, "wget -q -O - http://database/file || true");
        if said == "hello" { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(inside(&running, 0, "cat /data/file; touch /data/other 2>/dev/null; echo $?"), "hello\n1");
    node.world.stop_task(task);
    node.world.wait_status(task, TaskStatus::Stopped).await;
    wait_for("the containers to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    docker(&["rmi", &image]);
}
