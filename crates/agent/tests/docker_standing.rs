//! An agent with a real Docker Engine stands firm: whenever it is killed it adopts and leaks nothing; an engine that hangs, is slow or fails
//! is asked again; what happens behind its back is noticed; and what its tasks use is known.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::node::{Node, docker, inspect, shell, written};
use common::{LIMIT, Running, spec};
use trireme_agent::{AgentConfig, RuntimeConfig};
use trireme_state::object::{ContainerDefinition, DesiredStatus, StopCode, Task, TaskStatus};
use trireme_testkit::socket::{Mode, Socket};
use trireme_testkit::{hold, wait_for};
use trireme_types::TaskId;

/// An agent that reaches the engine by a socket which can be told to misbehave.
async fn behind_socket() -> (Node, Socket) {
    let mut socket = None;
    let node = Node::with(|config| {
        let path = config.data_dir.clone().unwrap().join("docker.sock");
        socket = Some(Socket::start(&path, PathBuf::from("/var/run/docker.sock")).unwrap());
        AgentConfig { runtime: RuntimeConfig::Docker { socket: path }, ..config }
    })
    .await;
    (node, socket.unwrap())
}

/// Stays until it is asked to go.
const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

fn stays() -> ContainerDefinition {
    shell("app", STAY)
}

fn task(node: &Node, id: TaskId) -> Arc<Task> {
    node.world.view().task(id).unwrap().clone()
}

