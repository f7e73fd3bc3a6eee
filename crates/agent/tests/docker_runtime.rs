//! Agents with real containers, against a dispatcher over gRPC on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::node::{Node, docker, has_file, inspect, shell};
use common::{LIMIT, Running, World, container, spec, with_data};
use trireme_agent::{AgentConfig, RuntimeConfig};
use trireme_state::Command;
use trireme_state::object::{NetworkMode, PortMapping, StopCode, TaskStatus};
use trireme_testkit::wait_for;
use trireme_types::{CpuUnits, Mebibytes, Port, Protocol};

fn port(container: u16, host: u16) -> PortMapping {
    PortMapping {
        container_port: Port::new(container),
        host_port: Some(Port::new(host)),
        protocol: Protocol::Tcp,
        name: None,
    }
}

async fn answers(port: u32) {
    wait_for("the published port", LIMIT, || async move {
        let address = ("127.0.0.1", u16::try_from(port).unwrap());
        tokio::net::TcpStream::connect(address).await.map(|_| ()).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn what_a_definition_says_is_what_docker_runs() {
    let node = Node::start().await;
    let mut app = shell("app", "trap 'exit 0' TERM; httpd -p 80; while :; do sleep 0.1; done");
    app.environment = vec![("COLOUR".into(), "deep blue".into())];
    app.cpu = CpuUnits::new(128);
    app.memory = Some(Mebibytes::new(32));
    app.memory_reservation = Some(Mebibytes::new(16));
    app.working_directory = Some("/tmp".into());
    app.hostname = Some("rower".into());
    app.docker_labels = [("team".to_owned(), "oars".to_owned())].into();
    app.port_mappings = vec![port(80, 0)];
    let task = node.run(vec![app]);
    let task = node.world.wait_status(task, TaskStatus::Running).await;
    let config = "{{.HostConfig.CpuShares}} {{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} \
                  {{.Config.WorkingDir}} {{.Config.Hostname}} {{index .Config.Labels \"team\"}} \
                  {{index .Config.Labels \"com.amazonaws.ecs.container-name\"}} {{.Config.Env}}";
    let said = inspect(&task, config);
    assert!(said.starts_with("128 33554432 16777216 /tmp rower oars app [COLOUR=deep blue"), "{said}");
    let binding = &task.containers[0].network_bindings[0];
    assert_eq!(binding.container_port, Port::new(80));
    assert_ne!(binding.host_port, Port::new(0));
    answers(binding.host_port.get().into()).await;
    assert!(task.containers[0].image_digest.as_ref().unwrap().starts_with("sha256:"));
}

#[tokio::test]
async fn exit_codes_and_reasons_come_back() {
    let node = Node::start().await;
    let task = node.run(vec![shell("short", "sleep 0.2; exit 7"), shell("long", "sleep 1000")]);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    let codes: Vec<_> = stopped.containers.iter().map(|one| one.exit_code).collect();
    // The first process of a container has no handler for SIGTERM: it is killed after its patience.
    assert_eq!(codes, [Some(7), Some(137)]);

    let mut bad = container("bad");
    bad.command = Some(vec!["/no/such/program".into()]);
    let task = node.run(vec![bad]);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
    assert!(stopped.containers[0].reason.as_ref().unwrap().starts_with("CannotStartContainerError"));
    assert_eq!(stopped.containers[0].exit_code, None);

    let mut missing = container("missing");
    missing.image = "localhost:1/nowhere:1".into();
    let task = node.run(vec![missing]);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    assert!(stopped.containers[0].reason.as_ref().unwrap().starts_with("CannotPullContainerError"));
    wait_for("the stopped containers to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn sigterm_is_honoured_and_sigkill_follows() {
    let node = Node::start().await;
    let script = "trap 'exit 5' TERM; touch /ready; while :; do sleep 0.05; done";
    let gentle = node.run(vec![shell("gentle", script)]);
    let stubborn = node.run(vec![shell("stubborn", "trap '' TERM; while :; do sleep 0.05; done")]);
    let running = node.world.wait_status(gentle, TaskStatus::Running).await;
    node.world.wait_status(stubborn, TaskStatus::Running).await;
    has_file(&running, "/ready").await;
    let begun = Instant::now();
    node.world.stop_task(gentle);
    node.world.stop_task(stubborn);
    let gentle = node.world.wait_status(gentle, TaskStatus::Stopped).await;
    assert_eq!(gentle.containers[0].exit_code, Some(5), "the patience was not needed");
    let stubborn = node.world.wait_status(stubborn, TaskStatus::Stopped).await;
    assert_eq!(stubborn.containers[0].exit_code, Some(137));
    assert!(begun.elapsed() >= Duration::from_secs(2), "it had its patience");
    assert_eq!(stubborn.stop_code, Some(StopCode::UserInitiated));
}

/// Each waits out its patience. That must not keep what is stale alive.
#[tokio::test]
async fn what_takes_more_memory_than_it_may_says_so() {
    let node = Node::start().await;
    let mut app = shell("app", "x=0123456789abcdef; while :; do x=$x$x; done");
    app.memory = Some(Mebibytes::new(8));
    let stopped = node.world.wait_status(node.run(vec![app]), TaskStatus::Stopped).await;
    let app = &stopped.containers[0];
    let reason = app.reason.as_deref().unwrap_or_default();
    assert_eq!(
        (app.exit_code, reason),
        (Some(137), "OutOfMemoryError: Container killed due to memory usage")
    );
}

#[tokio::test]
async fn many_stubborn_containers_are_fenced_at_once() {
    const COUNT: usize = 70;
    let node = Node::start().await;
    let mut app = container("app");
    // The first process of a container ignores SIGTERM unless it has a handler.
    app.stop_timeout = Some(120);
    app.memory = Some(Mebibytes::new(8));
    let definition = node.world.define(spec(vec![app]));
    let tasks = node.world.place(node.instance, &definition, COUNT);
    node.world.wait_count(TaskStatus::Running, COUNT as u64).await;
    for task in tasks {
        node.world.stop_task(task);
    }
    node.world.wait_count(TaskStatus::Stopping, COUNT as u64).await;
    let instance = node.instance;
    let epoch = node.world.view().instance(instance).unwrap().epoch;
    let begun = Instant::now();
    node.world.propose(Command::LoseInstance { instance, epoch, reason: "silent".into() });
    let filter = format!("label=io.trireme.agent={instance}");
    wait_for("the stale containers to be dead", LIMIT, || async {
        let running = docker(&["ps", "-q", "--filter", &filter]);
        if running.is_empty() { Ok(()) } else { Err(format!("{} run", running.lines().count())) }
    })
    .await;
    println!("{COUNT} stubborn containers fenced in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(60), "half of their patience: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_killed_container_is_noticed_at_once() {
    let node = Node::start().await;
    let task = node.run(vec![container("app")]);
    let running = node.world.wait_status(task, TaskStatus::Running).await;
    let id = running.containers[0].runtime_id.clone().unwrap();
    let begun = Instant::now();
    docker(&["kill", &id]);
    let stopped = node.world.wait_status(task, TaskStatus::Stopped).await;
    println!("docker kill to STOPPED: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "an event said so, not the list");
    assert_eq!(stopped.containers[0].exit_code, Some(137));
}

#[tokio::test]
async fn a_restarted_agent_adopts_its_containers() {
    let mut node = Node::start().await;
    let mut app = shell("app", "httpd -f -p 80");
    app.port_mappings = vec![port(80, 0)];
    let definition = node.world.define(spec(vec![app]));
    let tasks = node.world.place(node.instance, &definition, 3);
    node.world.wait_count(TaskStatus::Running, 3).await;
    let before = node.containers();
    let started = docker(&["inspect", "--format", "{{.State.StartedAt}}", &before[1]]);
    node.agent.take().unwrap().kill().await;
    // While nobody looks, one of them ends.
    let lost = node.world.view().task(tasks[0]).unwrap().containers[0].runtime_id.clone().unwrap();
    docker(&["kill", &lost]);
    let bindings = node.world.view().task(tasks[1]).unwrap().containers[0].network_bindings.clone();

    node.agent = Some(Running::start(node.config.clone()));
    let stopped = node.world.wait_status(tasks[0], TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(137));
    wait_for("the ended container to go", LIMIT, || async {
        let left = node.containers();
        if left.len() == 2 { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert!(node.containers().iter().all(|id| before.contains(id)), "no new container");
    if lost != before[1] {
        assert_eq!(docker(&["inspect", "--format", "{{.State.StartedAt}}", &before[1]]), started);
    }
    let kept = node.world.wait_status(tasks[1], TaskStatus::Running).await;
    assert_eq!(kept.containers[0].network_bindings, bindings);
}

#[tokio::test]
async fn what_was_replaced_is_removed_when_the_agent_returns() {
    let mut node = Node::start().await;
    let definition = node.world.define(spec(vec![container("app")]));
    node.world.place(node.instance, &definition, 2);
    node.world.wait_count(TaskStatus::Running, 2).await;
    node.agent.take().unwrap().kill().await;
    let instance = node.instance;
    let epoch = node.world.view().instance(instance).unwrap().epoch;
    node.world.propose(Command::LoseInstance { instance, epoch, reason: "silent".into() });
    node.agent = Some(Running::start(node.config.clone()));
    wait_for("the replaced containers to go", LIMIT, || async {
        let left = node.containers();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

#[tokio::test]
async fn host_and_none_networks() {
    let node = Node::start().await;
    let mut host = shell("host", "httpd -f -p 18473");
    host.port_mappings = vec![port(18473, 18473)];
    let host = node.run_in(NetworkMode::Host, vec![host]);
    let none = node.run_in(NetworkMode::None, vec![container("none")]);
    let host = node.world.wait_status(host, TaskStatus::Running).await;
    assert_eq!(host.containers[0].network_bindings[0].host_port, Port::new(18473));
    answers(18473).await;
    let none = node.world.wait_status(none, TaskStatus::Running).await;
    assert_eq!(inspect(&none, "{{.HostConfig.NetworkMode}}"), "none");
}

#[tokio::test]
async fn a_task_launch_costs_little_beyond_docker() {
    let node = Node::start().await;
    let definition = node.world.define(spec(vec![container("app")]));
    let first = node.world.place(node.instance, &definition, 1)[0];
    node.world.wait_status(first, TaskStatus::Running).await;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let begun = Instant::now();
        let task = node.world.place(node.instance, &definition, 1)[0];
        node.world.wait_status(task, TaskStatus::Running).await;
        ours.push(begun.elapsed());
        let begun = Instant::now();
        let id = docker(&[
            "run",
            "-d",
            "--label",
            &format!("io.trireme.agent={}", node.instance),
            "busybox:1",
            "sleep",
            "1000",
        ]);
        bare.push(begun.elapsed());
        docker(&["rm", "-f", &id]);
    }
    ours.sort();
    bare.sort();
    println!("placed to RUNNING: median {:?}; docker run: median {:?}", ours[4], bare[4]);
}

#[tokio::test]
async fn an_agent_without_docker_says_so() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = AgentConfig {
        runtime: RuntimeConfig::Docker { socket: Path::new("/no/such/docker.sock").to_owned() },
        ..with_data(world.config("a"), folder.path())
    };
    let error = trireme_agent::run(config, tokio_util::sync::CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("no Docker Engine answers at /no/such/docker.sock"), "{error}");
    assert!(!format!("{error:?} {error}").contains("CannotInspect"), "{error:?}");
}

#[tokio::test]
async fn containers_are_found_for_removal_without_the_ledger() {
    let mut node = Node::start().await;
    let definition = node.world.define(spec(vec![container("app")]));
    node.world.place(node.instance, &definition, 2);
    node.world.wait_count(TaskStatus::Running, 2).await;
    node.agent.take().unwrap().kill().await;
    let folder = node.config.data_dir.clone().unwrap();
    let uuid = trireme_agent::ledger::read(&folder).unwrap().unwrap().cluster_uuid;
    // As a power loss leaves it.
    std::fs::write(folder.join("ledger.json"), "").unwrap();
    let remove = async |config: &AgentConfig, uuid| trireme_agent::remove_containers(config, uuid).await;
    assert!(matches!(remove(&node.config, None).await, Err(trireme_agent::Error::LedgerDamaged { .. })));
    let other = AgentConfig { name: "another".into(), ..node.config.clone() };
    assert_eq!(remove(&other, Some(uuid.as_str())).await.unwrap(), 0);
    assert_eq!(remove(&node.config, Some("another")).await.unwrap(), 0);
    assert_eq!(remove(&node.config, Some(uuid.as_str())).await.unwrap(), 2);
    assert!(node.containers().is_empty());
    std::fs::remove_file(folder.join("ledger.json")).unwrap();
    assert_eq!(remove(&node.config, None).await.unwrap(), 0, "nobody knows");
}
