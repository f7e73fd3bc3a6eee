//! Who waits for a place is looked at again when there may be one, and not before. [`World::plan`] holds each plan against that of a
//! controller that remembers nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::*;
use trireme_controllers::{Controller, Observed, ServiceController, Stopwatch};
use trireme_state::Command;
use trireme_state::command::{InstanceAttribute, ServiceChange};
use trireme_state::object::*;
use trireme_types::ContainerInstanceId;

/// Counts how often a place was searched for: each search reads the clock twice.
struct Searches(Arc<AtomicU64>);

impl Searches {
    fn of(world: &mut World) -> Self {
        let reads = Arc::new(AtomicU64::new(0));
        let clock = reads.clone();
        world.services = ServiceController::new(Stopwatch::new(move || {
            clock.fetch_add(1, Ordering::Relaxed);
            Duration::ZERO
        }));
        Self(reads)
    }

    /// Those since it was asked last.
    fn count(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed) / 2
    }
}

/// Passes after each of some things that nobody waits for: a task of nobody comes and goes, a machine is drained and is back.
fn bustle(world: &mut World, one: &TaskDefinitionKey, instance: ContainerInstanceId) {
    world.run(one, instance);
    world.settle();
    world.stop_others(instance);
    world.settle();
    world.set_status(instance, InstanceStatus::Draining);
    world.settle();
    world.set_status(instance, InstanceStatus::Active);
    world.settle();
}

#[test]
fn a_full_zone_is_searched_again_when_a_task_there_is_gone() {
    let mut world = World::new();
    let _ = [ZONES[0], ZONES[1]].map(|zone| world.agent(zone, 4096, 4096));
    let (spare, full) = (world.agent(ZONES[0], 64, 64), world.agent(ZONES[2], 256, 256));
    let (web, other) = (world.register("web", 128, 128, None), world.register("other", 64, 64, None));
    let large = world.register("large", 192, 192, None);
    world.run(&large, full);
    let searches = Searches::of(&mut world);
    world.create_described("web", &web, 4, (200, 100), &[(ZONE_REBALANCING, "\"ENABLED\"")]);
    world.live(Duration::from_secs(300));
    assert_eq!(world.by_zone("web").len(), 2);
    assert!(searches.count() > 0);
    bustle(&mut world, &other, spare);
    assert_eq!(searches.count(), 0, "nothing happened that it waits for");
    world.run(&other, full);
    world.settle();
    assert_eq!(searches.count(), 0, "there is even less room now");
    world.stop_others(full);
    world.live(Duration::from_secs(120));
    assert_eq!(world.by_zone("web")[ZONES[2]], 1);
}

#[test]
fn a_task_without_a_place_is_searched_one_for_when_there_may_be_one() {
    let mut world = World::new();
    let near = world.agent(ZONES[0], 1024, 1024);
    let far = world.agent(ZONES[1], 512, 512);
    let (web, one) = (world.register("web", 800, 800, None), world.register("one", 400, 400, None));
    world.run(&one, near);
    let searches = Searches::of(&mut world);
    world.create("web", &web, 1, (200, 100));
    world.live(Duration::from_secs(60));
    let closest = |instance| {
        format!("The closest matching (container-instance {instance}) has insufficient CPU units available.")
    };
    assert!(world.said("web", &closest(near)));
    assert!(searches.count() > 0);
    bustle(&mut world, &one, far);
    assert_eq!(searches.count(), 0, "it lacks more than the closest does, whatever happens there");
    // The closest has less room: another one is the closest now, and people are told so.
    world.run(&one, near);
    world.live(Duration::from_secs(60));
    assert!(world.said("web", &closest(far)));
    assert_eq!(world.service("web").events.len(), 2);
    searches.count();
    // Six hours later it is said again.
    world.live(Duration::from_secs(6 * 3_600 + 60));
    assert_eq!(world.service("web").events.len(), 3);
    world.stop_others(near);
    world.settle_healthy();
    assert_eq!(world.running("web"), 1);
}

#[test]
fn a_new_machine_is_a_place_for_who_had_none() {
    let mut world = World::new();
    world.user(Command::CreateCluster { cluster: cluster(), tags: Tags::new() });
    let web = world.register("web", 800, 800, None);
    world.create("web", &web, 2, (200, 100));
    world.live(Duration::from_secs(60));
    assert!(world.said("web", "No Container Instances were found in your cluster."));
    world.agent(ZONES[0], 512, 512);
    world.settle();
    assert_eq!(world.running("web"), 0);
    world.agent(ZONES[1], 1024, 1024);
    world.settle();
    assert_eq!(world.running("web"), 1);
    let absent = world.agents[0];
    world.lose(absent);
    world.agent(ZONES[2], 1024, 1024);
    world.settle();
    assert_eq!(world.running("web"), 2);
}

#[test]
fn who_could_make_room_where_a_constraint_lets_in_is_looked_at_when_it_does() {
    let mut world = World::new();
    let _ = [0, 1].map(|at| world.agent(ZONES[at], 1024, 1024));
    let last = *world.agents.iter().max().unwrap();
    let web = world.register("web", 800, 800, None);
    world.create("web", &web, 2, (200, 0));
    world.settle_healthy();
    let before: Vec<_> = world.tasks("web").iter().map(|task| task.id).collect();
    let on_ssd = r#"[{"type":"memberOf","expression":"attribute:disk == ssd"}]"#;
    let described = [(PLACEMENT_CONSTRAINTS.to_owned(), Some(on_ssd.to_owned()))].into();
    world.update("web", ServiceChange { described, force_new_deployment: true, ..Default::default() });
    world.live(Duration::from_secs(120));
    assert!(world.tasks("web").iter().all(|task| before.contains(&task.id)), "there is no such machine");
    // No more is free than before, and the other machine stays the closest.
    let (name, value) = ("disk".to_owned(), Some("ssd".to_owned()));
    let attributes = vec![InstanceAttribute { instance: last, name, value }];
    world.user(Command::PutAttributes { cluster: cluster(), attributes });
    world.live(Duration::from_secs(120));
    let new = |task: &&Arc<Task>| !before.contains(&task.id);
    let new: Vec<_> = world.tasks("web").iter().filter(new).map(|task| task.instance).collect();
    assert_eq!(new, [last]);
}

#[test]
fn room_that_was_left_to_another_is_had_if_that_one_does_not_come() {
    let mut world = World::new();
    world.agent(ZONES[0], 1024, 1024);
    let web = world.register("web", 800, 800, None);
    world.create("a", &web, 0, (200, 100));
    world.settle_healthy();
    world.create("b", &web, 1, (200, 100));
    world.scale("a", 1);
    // The first takes the room, and the second has none; then what was planned is not done.
    let services = ServiceController::new(Stopwatch::stopped());
    for command in services.plan(&world.view(), &Observed::default(), world.now).commands {
        if !matches!(command, Command::StartServiceTasks { .. }) {
            world.user(command);
        }
    }
    let idle = services.plan(&world.view(), &Observed::default(), world.now);
    assert!(matches!(&idle.commands[..], [Command::StartServiceTasks { .. }]), "{idle:?}");
    world.scale("a", 0);
    world.services = services;
    world.settle();
    assert_eq!((world.running("a"), world.running("b")), (0, 1));
}
