//! Pools: shares that hold whatever happens, pools that grow and shrink with their tasks, tasks that wait, and leaders that come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::pools::*;
use support::*;
use trireme_controllers::capacity::{order, standing};
use trireme_state::command::{AutoScalingGroupChange, CapacityCommand, RunTasks};
use trireme_state::object::*;
use trireme_state::*;

/// A world whose cluster has these providers, each with a pool of the same name.
fn world(providers: &[&str]) -> World {
    let mut world = World::new();
    provide(&mut world, providers);
    world
}

fn by_provider(world: &World, name: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for task in world.tasks(name).iter().filter(|task| task.wanted()) {
        let view = world.view();
        let launch =
            view.launch(task.id).and_then(Launch::provider).map_or("-".to_owned(), ToString::to_string);
        *counts.entry(launch).or_default() += 1;
    }
    counts
}

fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Everybody works until nobody has anything to do.
fn settle(world: &mut World) {
    for _ in 0..100 {
        world.settle_healthy();
        if pass(world) == 0 && world.agents_work(|_| true) == 0 {
            return;
        }
    }
    panic!("never quiet");
}

fn size(world: &World, name: &str) -> Option<PoolSize> {
    world.view().pool_size(&provider(name)).map(|size| (**size).clone())
}

fn told(world: &World, name: &str) -> Option<trireme_controllers::capacity::Order> {
    let view = world.view();
    let found = view.capacity_provider(&provider(name)).unwrap();
    order(&view, found, view.pool_size(&provider(name))?)
}

/// The hook does what it is told: machines come and go.
fn hook(world: &mut World, name: &str, cpu: u32, memory: u32) {
    let Some(order) = told(world, name) else { return };
    for id in &order.removable {
        world.lose(*id);
    }
    let there = order.present as usize - order.removable.len();
    for _ in there..order.wanted as usize {
        join(world, name, "us-east-1a", cpu, memory);
    }
}

fn run(definition: &TaskDefinitionKey, waiting: usize) -> Command {
    let run = RunTasks {
        cluster: cluster(),
        definition: definition.clone(),
        overrides: TaskOverrides::default(),
        group: None,
        started_by: None,
        tags: Tags::new(),
        placements: Vec::new(),
    };
    Command::Capacity(Box::new(CapacityCommand::RunTasks {
        run: Box::new(Command::RunTasks(Box::new(run))),
        launches: Vec::new(),
        waiting: vec![Launch::Provider(provider("pool").name); waiting],
        allows_commands: false,
    }))
}

#[test]
fn shares_hold_when_a_service_grows_shrinks_and_loses_machines() {
    let mut world = world(&["one", "two"]);
    let lost = join(&mut world, "one", ZONES[0], 4_000, 4_000);
    join(&mut world, "one", ZONES[1], 4_000, 4_000);
    join(&mut world, "two", ZONES[0], 4_000, 4_000);
    join(&mut world, "two", ZONES[1], 4_000, 4_000);
    world.agent(ZONES[2], 4_000, 4_000);
    let job = world.register("job", 100, 64, None);
    let strategy = kept_strategy(&[item("one", 1, 1), item("two", 3, 0)]);
    world.create_described("web", &job, 1, (200, 50), &[(CAPACITY_STRATEGY, &strategy)]);
    settle(&mut world);
    assert_eq!(by_provider(&world, "web"), counts(&[("one", 1)]), "the base comes first");
    for (desired, one, two) in [(5, 2, 3), (9, 3, 6), (13, 4, 9), (9, 3, 6), (5, 2, 3)] {
        world.scale("web", desired);
        settle(&mut world);
        assert_eq!(by_provider(&world, "web"), counts(&[("one", one), ("two", two)]), "of {desired}");
    }
    world.scale("web", 13);
    settle(&mut world);
    world.lose(lost);
    settle(&mut world);
    assert_eq!(
        by_provider(&world, "web"),
        counts(&[("one", 4), ("two", 9)]),
        "where they were lost they come back"
    );
    world.scale("web", 1);
    settle(&mut world);
    assert_eq!(by_provider(&world, "web"), counts(&[("one", 1)]), "the base goes last");
}

#[test]
fn a_provider_without_room_keeps_its_share() {
    let mut world = world(&["one", "two"]);
    join(&mut world, "one", ZONES[0], 4_000, 4_000);
    let job = world.register("job", 100, 64, None);
    let strategy = kept_strategy(&[item("one", 1, 0), item("two", 1, 0)]);
    world.create_described("web", &job, 4, (200, 100), &[(CAPACITY_STRATEGY, &strategy)]);
    settle(&mut world);
    assert_eq!(by_provider(&world, "web"), counts(&[("one", 2)]), "what is two's waits");
    join(&mut world, "two", ZONES[0], 4_000, 4_000);
    settle(&mut world);
    assert_eq!(by_provider(&world, "web"), counts(&[("one", 2), ("two", 2)]));
}

