//! Volumes of tasks, on a real Docker Engine: shared by a task's containers, gone with the task, kept when they are to stay.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Command as Process;

use common::node::{Node, docker, shell};
use common::{LIMIT, Running, spec};
use trireme_agent::{AgentConfig, Allowed};
use trireme_state::Command;
use trireme_state::object::{ContainerDefinition, StopCode, Task, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::TaskId;

const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// A container that mounts volumes: each by its name, at `/` and the name.
fn mounting(name: &str, script: &str, volumes: &[&str], read_only: bool) -> ContainerDefinition {
    let point = |volume: &&str| {
        format!(r#"{{"sourceVolume":"{volume}","containerPath":"/{volume}","readOnly":{read_only}}}"#)
    };
    let points = volumes.iter().map(point).collect::<Vec<_>>().join(",");
    let mut container = shell(name, script);
    container.described.insert("mountPoints".to_owned(), format!("[{points}]"));
    container
}

fn run(node: &Node, volumes: &str, containers: Vec<ContainerDefinition>) -> TaskId {
    let mut spec = spec(containers);
    spec.described.insert("volumes".to_owned(), volumes.to_owned());
    let definition = node.world.define(spec);
    node.world.place(node.instance, &definition, 1)[0]
}

fn inside(task: &Task, index: usize, script: &str) -> String {
    docker(&["exec", task.containers[index].runtime_id.as_ref().unwrap(), "sh", "-c", script])
}

/// Docker's volumes of an agent.
fn volumes(node: &Node) -> Vec<String> {
    let filter = format!("label=io.trireme.agent={}", node.instance);
    docker(&["volume", "ls", "-q", "--filter", &filter]).split_whitespace().map(str::to_owned).collect()
}

async fn no_volume_is_left(node: &Node) {
    wait_for("the volumes to go", LIMIT, || async {
        let left = volumes(node);
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn the_containers_of_a_task_share_its_volume_and_it_ends_with_the_task() {
    let node = Node::start().await;
    let task = run(
        &node,
        r#"[{"name":"data"},{"name":"own","dockerVolumeConfiguration":{"scope":"task","driver":"local"}}]"#,
        vec![
            mounting("app", &format!("echo hello > /data/file; {STAY}"), &["data", "own"], false),
            mounting("reader", STAY, &["data"], true),
        ],
    );
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    wait_for("the file to be there", LIMIT, || async {
        let said = inside(&running, 1, "cat /data/file 2>/dev/null || true");
        if said == "hello" { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(inside(&running, 1, "touch /data/other 2>/dev/null; echo $?"), "1", "it is to read only");
    assert_eq!(volumes(&node).len(), 2);
    node.world.stop_task(task);
    node.world.wait_status(task, TaskStatus::Stopped).await;
    no_volume_is_left(&node).await;
}

#[tokio::test]
async fn what_an_agent_that_was_killed_left_behind_goes_when_it_is_back() {
    let mut node = Node::start().await;
    let task = run(&node, r#"[{"name":"data"}]"#, vec![mounting("app", STAY, &["data"], false)]);
    node.world.wait_status(task, TaskStatus::Running).await;
    node.agent.take().unwrap().kill().await;
    // As if it had been killed between the container's removal and the volume's; and then its task is given up.
    docker(&["rm", "-f", &node.containers()[0]]);
    let epoch = node.world.view().instance(node.instance).unwrap().epoch;
    let reason = "silent".to_owned();
    node.world.propose(Command::LoseInstance { instance: node.instance, epoch, reason });
    assert_eq!(node.world.view().task(task).unwrap().last_status, TaskStatus::Stopped);
    assert_eq!(volumes(&node).len(), 1);
    node.agent = Some(Running::start(node.config.clone()));
    no_volume_is_left(&node).await;
}

#[tokio::test]
async fn a_shared_volume_stays_and_one_that_is_not_there_is_missed() {
    let node = Node::start().await;
    let name = format!("trireme-test-{}", node.instance);
    let shared = |more: &str| {
        format!(r#"[{{"name":"{name}","dockerVolumeConfiguration":{{"scope":"shared"{more}}}}}]"#)
    };
    let containers = |script: &str| vec![mounting("app", script, &[&name], false)];
    let missed = run(&node, &shared(""), containers(STAY));
    let missed = node.world.wait_status(missed, TaskStatus::Stopped).await;
    assert_eq!(missed.stop_code, Some(StopCode::TaskFailedToStart));
    let reason = missed.containers[0].reason.as_deref().unwrap();
    assert!(reason.starts_with(&format!("CannotCreateVolumeError: there is no volume {name}")), "{reason}");

    let writes = format!("echo kept > /{name}/file");
    let made = run(&node, &shared(r#","autoprovision":true"#), containers(&writes));
    node.world.wait_status(made, TaskStatus::Stopped).await;
    // It is there now, also for who does not make it.
    let found = run(&node, &shared(""), containers(STAY));
    let found = node.world.wait_status(found, TaskStatus::Running).await;
    assert_eq!(inside(&found, 0, &format!("cat /{name}/file")), "kept");
    node.world.stop_task(found.id);
    node.world.wait_status(found.id, TaskStatus::Stopped).await;
    wait_for("the volume to be nobody's", LIMIT, || async {
        let removed = Process::new("docker").args(["volume", "rm", &name]).output().unwrap();
        if removed.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&removed.stderr).into_owned())
        }
    })
    .await;
}

#[tokio::test]
async fn a_path_of_the_machine_is_for_agents_that_allow_it() {
    let node = Node::with(|config| AgentConfig {
        allow: Allowed { host_paths: true, ..Allowed::default() },
        ..config
    })
    .await;
    let attributes =
        |node: &Node| node.world.view().instance(node.instance).unwrap().registration.attributes.clone();
    assert!(attributes(&node).contains_key("trireme.capability.host-paths"));
    assert!(attributes(&node).contains_key("ecs.capability.docker-plugin.local"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "from outside").unwrap();
    let path = folder.path().display();
    let task = run(
        &node,
        &format!(r#"[{{"name":"data","host":{{"sourcePath":"{path}"}}}}]"#),
        vec![mounting("app", STAY, &["data"], false)],
    );
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    assert_eq!(inside(&running, 0, "cat /data/file; echo from inside > /data/other"), "from outside");
    assert_eq!(std::fs::read_to_string(folder.path().join("other")).unwrap(), "from inside\n");

    let careful = Node::start().await;
    assert!(!attributes(&careful).contains_key("trireme.capability.host-paths"));
}
