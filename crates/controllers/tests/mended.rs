//! Stories that once went wrong: each was a way to lose tasks, or to wait for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::command::ServiceChange;
use trireme_state::object::*;

fn described(member: &str, json: &str) -> ServiceChange {
    let described = [(member.to_owned(), Some(json.to_owned()))].into();
    ServiceChange { described, ..ServiceChange::default() }
}

/// Two zones, of which one is lost: the four tasks of a service that is rebalanced are in the other.
fn in_one_of_two_zones() -> World {
    let mut world = World::new();
    for zone in [ZONES[0], ZONES[1]] {
        world.agent(zone, 4096, 4096);
    }
    let web = world.register("web", 64, 64, None);
    world.lose(world.agents[1]);
    world.create_described("web", &web, 4, (200, 100), &[(ZONE_REBALANCING, "\"ENABLED\"")]);
    world.settle_healthy();
    world
}

#[test]
fn a_rolling_deployment_goes_on_when_its_service_turns_to_blue_and_green() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let web = world.register("web", 64, 64, None);
    world.create("web", &web, 4, (200, 100));
    world.settle();
    world.update("web", described(DEPLOYMENT_STRATEGY, "\"BLUE_GREEN\""));
    world.settle();
    assert_eq!(world.running("web"), 4, "not one of them was stopped");
    world.settle_for_good();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Completed);
}

#[test]
fn nobody_makes_room_for_what_a_constraint_keeps_out() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let web = world.register("web", 64, 64, None);
    world.create("web", &web, 3, (200, 0));
    world.settle_healthy();
    let nowhere = r#"[{"type":"memberOf","expression":"attribute:disk == ssd"}]"#;
    let mut change = described(PLACEMENT_CONSTRAINTS, nowhere);
    change.force_new_deployment = true;
    world.update("web", change);
    world.live(Duration::from_secs(120));
    assert_eq!(world.running("web"), 3, "the old tasks go on");
}

#[test]
fn what_a_failed_deployment_left_may_be_scaled_in() {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let good = world.register("web", 64, 64, None);
    let breaker = (CIRCUIT_BREAKER, r#"{"enable":true,"rollback":false}"#);
    world.create_described("web", &good, 4, (200, 100), &[breaker]);
    world.settle_healthy();
    let bad = world.register("web", 64, 64, None);
    world.broken.insert(bad.clone());
    world.deploy("web", &bad);
    world.live(Duration::from_secs(120));
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    assert_eq!(world.running("web"), 4);
    world.scale("web", 1);
    world.settle();
    assert_eq!(world.running("web"), 1);
    world.scale("web", 0);
    world.settle();
    assert_eq!(world.running("web"), 0);
}

#[test]
fn the_end_of_a_protection_is_waited_for_where_nothing_more_may_start() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let web = world.register("web", 64, 64, None);
    world.create("web", &web, 2, (100, 0));
    world.settle_healthy();
    for task in world.tasks("web") {
        world.protect(&task, Some(10));
    }
    let next = world.register("web", 64, 64, None);
    world.deploy("web", &next);
    world.settle();
    assert_eq!(world.running("web"), 2);
    let wake = world.plan().wake_at.unwrap();
    assert!(wake <= world.now.plus(Duration::from_secs(600)), "{wake:?}");
    world.settle_for_good();
    assert!(world.tasks("web").iter().all(|task| task.definition == next));
}

#[test]
fn protected_tasks_are_not_moved_and_nothing_is_tried_meanwhile() {
    let mut world = in_one_of_two_zones();
    for task in world.tasks("web") {
        world.protect(&task, Some(30));
    }
    world.return_from_the_dead(world.agents[1]);
    let before = world.started;
    world.live(Duration::from_secs(600));
    assert_eq!(world.started, before, "nothing was started only to be stopped again");
    world.live(Duration::from_secs(1_800));
    let zones: Vec<usize> = world.by_zone("web").into_values().collect();
    assert_eq!(zones, [2, 2]);
}

#[test]
fn a_zone_where_tasks_crash_is_not_tried_for_ever() {
    let mut world = in_one_of_two_zones();
    world.return_from_the_dead(world.agents[1]);
    let before = world.started;
    for _ in 0..1_800 {
        world.settle();
        world.advance(Duration::from_secs(1));
        let zone_b = world.agents[1];
        let there = |task: &Task| task.instance == zone_b && task.last_status == TaskStatus::Running;
        if let Some(task) = world.tasks("web").iter().find(|task| there(task) && task.wanted()) {
            world.exit(task);
        }
    }
    let tried = world.started - before;
    assert!((1..=12).contains(&tried), "{tried} tasks in half an hour");
    assert_eq!(world.running("web"), 4);
}

