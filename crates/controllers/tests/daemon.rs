//! Stories of daemons: one task on each instance that fits, before all others and after all others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::*;
use trireme_state::Command;
use trireme_state::command::InstanceAttribute;
use trireme_state::object::*;
use trireme_types::ContainerInstanceId;

const DAEMON: (&str, &str) = (SCHEDULING_STRATEGY, "\"DAEMON\"");

fn by_instance(world: &World, name: &str) -> BTreeMap<ContainerInstanceId, usize> {
    let mut counts = BTreeMap::new();
    for task in world.tasks(name).iter().filter(|task| task.wanted()) {
        *counts.entry(task.instance).or_default() += 1;
    }
    counts
}

fn one_on_each(world: &World, name: &str) -> bool {
    let counts = by_instance(world, name);
    counts.len() == world.agents.len() && counts.values().all(|count| *count == 1)
}

fn with_daemon(limits: (u32, u32)) -> World {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let agent = world.register("logs", 64, 64, Some(9_000));
    world.create_described("logs", &agent, 0, limits, &[DAEMON]);
    world.settle_healthy();
    world
}

#[test]
fn one_runs_on_each_instance_and_on_each_that_comes() {
    let mut world = with_daemon((100, 0));
    assert!(one_on_each(&world, "logs"));
    assert!(world.service("logs").steady);
    assert_eq!(world.service("logs").deployments[0].rollout, RolloutState::Completed);
    world.agent(ZONES[1], 4096, 4096);
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
    assert_eq!(world.service("logs").deployments.len(), 1);
}

#[test]
fn it_comes_before_other_services_tasks() {
    let mut world = World::new();
    world.user(Command::CreateCluster { cluster: cluster(), tags: Tags::new() });
    let large = world.register("large", 2_048, 2_048, None);
    // By name they would come first.
    world.create("a-web", &large, 4, (200, 100));
    let agent = world.register("logs", 2_048, 2_048, None);
    world.create_described("z-logs", &agent, 0, (100, 0), &[DAEMON]);
    world.agent(ZONES[0], 4_096, 4_096);
    world.agent(ZONES[1], 4_096, 4_096);
    world.settle();
    assert!(one_on_each(&world, "z-logs"));
    assert_eq!(world.running("a-web"), 2, "in what is left");
}

#[test]
fn it_leaves_a_drained_instance_last() {
    let mut world = with_daemon((100, 0));
    let web = world.register("web", 64, 64, None);
    world.create("web", &web, 6, (200, 100));
    world.settle_healthy();
    let drained = world.agents[0];
    world.set_status(drained, InstanceStatus::Draining);
    world.settle();
    assert_eq!(by_instance(&world, "logs").get(&drained), Some(&1), "others are there still");
    assert!(
        by_instance(&world, "web").contains_key(&drained),
        "start first: its successor is not healthy yet"
    );
    world.settle_healthy();
    assert_eq!(by_instance(&world, "web").get(&drained), None);
    assert_eq!(by_instance(&world, "logs").get(&drained), None);
    assert_eq!(world.running("logs"), 5);
    assert!(world.service("logs").steady);
    world.set_status(drained, InstanceStatus::Active);
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
}

#[test]
fn a_constraint_says_where_and_who_does_not_fit_any_more_stops() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let put = |world: &mut World, at: usize, value: &str| {
        let (instance, name) = (world.agents[at], "role".to_owned());
        let attributes = vec![InstanceAttribute { instance, name, value: Some(value.to_owned()) }];
        world.user(Command::PutAttributes { cluster: cluster(), attributes });
    };
    put(&mut world, 0, "edge");
    put(&mut world, 1, "edge");
    let agent = world.register("logs", 64, 64, None);
    let edge = (PLACEMENT_CONSTRAINTS, r#"[{"type":"memberOf","expression":"attribute:role == edge"}]"#);
    world.create_described("logs", &agent, 0, (100, 0), &[DAEMON, edge]);
    world.settle_healthy();
    assert_eq!(by_instance(&world, "logs").into_keys().collect::<Vec<_>>(), {
        let mut edge = world.agents[..2].to_vec();
        edge.sort();
        edge
    });
    put(&mut world, 0, "core");
    put(&mut world, 2, "edge");
    world.settle_healthy();
    let counts = by_instance(&world, "logs");
    assert!(!counts.contains_key(&world.agents[0]) && counts.contains_key(&world.agents[2]), "{counts:?}");
}

#[test]
fn an_update_stops_first_by_default_and_never_runs_two_on_one_port() {
    let mut world = with_daemon((100, 0));
    let next = world.register("logs", 64, 64, Some(9_000));
    world.deploy("logs", &next);
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
    assert!(world.tasks("logs").iter().all(|task| task.definition == next));
    assert_eq!(world.service("logs").deployments.len(), 1);
}

