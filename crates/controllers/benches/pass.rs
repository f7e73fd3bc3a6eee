//! Time of one pass of the service controller: a service of 5,000 tasks on 300 instances, first whole at once, then while its
//! tasks come up, then at rest; 2,000 services at rest; 1,000 that are rebalanced over three zones of which one is full; and 1,000
//! with a task each for which there is no place on 5,000 instances.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{World, service_key};
use trireme_controllers::{Controller, Observed, ServiceController, Stopwatch};
use trireme_state::object::{InstanceStatus, TaskDefinitionKey, TaskStatus, ZONE_REBALANCING};
use trireme_types::ContainerInstanceId;

/// With `known`, a controller that has seen it all before; else a fresh one for each pass.
fn time(what: &str, world: &World, known: Option<&ServiceController>) {
    let (mut passes, mut spent) = (0_u32, Duration::ZERO);
    let mut commands = 0;
    while spent < Duration::from_millis(300) {
        let fresh = ServiceController::new(Stopwatch::stopped());
        let controller = known.unwrap_or(&fresh);
        let start = Instant::now();
        let plan = controller.plan(&world.view(), &Observed::default(), world.now);
        spent += start.elapsed();
        passes += 1;
        commands = plan.commands.len();
    }
    println!("{what:<44} {:>9.3} ms, {commands} commands", (spent / passes).as_secs_f64() * 1_000.0);
}

/// The median of the passes after so many changes, each of which is another.
fn time_after(what: &str, world: &mut World, mut change: impl FnMut(&mut World)) {
    let (mut spent, mut commands) = (Vec::new(), 0);
    for _ in 0..9 {
        change(world);
        let (view, now) = (world.view(), world.now);
        let start = Instant::now();
        let plan = world.services.plan(&view, &Observed::default(), now);
        spent.push(start.elapsed());
        commands += plan.commands.len();
    }
    spent.sort_unstable();
    println!("{what:<44} {:>9.3} ms, {commands} commands", spent[4].as_secs_f64() * 1_000.0);
}

/// Passes, without the tests' checks, until nothing more is to be done.
fn settle(world: &mut World) {
    for _ in 0..20 {
        let plan = world.services.plan(&world.view(), &Observed::default(), world.now);
        let idle = plan.commands.is_empty();
        plan.commands.into_iter().for_each(|command| {
            world.user(command);
        });
        let worked = world.agents_work(|_| true);
        if idle && worked == 0 {
            return;
        }
        world.advance(Duration::from_secs(45));
    }
    panic!("never quiet");
}

/// A machine that nobody waits for is drained, or takes tasks again.
fn turn(world: &mut World, instance: ContainerInstanceId) {
    let now = world.view().instance(instance).unwrap().status;
    let other = match now {
        InstanceStatus::Active => InstanceStatus::Draining,
        _ => InstanceStatus::Active,
    };
    world.set_status(instance, other);
}

/// A task of no service comes or goes.
fn come_or_go(world: &mut World, instance: ContainerInstanceId, one: &TaskDefinitionKey) {
    if world.stop_others(instance) == 0 {
        world.run(one, instance);
    }
}

/// 1,000 services of four tasks that are rebalanced, in three zones of which one has room for none of them.
fn rebalanced() {
    let mut world = World::new();
    for zone in [support::ZONES[0], support::ZONES[1]] {
        for _ in 0..50 {
            world.agent(zone, 65_536, 65_536);
        }
    }
    for _ in 0..50 {
        world.agent(support::ZONES[2], 32, 32);
    }
    let (definition, one) = (world.register("web", 64, 64, None), world.register("one", 1, 1, None));
    for number in 0..1_000 {
        let even = [(ZONE_REBALANCING, "\"ENABLED\"")];
        world.create_described(&format!("s{number}"), &definition, 4, (200, 100), &even);
    }
    settle(&mut world);
    time("1,000 rebalanced, a zone full, seen before", &world, Some(&world.services));
    let spare = world.agent(support::ZONES[0], 32, 32);
    time_after("the same after a machine's change", &mut world, |world| turn(world, spare));
    let small = world.agents[120];
    time_after("the same after a task in the full zone", &mut world, |world| come_or_go(world, small, &one));
}

/// 1,000 services, each with a task that fits on none of 5,000 machines.
fn unplaceable() {
    let mut world = World::new();
    for number in 0..5_000 {
        world.agent(support::ZONES[number % 3], 1_024, 1_024);
    }
    let (definition, one) = (world.register("large", 2_048, 2_048, None), world.register("one", 1, 1, None));
    for number in 0..1_000 {
        world.create(&format!("s{number}"), &definition, 1, (200, 100));
    }
    time("1,000 unplaceable on 5,000, seen first", &world, None);
    settle(&mut world);
    time("1,000 unplaceable on 5,000, seen before", &world, Some(&world.services));
    let (one_machine, last) = (world.agents[0], *world.agents[1..].iter().max().unwrap());
    time_after("the same after a machine's change", &mut world, |world| turn(world, one_machine));
    time_after("the same after a task came or went", &mut world, |world| come_or_go(world, last, &one));
}

fn main() {
    let mut world = World::new();
    world.agents_per_zone(100, 65_536, 65_536);
    let definition = world.register("web", 64, 64, None);
    world.create("web", &definition, 5_000, (200, 100));
    time("5,000 tasks to place", &world, None);
    for command in world.plan().commands {
        world.user(command);
    }
    let mut count = 0;
    world.agents_work(|_| {
        count += 1;
        count % 2 == 0
    });
    time("5,000 tasks, half of them running", &world, None);
    world.settle();
    time("5,000 tasks running, none healthy yet", &world, None);
    time("5,000 tasks running, seen before", &world, Some(&world.services));
    world.settle_healthy();
    time("5,000 tasks at rest, seen for the first time", &world, None);
    time("5,000 tasks at rest, seen before", &world, Some(&world.services));
    let running = world.view().tasks_of_service(&service_key("web"));
    assert!(running.iter().all(|task| task.last_status == TaskStatus::Running));
    for number in 0..2_000 {
        world.create(&format!("s{number}"), &definition, 1, (200, 100));
    }
    time("2,000 new services", &world, None);
    for _ in 0..3 {
        for command in world.services.plan(&world.view(), &Observed::default(), world.now).commands {
            world.user(command);
        }
        world.agents_work(|_| true);
        world.advance(Duration::from_secs(45));
    }
    time("2,000 services at rest, seen before", &world, Some(&world.services));
    rebalanced();
    unplaceable();
}
