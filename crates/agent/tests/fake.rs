//! Agents with simulated containers against a dispatcher, over gRPC on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{LIMIT, Running, World, container, spec, with_data};
use trireme_agent::AgentConfig;
use trireme_agent::runtime::fake::FakeRuntime;
use trireme_state::object::{StopCode, TaskStatus};
use trireme_state::{Command, Outcome};
use trireme_testkit::wait_for;

#[tokio::test]
async fn a_placed_task_runs_and_stops() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let begun = Instant::now();
    let task = world.place(instance, &definition, 1)[0];
    let running = world.wait_status(task, TaskStatus::Running).await;
    println!("placed to RUNNING: {:?}", begun.elapsed());
    assert_eq!(running.containers[0].status, TaskStatus::Running);
    assert!(running.containers[0].runtime_id.is_some());
    assert!(running.times.pull_started_at.is_some());
    world.stop_task(task);
    let stopped = world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated));
    assert_eq!(stopped.containers[0].exit_code, Some(143));
    wait_for("the container to go", LIMIT, || async {
        if runtime.containers() == 0 { Ok(()) } else { Err(runtime.containers().to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_essential_exit_stops_the_others() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let mut short = container("short");
    short.environment =
        vec![("FAKE_EXIT_AFTER_MS".into(), "50".into()), ("FAKE_EXIT_CODE".into(), "3".into())];
    let definition = world.define(spec(vec![short, container("long")]));
    let task = world.place(instance, &definition, 1)[0];
    let stopped = world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(stopped.stopped_reason.as_deref(), Some("Essential container in task exited"));
    let codes: Vec<_> = stopped.containers.iter().map(|one| one.exit_code).collect();
    assert_eq!(codes, [Some(3), Some(143)]);
    assert!(stopped.times.started_at.is_some(), "it ran");
}

#[tokio::test]
async fn a_task_that_cannot_start_says_why() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    for (image, reason) in
        [("missing/x", "CannotPullContainerError"), ("broken/x", "CannotStartContainerError")]
    {
        let mut bad = container("bad");
        bad.image = image.to_owned();
        let definition = world.define(spec(vec![container("good"), bad]));
        let task = world.place(instance, &definition, 1)[0];
        let stopped = world.wait_status(task, TaskStatus::Stopped).await;
        assert_eq!(stopped.stop_code, Some(StopCode::TaskFailedToStart));
        assert_eq!(stopped.stopped_reason.as_deref(), Some("Task failed to start"));
        let said = stopped.containers[1].reason.clone().unwrap();
        assert!(said.starts_with(reason), "{said}");
        assert_eq!(stopped.containers[1].exit_code, None);
    }
}

#[tokio::test]
async fn a_restarted_agent_adopts_and_restarts_nothing() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let folder = tempfile::tempdir().unwrap();
    let config = with_data(world.config("a"), folder.path());
    let agent = Running::with(config.clone(), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let tasks = world.place(instance, &definition, 3);
    world.wait_count(TaskStatus::Running, 3).await;
    agent.kill().await;
    // One container ends while nobody looks.
    let before = runtime.running();
    let lost = world.view().task(tasks[0]).unwrap().containers[0].runtime_id.clone().unwrap();
    runtime.exit(&lost, 9).await;
    let epoch = world.view().instance(instance).unwrap().epoch;

    let _agent = Running::with(config, Arc::new(runtime.clone()));
    let stopped = world.wait_status(tasks[0], TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(9));
    assert_eq!(stopped.stop_code, Some(StopCode::EssentialContainerExited));
    assert_eq!(world.view().instance(instance).unwrap().epoch, epoch.next(), "the same instance again");
    let after = runtime.running();
    assert_eq!(after, before.into_iter().filter(|id| *id != lost).collect::<Vec<_>>());
    assert_eq!(runtime.starts(), 3, "nothing was started again");
}

#[tokio::test]
async fn without_a_control_plane_everything_runs_on_and_news_wait() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let tasks = world.place(instance, &definition, 2);
    world.wait_count(TaskStatus::Running, 2).await;
    let port = world.address.port();
    let store = world.stop().await;
    assert_eq!(runtime.running().len(), 2);
    let id = store_runtime_id(&store, tasks[0]);
    assert!(runtime.exit(&id, 5).await);

    let world = World::over(store, port).await;
    let stopped = world.wait_status(tasks[0], TaskStatus::Stopped).await;
    assert_eq!(stopped.containers[0].exit_code, Some(5));
    world.wait_status(tasks[1], TaskStatus::Running).await;
    assert_eq!(runtime.starts(), 2);
}

fn store_runtime_id(store: &impl trireme_state::store::Store, task: trireme_types::TaskId) -> String {
    store.view().task(task).unwrap().containers[0].runtime_id.clone().unwrap()
}

#[tokio::test]
async fn without_a_control_plane_containers_come_again() {
    let world = World::start().await;
    let port = world.address.port();
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let mut short = container("short");
    short.environment =
        vec![("FAKE_EXIT_AFTER_MS".into(), "1100".into()), ("FAKE_EXIT_CODE".into(), "3".into())];
    let policy = r#"{"enabled":true,"restartAttemptPeriod":1}"#;
    short.described = [("restartPolicy".to_owned(), policy.to_owned())].into();
    let definition = world.define(spec(vec![short]));
    let task = world.place(instance, &definition, 1)[0];
    world.wait_status(task, TaskStatus::Running).await;
    let store = world.stop().await;
    let before = runtime.starts();
    wait_for("the container to come again and again", LIMIT, || async {
        let starts = runtime.starts();
        if starts >= before + 2 { Ok(()) } else { Err(format!("{starts} starts")) }
    })
    .await;
    let world = World::over(store, port).await;
    world.instance("a").await;
    world.stop_task(task);
    let stopped = world.wait_status(task, TaskStatus::Stopped).await;
    assert_eq!(stopped.stop_code, Some(StopCode::UserInitiated), "it never ended by itself");
    assert_eq!(runtime.running(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_instance_stops_what_was_replaced_before_it_starts_anything() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let old = world.place(instance, &definition, 2);
    world.wait_count(TaskStatus::Running, 2).await;
    let epoch = world.view().instance(instance).unwrap().epoch;
    let reason = "lost".to_owned();
    world.propose(Command::LoseInstance { instance, epoch, reason });
    // The session's epoch is over: the agent opens another one and is told what it may keep, which is nothing.
    assert_eq!(world.instance("a").await, instance);
    let new = world.place(instance, &definition, 1)[0];
    world.wait_status(new, TaskStatus::Running).await;
    assert_eq!(runtime.containers(), 1);
    for task in old {
        assert_eq!(world.view().task(task).unwrap().stop_code, Some(StopCode::InfrastructureHealth));
    }
}

#[tokio::test]
async fn a_deregistered_agent_removes_everything_and_registers_anew_when_started_again() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    world.place(instance, &definition, 2);
    world.wait_count(TaskStatus::Running, 2).await;
    let cluster = common::default_cluster();
    let outcome = world.propose(Command::DeregisterInstance { cluster, instance, force: true });
    assert_eq!(outcome, Outcome::Done);
    assert!(matches!(agent.ended().await, Err(trireme_agent::Error::Deregistered { .. })));
    assert_eq!(runtime.containers(), 0);
    let _agent = Running::with(world.config("a"), Arc::new(runtime.clone()));
    let again = world.instance("a").await;
    assert_ne!(again, instance);
    let task = world.place(again, &definition, 1)[0];
    world.wait_status(task, TaskStatus::Running).await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_ends_no_agent() {
    let world = World::start().await;
    let runtime = FakeRuntime::default();
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let agent = Running::with(with_data(world.config("a"), &folder), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let first = world.place(instance, &definition, 1)[0];
    world.wait_status(first, TaskStatus::Running).await;
    std::fs::rename(&folder, parent.path().join("away")).unwrap();
    let second = world.place(instance, &definition, 1)[0];
    world.wait_status(second, TaskStatus::Running).await;
    world.stop_task(first);
    world.wait_status(first, TaskStatus::Stopped).await;
    agent.kill().await;
}

#[tokio::test]
async fn a_second_agent_on_one_data_folder_is_refused() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = with_data(world.config("a"), folder.path());
    let _first = Running::with(config.clone(), Arc::new(FakeRuntime::default()));
    world.instance("a").await;
    let second = Running::with(config, Arc::new(FakeRuntime::default()));
    let error = second.ended().await.unwrap_err();
    assert_eq!(error.to_string(), format!("another agent uses {}", folder.path().display()));
}

/// On one thread, so that the recorder is this test's own.
#[tokio::test]
async fn whether_an_agent_has_a_session_is_a_metric() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let shows = async |value: &str| {
        let line = format!("trireme_agent_connected {value}");
        wait_for(&line, LIMIT, || async {
            let text = handle.render();
            if text.lines().any(|known| known == line) { Ok(()) } else { Err(text) }
        })
        .await;
    };
    let world = World::start().await;
    let _agent = Running::with(world.config("a"), Arc::new(FakeRuntime::default()));
    shows("1").await;
    let port = world.address.port();
    let store = world.stop().await;
    shows("0").await;
    let _world = World::over(store, port).await;
    shows("1").await;
}

#[tokio::test]
async fn what_the_control_node_does_not_take_ends_an_agent() {
    let world = World::start().await;
    let mut config = world.config("a");
    config.attributes = (0..161).map(|n| (format!("a{n}"), String::new())).collect();
    let agent = Running::with(config, Arc::new(FakeRuntime::default()));
    let error = agent.ended().await.unwrap_err();
    assert_eq!(error.to_string(), "the control node refuses this agent: bad value in attributes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_agents_in_one_process_run_thousands_of_tasks() {
    const AGENTS: usize = 50;
    const TASKS: usize = 40;
    let world = World::start().await;
    let configs = (0..AGENTS).map(|n| world.config(&format!("a{n}"))).collect();
    let agents = tokio::spawn(trireme_agent::run_many(configs, tokio_util::sync::CancellationToken::new()));
    let definition = world.define(spec(vec![container("app")]));
    let mut instances = Vec::new();
    for n in 0..AGENTS {
        instances.push(world.instance(&format!("a{n}")).await);
    }
    let begun = Instant::now();
    for instance in &instances {
        world.place(*instance, &definition, TASKS);
    }
    world.wait_count(TaskStatus::Running, (AGENTS * TASKS) as u64).await;
    println!("{} tasks on {AGENTS} agents RUNNING in {:?}", AGENTS * TASKS, begun.elapsed());
    wait_for("every agent's heartbeat", LIMIT, || async {
        let snapshot = world.heartbeats.snapshot();
        let fresh = snapshot.values().filter(|heard| heard.age < Duration::from_secs(2)).count();
        if fresh == AGENTS { Ok(()) } else { Err(format!("{fresh} of {}", snapshot.len())) }
    })
    .await;
    agents.abort();
}

#[tokio::test]
async fn an_agent_finds_a_control_plane_whose_every_first_node_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = World::start().await;
    let runtime = Arc::new(FakeRuntime::default());
    let config = with_data(first.config("a"), folder.path());
    let agent = Running::with(config.clone(), runtime.clone());
    let instance = first.instance("a").await;
    // A second node joins while the session lasts, and the agent is told of it; then the only one that it was started with goes.
    let second = World::over(first.store.clone(), 0).await;
    let address = second.address.to_string();
    first.control_nodes.send_replace(vec![address.clone()]);
    wait_for("the ledger to name the second node", LIMIT, || async {
        let known = trireme_agent::ledger::read(folder.path()).unwrap().unwrap().control_nodes;
        if known == [address.clone()] { Ok(()) } else { Err(format!("{known:?}")) }
    })
    .await;
    let epoch = first.view().instance(instance).unwrap().epoch;
    first.stop().await;
    let later = |epoch| {
        let second = &second;
        async move {
            let known = second.view().instance(instance).unwrap().clone();
            if known.connected && known.epoch > epoch { Ok(known.epoch) } else { Err(format!("{known:?}")) }
        }
    };
    let epoch = wait_for("a session with the second node", LIMIT, || later(epoch)).await;
    // After its own restart as well.
    agent.kill().await;
    let _agent = Running::with(config, runtime);
    wait_for("a session after a restart", LIMIT, || later(epoch)).await;
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_says_for_how_long_it_goes() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let runtime = FakeRuntime::default();
    let config = AgentConfig { absence_ms: 90_000, ..with_data(world.config("a"), folder.path()) };
    let agent = Running::with(config.clone(), Arc::new(runtime.clone()));
    let instance = world.instance("a").await;
    let definition = world.define(spec(vec![container("app")]));
    let task = world.place(instance, &definition, 1)[0];
    world.wait_status(task, TaskStatus::Running).await;
    agent.stop().await.unwrap();
    let view = world.view();
    assert_eq!(view.absence(instance), Some(view.clock().plus(Duration::from_secs(90))));
    assert!(view.instance(instance).unwrap().connected, "it is not lost");

    let agent = Running::with(config.clone(), Arc::new(runtime.clone()));
    wait_for("it to be back", LIMIT, || async {
        world.view().absence(instance).map_or(Ok(()), |until| Err(format!("away until {until:?}")))
    })
    .await;
    assert_eq!(runtime.containers(), 1);
    assert_eq!(world.view().task(task).unwrap().last_status, TaskStatus::Running);
    drop(agent);

    // One that is not to be waited for says nothing.
    let silent = Running::with(AgentConfig { absence_ms: 0, ..config }, Arc::new(runtime));
    let epoch = world.view().instance(instance).unwrap().epoch;
    wait_for("its session", LIMIT, || async {
        let now = world.view().instance(instance).unwrap().epoch;
        if now > epoch { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
    silent.stop().await.unwrap();
    assert_eq!(world.view().absence(instance), None);
}

#[tokio::test]
async fn without_a_control_plane_an_agent_that_is_told_to_stop_does_not_wait_for_long() {
    let world = World::start().await;
    let agent = Running::with(world.config("a"), Arc::new(FakeRuntime::default()));
    world.instance("a").await;
    let _store = world.stop().await;
    let begun = Instant::now();
    tokio::time::timeout(Duration::from_secs(10), agent.stop()).await.expect("it ends").unwrap();
    println!("told to stop without a control plane: {:?}", begun.elapsed());
}
