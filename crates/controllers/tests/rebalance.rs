//! Stories of zones made even: one task at a time, start before stop, and only where it helps.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::*;
use trireme_state::object::*;
use trireme_types::ContainerInstanceId;

const EVEN: [(&str, &str); 1] = [(ZONE_REBALANCING, "\"ENABLED\"")];

/// A service over three zones, one of which was lost and is back: its tasks are in the other two.
fn lopsided(desired: u32, limits: (u32, u32), described: &[(&str, &str)]) -> World {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let web = world.register("web", 64, 64, None);
    world.create_described("web", &web, desired, limits, described);
    world.settle_healthy();
    let zone: Vec<ContainerInstanceId> = world.agents[4..].to_vec();
    for agent in &zone {
        world.lose(*agent);
    }
    world.settle_healthy();
    for agent in zone {
        world.return_from_the_dead(agent);
    }
    world
}

fn counts(world: &World) -> [usize; 3] {
    let zones = world.by_zone("web");
    ZONES.map(|zone| zones.get(zone).copied().unwrap_or(0))
}

#[test]
fn a_zone_that_comes_back_gets_tasks_again_one_at_a_time() {
    let mut world = lopsided(6, (200, 100), &EVEN);
    assert_eq!(counts(&world), [3, 3, 0]);
    let mut most = 0;
    for _ in 0..200 {
        world.settle();
        let wanted = world.tasks("web").iter().filter(|task| task.wanted()).count();
        assert!(world.running("web") >= 6, "start before stop");
        most = most.max(wanted);
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(counts(&world), [2, 2, 2]);
    assert_eq!(most, 7, "one at a time");
    let uneven = "(service web) is not AZ balanced with 3 tasks in us-east-1a, 3 in us-east-1b, and 0 in us-east-1c. \
                  AZ Rebalancing in progress.";
    assert!(world.said("web", uneven));
    let even = "(service web) is AZ balanced with 2 tasks in us-east-1a, 2 tasks in us-east-1b, and 2 tasks in us-east-1c.";
    assert!(world.said("web", even));
    assert!(world.said("web", "(service web) has started 1 tasks in us-east-1c to AZ Rebalance: (task "));
    assert!(world.said(
        "web",
        "(service web) has stopped 1 running tasks in us-east-1a due to AZ rebalancing: (task "
    ));
    let plan = world.plan();
    assert!(plan.commands.is_empty() && plan.wake_at.is_none(), "{plan:?}");
}

#[test]
fn who_did_not_ask_for_it_is_left_alone() {
    for described in [&[][..], &[(ZONE_REBALANCING, "\"DISABLED\"")]] {
        let mut world = lopsided(6, (200, 100), described);
        world.live(Duration::from_secs(300));
        assert_eq!(counts(&world), [3, 3, 0]);
    }
    let by_instance = [EVEN[0], (PLACEMENT_STRATEGY, r#"[{"type":"spread","field":"instanceId"}]"#)];
    let mut world = lopsided(6, (200, 100), &by_instance);
    let before = world.started;
    world.live(Duration::from_secs(300));
    assert_eq!(world.started, before, "its tasks are not spread over zones");
    let mut world = lopsided(6, (100, 50), &EVEN);
    let before = world.started;
    world.live(Duration::from_secs(300));
    assert_eq!(world.started, before, "it may not have one more");
}

#[test]
fn a_move_whose_task_does_not_start_is_given_up() {
    let mut world = lopsided(6, (200, 100), &EVEN);
    let refusing: Vec<ContainerInstanceId> = world.agents[4..].to_vec();
    world.refusing.extend(refusing);
    let before = world.started;
    world.live(Duration::from_secs(120));
    assert!(world.started - before <= 30, "{} tasks were tried in two minutes", world.started - before);
    assert_eq!(world.running("web"), 6);
    world.refusing.clear();
    world.live(Duration::from_secs(600));
    assert_eq!(counts(&world), [2, 2, 2], "and begun again");
}

#[test]
fn a_zone_without_room_stays_as_it_is() {
    let mut world = World::new();
    world.agent(ZONES[0], 4096, 4096);
    world.agent(ZONES[1], 4096, 4096);
    world.agent(ZONES[2], 64, 64);
    let large = world.register("large", 128, 128, None);
    world.create_described("web", &large, 4, (200, 100), &EVEN);
    world.settle_healthy();
    let before = world.started;
    world.live(Duration::from_secs(300));
    assert_eq!((world.started, counts(&world)), (before, [2, 2, 0]));
    world.agent(ZONES[2], 4096, 4096);
    world.live(Duration::from_secs(120));
    assert_eq!(counts(&world), [2, 1, 1], "a new machine is noticed");
}

#[test]
fn an_update_ends_a_move() {
    let mut world = lopsided(6, (200, 100), &EVEN);
    world.settle();
    assert_eq!(world.running("web"), 7, "one is being moved");
    let next = world.register("web", 64, 64, None);
    world.deploy("web", &next);
    world.live(Duration::from_secs(300));
    assert_eq!(counts(&world), [2, 2, 2]);
    assert_eq!(world.running("web"), 6);
    assert!(world.service("web").steady);
}

#[test]
fn a_zone_lost_in_the_middle_of_a_move_is_replaced_at_once() {
    let mut world = lopsided(6, (200, 100), &EVEN);
    world.settle();
    let zone: Vec<ContainerInstanceId> = world.agents[4..].to_vec();
    zone.into_iter().for_each(|agent| world.lose(agent));
    world.settle();
    assert_eq!(counts(&world)[2], 0);
    assert!(world.running("web") >= 6);
    world.live(Duration::from_secs(120));
    assert_eq!((world.running("web"), counts(&world)), (6, [3, 3, 0]));
}
