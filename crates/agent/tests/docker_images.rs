//! Images from a registry, on a real Docker Engine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::node::{Node, docker, inspect, shell, written};
use common::registry::{RIGHT, Registry, Stalling};
use common::{LIMIT, Running};
use trireme_agent::{AgentConfig, ImageConfig, PullBehavior};
use trireme_state::object::{ContainerDefinition, StopCode, Task, TaskStatus};
use trireme_testkit::wait_for;

fn app(image: &str) -> ContainerDefinition {
    ContainerDefinition {
        image: image.to_owned(),
        ..shell("app", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
    }
}

async fn node(images: ImageConfig) -> Node {
    Node::with(|config| AgentConfig { images, ..config }).await
}

/// Why the task's only container did not come up.
async fn refused(node: &Node, image: &str) -> String {
    let task = node.run(vec![app(image)]);
    // Tries and the pauses between them take their time.
    let task = wait_for("the task to be over", 2 * LIMIT, || async {
        let task = node.world.view().task(task).cloned().ok_or("no such task".to_owned())?;
        if task.last_status == TaskStatus::Stopped { Ok(task) } else { Err("it is not".to_owned()) }
    })
    .await;
    assert_eq!(task.stop_code, Some(StopCode::TaskFailedToStart));
    task.containers[0].reason.clone().unwrap_or_default()
}

fn digest(task: &Task) -> &str {
    task.containers[0].image_digest.as_deref().unwrap_or_default()
}

async fn runs(node: &Node, image: &str) -> std::sync::Arc<Task> {
    let task = node.run(vec![app(image)]);
    node.world.wait_status(task, TaskStatus::Running).await
}

#[tokio::test]
async fn a_task_runs_what_its_registry_has() {
    let registry = Registry::start().await;
    let (first, second) = (registry.push("a", "one"), registry.push("b", "two"));
    let node = node(ImageConfig::default()).await;
    let by_tag = runs(&node, &registry.name("a")).await;
    let by_digest = runs(&node, &format!("{}@{second}", registry.name("a"))).await;
    assert_eq!((digest(&by_tag), digest(&by_digest)), (first.as_str(), second.as_str()));
    for (task, content) in [(by_tag, "CONTENT=one"), (by_digest, "CONTENT=two")] {
        assert!(inspect(&task, "{{.Config.Env}}").contains(content), "{content}");
        assert!(task.times.pull_started_at.is_some() && task.times.pull_stopped_at.is_some());
    }
}

#[tokio::test]
async fn what_no_registry_has_is_told_at_once() {
    let registry = Registry::start().await;
    registry.push("a", "one");
    let node = node(ImageConfig::default()).await;
    let begun = std::time::Instant::now();
    let name = registry.name("missing");
    let reason = refused(&node, &name).await;
    assert!(reason.starts_with("CannotPullContainerError: ") && reason.contains(&name), "{reason}");
    assert!(reason.contains("not found"), "{reason}");
    assert!(begun.elapsed() < Duration::from_secs(8), "nobody tries again: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_locked_registry_wants_the_right_credentials() {
    let registry = Registry::locked().await;
    registry.push("a", "one");
    let name = registry.name("a");
    // rower:sails
    let folder = registry.credentials("cm93ZXI6c2FpbHM=");
    let docker_config = Some(folder.path().to_owned());
    let node = node(ImageConfig { docker_config, ..ImageConfig::default() }).await;
    let reason = refused(&node, &name).await;
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    assert!(reason.contains("unauthorized") || reason.contains("credentials"), "{reason}");
    assert!(!reason.contains("sails") && !reason.contains("cm93"), "{reason}");
    // They are put right while the agent runs.
    let right = registry.credentials(RIGHT);
    std::fs::copy(right.path().join("config.json"), folder.path().join("config.json")).unwrap();
    wait_for("the right credentials to count", LIMIT, || async {
        let task = node.run(vec![app(&name)]);
        let ended = |status| matches!(status, TaskStatus::Running | TaskStatus::Stopped);
        let status = wait_for("the task", LIMIT, || async {
            let status = node.world.view().task(task).map(|task| task.last_status);
            status.filter(|status| ended(*status)).ok_or("on its way".to_owned())
        })
        .await;
        if status == TaskStatus::Running {
            Ok(())
        } else {
            Err("refused, as is remembered for a moment".to_owned())
        }
    })
    .await;
}

#[tokio::test]
async fn a_stalled_pull_is_given_up_and_tried_again() {
    let registry = Registry::start().await;
    let pushed = registry.push("a", "one");
    let proxy = Stalling::before(registry.address, 1).await;
    let node = node(ImageConfig { pull_inactivity_seconds: 5, ..ImageConfig::default() }).await;
    let task = node.run(vec![app(&format!("{}/app:a", proxy.address))]);
    let told = wait_for("that it is being pulled", LIMIT, || async {
        let task = node.world.view().task(task).cloned().ok_or("no such task".to_owned())?;
        if task.times.pull_started_at.is_some() { Ok(task) } else { Err("nothing is told".to_owned()) }
    })
    .await;
    assert_eq!(told.last_status, TaskStatus::Pending);
    let task = node.world.wait_status(task, TaskStatus::Running).await;
    assert_eq!(digest(&task), pushed);
    assert_eq!(proxy.stalled.load(Ordering::SeqCst), 1);
}

/// Each time in the middle of the layer, and each time another agent begins anew.
#[tokio::test]
async fn an_agent_that_is_killed_while_it_pulls_starts_its_task_once() {
    let registry = Registry::start().await;
    let pushed = registry.push("a", "one");
    let proxy = Stalling::before(registry.address, 2).await;
    let image = format!("{}/app:a", proxy.address);
    let mut node = node(ImageConfig::default()).await;
    let app = ContainerDefinition {
        image: image.clone(),
        ..shell("app", "echo started; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    };
    let task = node.run(vec![app]);
    for stalls in 1..=2 {
        wait_for("the layer to stall", LIMIT, || async {
            let now = proxy.stalled.load(Ordering::SeqCst);
            if now >= stalls { Ok(()) } else { Err(format!("{now} stalled")) }
        })
        .await;
        node.agent.take().unwrap().kill().await;
        assert!(node.containers().is_empty() && docker(&["images", "-q", &image]).is_empty());
        assert_eq!(node.world.view().task(task).unwrap().last_status, TaskStatus::Pending);
        node.agent = Some(Running::start(node.config.clone()));
    }
    let task = node.world.wait_status(task, TaskStatus::Running).await;
    assert_eq!(digest(&task), pushed);
    let container = task.containers[0].runtime_id.clone().unwrap();
    assert_eq!(written(&task).await, "started", "once");
    assert_eq!(node.containers(), [container]);
    node.world.stop_task(task.id);
    node.world.wait_status(task.id, TaskStatus::Stopped).await;
    wait_for("its container to go", LIMIT, || async {
        if node.containers().is_empty() { Ok(()) } else { Err(format!("{:?}", node.containers())) }
    })
    .await;
}

#[tokio::test]
async fn a_pull_that_never_goes_on_fails() {
    let registry = Registry::start().await;
    registry.push("a", "one");
    let proxy = Stalling::before(registry.address, usize::MAX).await;
    let images = ImageConfig { pull_inactivity_seconds: 1, ..ImageConfig::default() };
    let node = node(images).await;
    let reason = refused(&node, &format!("{}/app:a", proxy.address)).await;
    assert!(
        reason.starts_with("CannotPullContainerError: ") && reason.contains("no progress within 1 s"),
        "{reason}"
    );
}

#[tokio::test]
async fn who_must_pull_each_time_does_without_a_registry_nothing() {
    let node = node(ImageConfig { pull_behavior: PullBehavior::Always, ..ImageConfig::default() }).await;
    let local = format!("localhost:1/app:{}", node.instance);
    docker(&["tag", "busybox:1", &local]);
    let reason = refused(&node, &local).await;
    docker(&["rmi", &local]);
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
}

#[tokio::test]
async fn an_unused_image_goes_and_people_keep_theirs() {
    let registry = Registry::start().await;
    registry.push("pulled", "one");
    registry.push("theirs", "two");
    let theirs = registry.name("theirs");
    docker(&["pull", &theirs]);
    let images =
        ImageConfig { cleanup_interval_seconds: 1, cleanup_minimum_age_seconds: 1, ..ImageConfig::default() };
    let node = node(images).await;
    let pulled = registry.name("pulled");
    let here = |name: &str| !docker(&["images", "-q", name]).is_empty();
    let task = runs(&node, &pulled).await;
    runs(&node, &theirs).await;
    assert!(here(&pulled));
    node.world.stop_task(task.id);
    wait_for("the image to go", LIMIT, || async {
        if here(&pulled) { Err("it is still there".to_owned()) } else { Ok(()) }
    })
    .await;
    assert!(here(&theirs) && here("busybox:1"));
}