#[test]
fn a_fargate_service_needs_no_machine_of_its_cluster() {
    let mut world = world(&[]);
    let job = world.register("job", 100, 64, None);
    world.create_described("web", &job, 2, (200, 100), &[(LAUNCH_TYPE, "\"FARGATE\"")]);
    world.agent(ZONES[0], 4_000, 4_000);
    settle(&mut world);
    assert!(world.said("web", "Reason: Capacity is unavailable at this time."));
    assert_eq!(world.running("web"), 0, "its cluster's own machine is none of the pool");
    let first = join(&mut world, "managed", ZONES[0], 4_000, 4_000);
    join(&mut world, "managed", ZONES[1], 4_000, 4_000);
    settle(&mut world);
    assert_eq!(world.by_zone("web").len(), 2, "spread over the pool's zones");
    world.lose(first);
    settle(&mut world);
    assert_eq!((world.running("web"), world.by_zone("web").len()), (2, 1));
}

#[test]
fn a_pool_grows_with_its_services_and_shrinks_when_they_do() {
    let mut world = world(&["pool"]);
    manage(&mut world, "pool", AutoScalingGroupChange::default());
    let job = world.register("job", 500, 64, None);
    let strategy = kept_strategy(&[item("pool", 1, 0)]);
    world.create_described("web", &job, 3, (200, 100), &[(CAPACITY_STRATEGY, &strategy)]);
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 1, "nothing is known of the machines yet");
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    let grown = size(&world, "pool").unwrap();
    assert_eq!(grown.wanted, 2, "two tasks fit on a machine, {}", grown.reason);
    assert_eq!(told(&world, "pool").unwrap().request, grown.request);
    // A new leader has nothing but the state: it asks the same under the same number.
    assert_eq!(pass(&mut world), 0);
    assert_eq!(told(&world, "pool").unwrap().request, grown.request);
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert_eq!((world.running("web"), told(&world, "pool")), (3, None));

    world.scale("web", 1);
    settle(&mut world);
    assert_eq!(told(&world, "pool"), None, "not before it has been so for the warm-up");
    world.advance(Duration::from_secs(61));
    settle(&mut world);
    let shrunk = size(&world, "pool").unwrap();
    assert_eq!((shrunk.wanted, shrunk.leaving.len()), (1, 1), "{}", shrunk.reason);
    let leaving = world.view().instance(shrunk.leaving[0]).unwrap().clone();
    assert_eq!(leaving.status, InstanceStatus::Draining, "drained before it may go");
    assert_eq!(told(&world, "pool").unwrap().removable, shrunk.leaving);
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert!(world.view().instance(leaving.id).is_none(), "it is forgotten once it is gone");
    assert_eq!((told(&world, "pool"), world.running("web")), (None, 1));
    world.advance(Duration::from_secs(600));
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 1, "it does not flap");
}

#[test]
fn a_machine_with_tasks_never_goes_and_daemons_hold_none() {
    let mut world = world(&["pool"]);
    let (used, idle) =
        (join(&mut world, "pool", ZONES[0], 1_000, 1_000), join(&mut world, "pool", ZONES[0], 1_000, 1_000));
    let (job, daemon) = (world.register("job", 100, 64, None), world.register("log", 10, 8, None));
    world.run(&job, used);
    world.create_described("log", &daemon, 0, (100, 0), &[("schedulingStrategy", "\"DAEMON\"")]);
    settle(&mut world);
    manage(&mut world, "pool", AutoScalingGroupChange::default());
    for _ in 0..5 {
        world.advance(Duration::from_secs(100));
        settle(&mut world);
    }
    assert_eq!(size(&world, "pool").unwrap().leaving, [idle]);
    assert_eq!(told(&world, "pool").unwrap().removable, [idle], "the daemon has left it");
    world.stop_others(used);
    hook(&mut world, "pool", 1_000, 1_000);
    for _ in 0..5 {
        world.advance(Duration::from_secs(100));
        settle(&mut world);
    }
    assert_eq!(size(&world, "pool").unwrap().wanted, 0, "an empty pool may be none");
}

#[test]
fn who_was_to_go_stays_when_it_is_needed_again_unless_the_hook_was_told() {
    for handed_over in [false, true] {
        let mut world = world(&["pool"]);
        manage(&mut world, "pool", AutoScalingGroupChange::default());
        let machine = join(&mut world, "pool", ZONES[0], 1_000, 1_000);
        let daemon = world.register("log", 10, 8, None);
        world.create_described("log", &daemon, 0, (100, 0), &[("schedulingStrategy", "\"DAEMON\"")]);
        settle(&mut world);
        for _ in 0..4 {
            world.advance(Duration::from_secs(100));
            pass(&mut world);
        }
        assert_eq!(size(&world, "pool").unwrap().leaving, [machine]);
        assert_eq!(world.view().instance(machine).unwrap().status, InstanceStatus::Draining);
        assert_eq!(told(&world, "pool"), None, "the daemon has not left it yet");
        if handed_over {
            settle(&mut world);
            assert_eq!(told(&world, "pool").unwrap().removable, [machine]);
        }
        let job = world.register("job", 100, 64, None);
        let strategy = kept_strategy(&[item("pool", 1, 0)]);
        world.create_described("web", &job, 1, (200, 100), &[(CAPACITY_STRATEGY, &strategy)]);
        pass(&mut world);
        settle(&mut world);
        if handed_over {
            let order = told(&world, "pool").unwrap();
            assert_eq!((order.wanted, order.removable), (1, vec![machine]), "another comes for it");
            hook(&mut world, "pool", 1_000, 1_000);
            settle(&mut world);
            assert!(world.view().instance(machine).is_none());
        } else {
            assert_eq!(world.view().instance(machine).unwrap().status, InstanceStatus::Active);
        }
        assert_eq!((world.running("web"), told(&world, "pool")), (1, None));
    }
}

