//! Time of one pass of the service controller: a service of 5,000 tasks on 300 instances, first whole at once, then while its
//! tasks come up, then at rest; and 2,000 services at rest.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::{World, service_key};
use trireme_controllers::{Controller, Observed, ServiceController, Stopwatch};
use trireme_state::object::TaskStatus;

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
}
