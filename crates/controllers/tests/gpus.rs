//! Stories of services whose tasks want GPUs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use support::*;
use trireme_controllers::forecast::{Bounds, Verdict, zone};
use trireme_state::object::*;
use trireme_types::Zone;

/// In each of two zones a machine with two GPUs, in the third one without.
fn ready() -> World {
    let mut world = World::new();
    world.agent_with_gpus(ZONES[0], 4_096, 4_096, 2);
    world.agent_with_gpus(ZONES[1], 4_096, 4_096, 2);
    world.agent(ZONES[2], 4_096, 4_096);
    world
}

/// Which GPUs a service's live tasks have, with their machines.
fn held(world: &World, name: &str) -> BTreeSet<(String, String)> {
    let view = world.view();
    let mut held = BTreeSet::new();
    for task in world.tasks(name) {
        for gpu in view.task_gpus(task.id).values().flatten() {
            assert!(held.insert((task.instance.to_string(), gpu.to_string())), "{gpu} twice");
        }
    }
    held
}

#[test]
fn a_service_takes_what_is_free_and_says_what_is_in_the_way_of_the_rest() {
    let mut world = ready();
    let train = world.register_with_gpus("train", (64, 64), None, 1);
    world.create("train", &train, 3, (200, 50));
    world.settle();
    assert_eq!((world.running("train"), held(&world, "train").len()), (3, 3));
    let large = world.register_with_gpus("large", (64, 64), None, 2);
    world.create("large", &large, 1, (200, 50));
    world.settle();
    assert_eq!(world.running("large"), 0, "one is free here and none there");
    assert!(world.said("large", "encountered error \"RESOURCE:GPU\""));
    world.scale("train", 1);
    world.settle_for_good();
    assert_eq!((world.running("large"), held(&world, "large").len()), (1, 2));
}

#[test]
fn a_deployment_goes_on_where_all_gpus_are_held() {
    let mut world = ready();
    let train = world.register_with_gpus("train", (64, 64), None, 1);
    world.create("train", &train, 4, (100, 50));
    world.settle_for_good();
    let next = world.register_with_gpus("train", (64, 64), None, 1);
    world.deploy("train", &next);
    world.settle_for_good();
    assert_eq!(held(&world, "train").len(), 4);
    assert!(world.tasks("train").iter().all(|task| task.definition == next));
}

#[test]
fn a_daemon_that_wants_gpus_is_where_they_are() {
    let mut world = ready();
    let watch = world.register_with_gpus("watch", (64, 64), None, 1);
    world.create_described("watch", &watch, 0, (100, 0), &[(SCHEDULING_STRATEGY, "\"DAEMON\"")]);
    world.settle_for_good();
    assert_eq!(world.by_zone("watch").into_iter().collect::<Vec<_>>().len(), 2);
    assert_eq!((world.running("watch"), held(&world, "watch").len()), (2, 2));
}

#[test]
fn a_forecast_knows_that_gpus_are_lost_with_their_zone() {
    let mut world = ready();
    let train = world.register_with_gpus("train", (64, 64), None, 1);
    world.create("train", &train, 2, (200, 50));
    world.settle_for_good();
    let loss = |world: &World| {
        let zone = Zone::new(ZONES[0]).unwrap();
        zone::loss(&world.view(), &zone, world.now, Bounds::default()).verdict
    };
    assert_eq!(loss(&world), Verdict::Fits, "the other machine has two");
    world.scale("train", 3);
    world.settle_for_good();
    assert!(matches!(loss(&world), Verdict::DoesNotFit(_)), "{:?}", loss(&world));
}