#[test]
fn a_pool_shrinks_without_managed_draining_and_each_machine_goes_by_itself() {
    let mut world = world(&["pool"]);
    let change = AutoScalingGroupChange { draining: Some(false), ..AutoScalingGroupChange::default() };
    manage(&mut world, "pool", change);
    let machines = [0, 1].map(|zone| join(&mut world, "pool", ZONES[zone], 1_000, 1_000));
    for _ in 0..4 {
        world.advance(Duration::from_secs(100));
        pass(&mut world);
    }
    assert_eq!(told(&world, "pool").unwrap().removable.len(), 2);
    // Someone takes one of them back: the other goes all the same.
    let (instance, status) = (machines[0], InstanceStatus::Active);
    world.user(Command::SetInstanceStatus { cluster: cluster(), instance, status });
    assert_eq!(told(&world, "pool").unwrap().removable, [machines[1]]);
    settle(&mut world);
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert_eq!((size(&world, "pool").unwrap().wanted, told(&world, "pool")), (0, None));
}

#[test]
fn a_step_beyond_what_a_cluster_takes_is_cut_and_stops_nobody() {
    let mut world = world(&["pool", "other"]);
    let change = AutoScalingGroupChange {
        minimum_step: Some(10_000),
        maximum_step: Some(10_000),
        ..Default::default()
    };
    manage(&mut world, "pool", change);
    manage(&mut world, "other", AutoScalingGroupChange::default());
    let job = world.register("job", 900, 64, None);
    world.user(run(&job, 2));
    let strategy = kept_strategy(&[item("other", 1, 0)]);
    world.create_described("web", &job, 1, (200, 100), &[(CAPACITY_STRATEGY, &strategy)]);
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 5_000);
    assert_eq!(size(&world, "other").unwrap().wanted, 1);
    world.advance(Duration::from_secs(61));
    settle(&mut world);
    assert!(size(&world, "pool").unwrap().wanted <= 5_000);
}

#[test]
fn tasks_wait_in_turn_and_are_given_up_in_time() {
    let mut world = world(&["pool"]);
    manage(&mut world, "pool", AutoScalingGroupChange::default());
    let job = world.register("job", 500, 64, None);
    let Outcome::Tasks(first) = world.user(run(&job, 2)) else { panic!("tasks") };
    settle(&mut world);
    let found = world.view().capacity_provider(&provider("pool")).unwrap().clone();
    assert_eq!(standing(&world.view(), &found, world.now).reservation, 200);
    world.advance(Duration::from_secs(10));
    let Outcome::Tasks(second) = world.user(run(&job, 1)) else { panic!("tasks") };
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert!(first.iter().all(|id| world.view().task(*id).is_some()), "who waited longest is first");
    assert!(world.view().waiting_run(second[0]).is_some_and(|run| run.end.is_none()));
    assert_eq!(size(&world, "pool").unwrap().wanted, 2);
    world.advance(Duration::from_secs(901));
    settle(&mut world);
    let end = world.view().waiting_run(second[0]).unwrap().end.clone().unwrap();
    assert_eq!(end.code, StopCode::TaskFailedToStart);
    assert_eq!(size(&world, "pool").unwrap().wanted, 1, "what never came is not asked for any more");
    world.advance(Duration::from_secs(3_601));
    settle(&mut world);
    assert!(world.view().waiting_run(second[0]).is_none());
}

#[test]
fn what_no_machine_of_the_pool_could_run_makes_it_no_larger() {
    let mut world = world(&["pool"]);
    manage(&mut world, "pool", AutoScalingGroupChange::default());
    join(&mut world, "pool", ZONES[0], 1_000, 1_000);
    let large = world.register("large", 2_000, 64, None);
    world.user(run(&large, 3));
    settle(&mut world);
    assert_eq!(told(&world, "pool"), None);
}

#[test]
fn a_step_has_its_bounds() {
    let mut world = world(&["pool"]);
    let change =
        AutoScalingGroupChange { minimum_step: Some(2), maximum_step: Some(3), ..Default::default() };
    manage(&mut world, "pool", change);
    let job = world.register("job", 900, 64, None);
    world.user(run(&job, 10));
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 2, "the least");
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 5, "the most");
    let target =
        AutoScalingGroupChange { target_capacity: Some(50), maximum_step: Some(100), ..Default::default() };
    manage(&mut world, "pool", target);
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 5, "those that are on their way come first");
    hook(&mut world, "pool", 1_000, 1_000);
    settle(&mut world);
    assert_eq!(size(&world, "pool").unwrap().wanted, 20, "ten are needed, twice as many are to be there");
}