async fn nothing_is_left(node: &Node) {
    wait_for("every container to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// The agent is killed after ever longer, in whatever it is at.
#[tokio::test]
async fn an_agent_that_is_killed_while_it_starts_tasks_starts_each_container_once() {
    let mut node = Node::start().await;
    let app = shell("app", &format!("echo started; {STAY}"));
    let definition = node.world.define(spec(vec![app]));
    let mut tasks = Vec::new();
    for round in 0..6_u64 {
        tasks.extend(node.world.place(node.instance, &definition, 3));
        hold(Duration::from_millis(round * 70)).await;
        node.agent.take().unwrap().kill().await;
        node.agent = Some(Running::start(node.config.clone()));
    }
    node.world.wait_count(TaskStatus::Running, tasks.len() as u64).await;
    assert_eq!(node.containers().len(), tasks.len());
    for id in &tasks {
        let known = task(&node, *id);
        assert_eq!(written(&known).await, "started", "once");
        assert_eq!(inspect(&known, "{{.RestartCount}}"), "0");
    }
    // And while it stops them.
    for id in &tasks {
        node.world.stop_task(*id);
    }
    for round in 0..4_u64 {
        hold(Duration::from_millis(round * 90)).await;
        node.agent.take().unwrap().kill().await;
        node.agent = Some(Running::start(node.config.clone()));
    }
    node.world.wait_count(TaskStatus::Stopped, tasks.len() as u64).await;
    nothing_is_left(&node).await;
    for id in tasks {
        assert_eq!(task(&node, id).stop_code, Some(StopCode::UserInitiated));
    }
}

#[tokio::test]
async fn an_engine_that_hangs_is_slow_or_fails_costs_no_task_that_runs() {
    let (node, socket) = behind_socket().await;
    let definition = node.world.define(spec(vec![stays()]));
    let tasks = node.world.place(node.instance, &definition, 3);
    node.world.wait_count(TaskStatus::Running, 3).await;
    let before = node.containers();
    for mode in [Mode::Fail, Mode::Hang, Mode::Slow(Duration::from_millis(300))] {
        socket.set(mode);
        // Longer than between two looks at what runs.
        hold(Duration::from_secs(11)).await;
        let states: Vec<_> = tasks.iter().map(|id| task(&node, *id).last_status).collect();
        assert_eq!(states, [TaskStatus::Running; 3], "{mode:?}");
        let epoch = node.world.view().instance(node.instance).unwrap().epoch;
        let heard = node.world.heartbeats.snapshot()[&node.instance];
        assert!(heard.epoch == epoch && heard.age < Duration::from_secs(3), "{mode:?}: {heard:?}");
        socket.set(Mode::Pass);
    }
    assert_eq!(node.containers(), before);
    // It is the same agent, and does what it is told again.
    for id in tasks {
        node.world.stop_task(id);
    }
    node.world.wait_count(TaskStatus::Stopped, 3).await;
    nothing_is_left(&node).await;
}

#[tokio::test]
async fn what_is_asked_of_an_engine_that_hangs_is_done_when_it_answers() {
    let (node, socket) = behind_socket().await;
    let definition = node.world.define(spec(vec![stays()]));
    let old = node.world.place(node.instance, &definition, 1)[0];
    node.world.wait_status(old, TaskStatus::Running).await;
    socket.set(Mode::Hang);
    let new = node.world.place(node.instance, &definition, 1)[0];
    node.world.stop_task(old);
    hold(Duration::from_secs(2)).await;
    assert_eq!(task(&node, new).last_status, TaskStatus::Pending);
    assert_ne!(task(&node, old).last_status, TaskStatus::Stopped, "it is not said to be what it is not");
    socket.set(Mode::Pass);
    node.world.wait_status(new, TaskStatus::Running).await;
    node.world.wait_status(old, TaskStatus::Stopped).await;
    // A container is removed once it is known how it ended.
    wait_for("the old one's container to go", LIMIT, || async {
        let left = node.containers();
        if left.len() == 1 { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_an_engine_refuses_stops_its_task_with_what_it_said() {
    let (node, socket) = behind_socket().await;
    let definition = node.world.define(spec(vec![stays()]));
    let first = node.world.place(node.instance, &definition, 1)[0];
    node.world.wait_status(first, TaskStatus::Running).await;
    socket.set(Mode::Fail);
    let task = node.world.place(node.instance, &definition, 1)[0];
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    let reason = stopped.containers[0].reason.clone().unwrap();
    assert!(reason.contains("made to fail"), "{reason}");
    socket.set(Mode::Pass);
    assert_eq!(self::task(&node, first).desired_status, DesiredStatus::Running);
}

/// Waits until an agent that began then has just listed its containers: what it notices in the next eight seconds, an event told.
async fn after_a_list(begun: Instant) {
    let interval = Duration::from_secs(10);
    let since = Duration::from_secs_f64(begun.elapsed().as_secs_f64() % interval.as_secs_f64());
    // It lists at its start, which takes a moment, and then once in each interval.
    hold(interval.saturating_sub(since) + Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_container_that_is_removed_behind_its_back_is_noticed_by_its_event() {
    let begun = Instant::now();
    let (node, socket) = behind_socket().await;
    let definition = node.world.define(spec(vec![stays()]));
    let tasks = node.world.place(node.instance, &definition, 2);
    node.world.wait_count(TaskStatus::Running, 2).await;
    let removed = async |id: TaskId| {
        let container = task(&node, id).containers[0].runtime_id.clone().unwrap();
        docker(&["rm", "-f", &container]);
        let begun = Instant::now();
        let stopped = node.world.wait_status(id, TaskStatus::Stopped).await;
        assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
        begun.elapsed()
    };
    after_a_list(begun).await;
    let noticed = removed(tasks[0]).await;
    println!("docker rm -f to STOPPED: {noticed:?}");
    assert!(noticed < Duration::from_secs(5), "{noticed:?}");
    // The event is lost with the connection that it comes by: what was missed is sent again.
    after_a_list(begun).await;
    socket.set(Mode::Fail);
    let container = task(&node, tasks[1]).containers[0].runtime_id.clone().unwrap();
    docker(&["rm", "-f", &container]);
    socket.set(Mode::Pass);
    let begun = Instant::now();
    node.world.wait_status(tasks[1], TaskStatus::Stopped).await;
    println!("the same, its event lost: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_tasks_use_is_known_within_seconds() {
    let node = Node::start().await;
    let definition = node.world.define(spec(vec![shell("app", "while :; do :; done")]));
    let busy = node.world.place(node.instance, &definition, 1)[0];
    let keeps =
        node.world.define(spec(vec![shell("app", "head -c 13000000 /dev/zero > /dev/shm/kept; sleep 1000")]));
    let idle = node.world.place(node.instance, &keeps, 1)[0];
    node.world.wait_count(TaskStatus::Running, 2).await;
    let (busy, idle) = wait_for("what both use", LIMIT, || async {
        let known = node.world.dispatcher.usage().current();
        let of = |task| known.get(task).map(|known| known.usage);
        match (of(&busy), of(&idle)) {
            (Some(busy), Some(idle)) if busy.cpu_millis > 0 && idle.memory_bytes > 12 << 20 => {
                Ok((busy, idle))
            }
            _ => Err(format!("{known:?}")),
        }
    })
    .await;
    println!("busy: {busy:?}\nidle: {idle:?}");
    // On a machine that has other things to do it may get less, never more.
    assert!((100..=1_100).contains(&busy.cpu_millis), "{busy:?}");
    assert!(busy.memory_bytes < 16 << 20 && idle.memory_bytes < 16 << 20, "within their limits");
    assert!(idle.cpu_millis < 500, "{idle:?}");
}