#[test]
fn a_task_of_nobody_keeps_no_daemon_on_a_drained_instance() {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let logs = world.register("logs", 64, 64, None);
    world.create_described("logs", &logs, 0, (100, 0), &[(SCHEDULING_STRATEGY, "\"DAEMON\"")]);
    world.settle_healthy();
    let (instance, one) = (world.agents[0], world.register("one", 64, 64, None));
    world.run(&one, instance);
    world.settle();
    world.set_status(instance, InstanceStatus::Draining);
    world.settle_healthy();
    assert_eq!(world.running("logs"), 2);
    assert!(world.service("logs").steady);
}

/// Four tasks of a revision that works; the next one's never start, and nobody turns back.
fn after_a_failed_deployment() -> (World, TaskDefinitionKey) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let (good, bad) = (world.register_checked("web", 64, 64), world.register("web", 64, 64, None));
    let breaker = (CIRCUIT_BREAKER, r#"{"enable":true,"rollback":false}"#);
    let rebalanced = (ZONE_REBALANCING, "\"ENABLED\"");
    world.create_described("web", &good, 4, (200, 100), &[breaker, rebalanced]);
    world.settle_for_good();
    world.broken.insert(bad.clone());
    world.deploy("web", &bad);
    world.settle_for_good();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    (world, good)
}

#[test]
fn what_serves_after_a_failed_deployment_is_replaced_by_its_own_kind() {
    let (mut world, good) = after_a_failed_deployment();
    let failed = world.service("web").deployments[0].id;
    // One is drained, one is sick, one exits.
    let drained = world.tasks("web")[0].instance;
    world.set_status(drained, InstanceStatus::Draining);
    let others = |world: &World| -> Vec<_> {
        world.tasks("web").into_iter().filter(|task| task.instance != drained).collect()
    };
    let (sick, exits) = (others(&world)[0].clone(), others(&world)[1].clone());
    world.says(&sick, HealthStatus::Unhealthy);
    world.exit(&exits);
    world.settle_for_good();
    assert_eq!(world.running("web"), 4);
    let gone = |task: &Task| [sick.id, exits.id].contains(&task.id) || task.instance == drained;
    assert!(world.tasks("web").iter().all(|task| task.definition == good && !gone(task)));
    let service = world.service("web");
    assert_eq!((service.deployments[0].id, service.deployments[0].rollout), (failed, RolloutState::Failed));
}

#[test]
fn what_serves_after_a_failed_deployment_comes_back_when_all_of_it_is_lost() {
    let (mut world, good) = after_a_failed_deployment();
    for task in world.tasks("web") {
        world.exit(&task);
    }
    world.settle_for_good();
    assert_eq!(world.running("web"), 4);
    assert!(world.tasks("web").iter().all(|task| task.definition == good));
}

#[test]
fn of_more_tasks_than_are_wanted_those_of_a_failed_deployment_go_first() {
    let mut world = World::new();
    world.agent(ZONES[0], 4096, 4096);
    let (good, bad) = (world.register("web", 64, 64, None), world.register("web", 64, 64, None));
    let breaker = r#"{"enable":true,"rollback":false,"thresholdConfiguration":{"type":"COUNT","value":3}}"#;
    world.create_described("web", &good, 4, (200, 50), &[(CIRCUIT_BREAKER, breaker)]);
    world.settle_healthy();
    let other = world.agent(ZONES[1], 4096, 4096);
    world.deploy("web", &bad);
    world.settle();
    // Three of the new tasks exit before they were healthy. The one that runs on has a zone for itself, while the others crowd.
    let mut new: Vec<_> = world.tasks("web").into_iter().filter(|task| task.definition == bad).collect();
    new.sort_by_key(|task| task.instance == other);
    assert_eq!((new.len(), new[3].instance), (4, other));
    new[..3].iter().for_each(|task| world.exit(task));
    world.settle_for_good();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    assert!(world.tasks("web").iter().all(|task| task.definition == good));
    assert_eq!(world.running("web"), 4);
}