#[test]
fn an_update_keeps_the_minimum() {
    let mut world = with_daemon((100, 50));
    let next = world.register("logs", 64, 64, Some(9_000));
    world.deploy("logs", &next);
    for _ in 0..200 {
        world.settle();
        assert!(world.running("logs") >= 3, "half of six");
        world.advance(Duration::from_secs(1));
    }
    assert!(one_on_each(&world, "logs"));
    assert!(world.tasks("logs").iter().all(|task| task.definition == next));
}

#[test]
fn an_update_may_start_first_where_it_may_have_more() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let agent = world.register("logs", 64, 64, None);
    world.create_described("logs", &agent, 0, (200, 100), &[DAEMON]);
    world.settle_healthy();
    let next = world.register("logs", 64, 64, None);
    world.deploy("logs", &next);
    world.settle();
    assert!(by_instance(&world, "logs").values().all(|count| *count == 2), "both revisions, on each");
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
}

#[test]
fn a_lost_instance_needs_no_replacement() {
    let mut world = with_daemon((100, 0));
    world.lose(world.agents[0]);
    world.settle_healthy();
    assert_eq!(world.running("logs"), 5);
    assert!(world.service("logs").steady);
    world.return_from_the_dead(world.agents[0]);
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
}

#[test]
fn one_that_fails_is_started_again_where_it_was() {
    let mut world = with_daemon((100, 0));
    let task = world.tasks("logs").remove(0);
    world.exit(&task);
    world.settle_healthy();
    assert!(one_on_each(&world, "logs"));
}

#[test]
fn a_constraint_does_not_see_the_tasks_of_the_daemon_that_it_is_of() {
    for expression in ["runningTasksCount == 0", "not(task:group == service:logs)", "runningTasksCount < 1"] {
        let mut world = World::new();
        world.agents_per_zone(1, 4096, 4096);
        let (agent, other) = (world.register("logs", 64, 64, None), world.register("one", 64, 64, None));
        let constraint = format!(r#"[{{"type":"memberOf","expression":"{expression}"}}]"#);
        let described = [DAEMON, (PLACEMENT_CONSTRAINTS, constraint.as_str())];
        world.create_described("logs", &agent, 0, (100, 0), &described);
        world.live(Duration::from_secs(300));
        assert!(one_on_each(&world, "logs"), "{expression}");
        assert_eq!(world.started, 3, "{expression}: each was started once");
        // The tasks of others are seen.
        world.run(&other, world.agents[0]);
        world.live(Duration::from_secs(300));
        let counted = expression.starts_with("running");
        assert_eq!(world.running("logs"), if counted { 2 } else { 3 }, "{expression}");
        world.stop_others(world.agents[0]);
        world.live(Duration::from_secs(300));
        assert!(one_on_each(&world, "logs"), "{expression}");
        assert_eq!(world.started, if counted { 4 } else { 3 }, "{expression}");
    }
}

#[test]
fn an_update_is_not_kept_out_by_the_tasks_that_it_replaces() {
    let constraint = r#"[{"type":"memberOf","expression":"runningTasksCount == 0"}]"#;
    // It stops first; it starts first; it would start first, but for the port.
    for (limits, port) in [((100, 0), None), ((200, 100), None), ((200, 0), Some(9_000))] {
        let mut world = World::new();
        world.agents_per_zone(1, 4096, 4096);
        let agent = world.register("logs", 64, 64, port);
        world.create_described("logs", &agent, 0, limits, &[DAEMON, (PLACEMENT_CONSTRAINTS, constraint)]);
        world.settle_healthy();
        let next = world.register("logs", 64, 64, port);
        world.deploy("logs", &next);
        world.live(Duration::from_secs(300));
        assert!(one_on_each(&world, "logs"), "{limits:?}");
        assert!(world.tasks("logs").iter().all(|task| task.definition == next), "{limits:?}");
    }
}

#[test]
fn after_a_failed_deployment_there_is_one_on_each_instance_again() {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let (good, bad) = (world.register("logs", 64, 64, None), world.register("logs", 64, 64, None));
    let breaker = r#"{"enable":true,"rollback":false,"thresholdConfiguration":{"type":"COUNT","value":5}}"#;
    world.create_described("logs", &good, 0, (200, 100), &[DAEMON, (CIRCUIT_BREAKER, breaker)]);
    world.settle_healthy();
    world.deploy("logs", &bad);
    world.settle();
    // One of the new tasks works, beside an older one; and there is a new machine when the deployment fails.
    let new: Vec<_> = world.tasks("logs").into_iter().filter(|task| task.definition == bad).collect();
    assert_eq!(new.len(), 6);
    let late = world.agent(ZONES[0], 4096, 4096);
    new[1..].iter().for_each(|task| world.exit(task));
    world.settle_for_good();
    assert_eq!(world.service("logs").deployments[0].rollout, RolloutState::Failed);
    assert!(one_on_each(&world, "logs"), "{:?}", by_instance(&world, "logs"));
    assert!(world.tasks("logs").iter().all(|task| task.definition == good));
    assert!(by_instance(&world, "logs").contains_key(&late));
}