#[test]
fn what_was_stopped_to_make_room_comes_back_when_the_deployment_fails() {
    let mut world = World::new();
    world.agent(ZONES[0], 4096, 4096);
    let (good, bad) = (world.register_checked("web", 64, 64), world.register("web", 64, 64, None));
    let breaker = (CIRCUIT_BREAKER, r#"{"enable":true,"rollback":false}"#);
    world.create_described("web", &good, 1, (100, 0), &[breaker]);
    world.settle_for_good();
    world.broken.insert(bad.clone());
    world.deploy("web", &bad);
    world.settle();
    let view = world.view();
    let service = world.service("web");
    let load = view.index().service_load(&service.key);
    assert!(world.tasks("web").iter().all(|task| task.definition == bad), "its only task made room");
    assert_eq!(view.listed_deployments(&service, &load).count(), 1, "nobody sees what waits for that");
    world.settle_for_good();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    assert!(world.tasks("web").iter().all(|task| task.definition == good));
    assert_eq!(world.running("web"), 1);
    assert!(world.service("web").steady);
}

#[test]
fn zones_are_even_again_after_a_failed_deployment_too() {
    let (mut world, good) = after_a_failed_deployment();
    let lost: Vec<_> = world.tasks("web").iter().map(|task| (task.zone.clone(), task.instance)).collect();
    let away: Vec<_> = lost.iter().filter(|(zone, _)| *zone == lost[0].0).map(|(_, id)| *id).collect();
    away.iter().for_each(|id| world.lose(*id));
    world.settle_for_good();
    away.iter().for_each(|id| world.return_from_the_dead(*id));
    world.settle_for_good();
    let zones = world.by_zone("web");
    assert_eq!(zones.len(), ZONES.len(), "{zones:?}");
    assert!(zones.values().max().unwrap() - zones.values().min().unwrap() < 2, "{zones:?}");
    assert!(world.tasks("web").iter().all(|task| task.definition == good));
}

#[test]
fn an_update_makes_room_where_a_constraint_counts_the_tasks_that_it_replaces() {
    for expression in ["not(task:group == service:web)", "runningTasksCount < 1"] {
        let mut world = World::new();
        world.agents_per_zone(1, 4096, 4096);
        let (old, new) = (world.register("web", 64, 64, None), world.register("web", 64, 64, None));
        let rule = format!(r#"[{{"type":"memberOf","expression":"{expression}"}}]"#);
        world.create_described("web", &old, 3, (200, 50), &[(PLACEMENT_CONSTRAINTS, &rule)]);
        world.settle_healthy();
        world.deploy("web", &new);
        world.settle_for_good();
        assert_eq!(world.running("web"), 3, "{expression}");
        assert!(world.tasks("web").iter().all(|task| task.definition == new), "{expression}");
    }
}

/// Of three revisions the second one is completed, while a task of the first may not stop for an hour: half of its own are enough.
fn three_revisions(rollback: bool) -> (World, [TaskDefinitionKey; 3]) {
    let mut world = World::new();
    world.agents_per_zone(1, 4096, 4096);
    let all = [0; 3].map(|_| world.register("web", 64, 64, None));
    let breaker = format!(r#"{{"enable":true,"rollback":{rollback}}}"#);
    let early = r#"{"enable":true,"healthyPercent":50,"sourceServiceRevisionCleanup":"DEFERRED"}"#;
    let asked = [(CIRCUIT_BREAKER, breaker.as_str()), (EARLY_SUCCESS, early)];
    world.create_described("web", &all[0], 2, (100, 0), &asked);
    world.settle_healthy();
    let protected = world.tasks("web")[0].clone();
    world.protect(&protected, Some(60));
    world.deploy("web", &all[1]);
    world.settle_healthy();
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Completed);
    (world, all)
}

/// How many of a service's tasks that are wanted are made from a definition.
fn made_from(world: &World, definition: &TaskDefinitionKey) -> usize {
    world.tasks("web").iter().filter(|task| task.wanted() && task.definition == *definition).count()
}

#[test]
fn nothing_stands_in_for_a_way_back_that_failed() {
    let (mut world, [first, second, bad]) = three_revisions(true);
    world.broken.extend([bad.clone(), second.clone()]);
    world.deploy("web", &bad);
    world.live(Duration::from_secs(4_000));
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    assert_eq!(world.statuses("web")[0], ServiceDeploymentStatus::RollbackFailed);
    assert!(made_from(&world, &first) <= 1, "what serves two revisions ago is not started again");
}

#[test]
fn what_completed_last_stands_in_although_older_tasks_are_left() {
    let (mut world, [first, second, bad]) = three_revisions(false);
    world.broken.insert(bad.clone());
    world.deploy("web", &bad);
    world.live(Duration::from_secs(1_200));
    assert_eq!(world.service("web").deployments[0].rollout, RolloutState::Failed);
    assert_eq!((made_from(&world, &first), made_from(&world, &second)), (1, 1));
    world.live(Duration::from_secs(3_600));
    world.settle_for_good();
    assert_eq!((made_from(&world, &first), made_from(&world, &second)), (0, 2));
}

#[test]
fn no_room_is_made_where_what_stays_keeps_others_out() {
    let mut world = World::new();
    world.agent(ZONES[0], 4096, 4096);
    let (old, new) = (world.register("web", 64, 64, None), world.register("web", 64, 64, None));
    let few = r#"[{"type":"memberOf","expression":"runningTasksCount < 5"}]"#;
    world.create_described("web", &old, 4, (200, 50), &[(PLACEMENT_CONSTRAINTS, few)]);
    world.settle_healthy();
    let other = world.register("other", 64, 64, None);
    world.create("other", &other, 4, (200, 100));
    world.settle_healthy();
    world.deploy("web", &new);
    world.live(Duration::from_secs(300));
    let left = world.tasks("web").into_iter().filter(|task| task.wanted() && task.definition == old);
    assert_eq!(left.count(), 4, "two that go leave six, and none of the new ones fits");
}
