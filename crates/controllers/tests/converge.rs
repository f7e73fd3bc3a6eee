//! Whatever happens: never above the maximum, never below the minimum by our own stops, no command of a fresh plan refused,
//! and once the trouble is over the service is whole and nothing more is planned.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use support::*;
use trireme_state::Command;
use trireme_state::command::ServiceChange;
use trireme_state::object::*;
use trireme_types::ContainerInstanceId;

const LIMITS: [(u32, u32); 6] = [(200, 100), (150, 50), (100, 0), (100, 50), (125, 75), (200, 0)];
const NAMES: [&str; 2] = ["web", "api"];

/// Something that happens to the cluster. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Trouble {
    Scale(usize, u32),
    Deploy(usize, u32),
    Force(usize),
    Limits(usize, usize),
    Break(u32),
    Crash(u32, u64),
    Exit(usize, usize),
    StopTask(usize, usize),
    Lose(usize),
    Return(usize),
    Drain(usize),
    Undrain(usize),
    Health(usize, usize, bool),
    Protect(usize, usize, Option<u32>),
    Pass,
    Work(u64),
    Wait(u64),
    Reap,
}

fn any_trouble() -> impl Strategy<Value = Trouble> {
    use Trouble::*;
    prop_oneof![
        1 => (0..2_usize, 0..14_u32).prop_map(|(service, desired)| Scale(service, desired)),
        1 => (0..2_usize, 1..5_u32).prop_map(|(service, revision)| Deploy(service, revision)),
        1 => (0..2_usize).prop_map(Force),
        1 => (0..2_usize, 0..LIMITS.len()).prop_map(|(service, limits)| Limits(service, limits)),
        1 => (1..5_u32).prop_map(Break),
        1 => (1..5_u32, 0..50_000_u64).prop_map(|(revision, life)| Crash(revision, life)),
        1 => (0..2_usize, 0..20_usize).prop_map(|(service, task)| Exit(service, task)),
        1 => (0..2_usize, 0..20_usize).prop_map(|(service, task)| StopTask(service, task)),
        1 => (0..6_usize).prop_map(Lose),
        1 => (0..6_usize).prop_map(Return),
        1 => (0..6_usize).prop_map(Drain),
        1 => (0..6_usize).prop_map(Undrain),
        3 => (0..2_usize, 0..20_usize, any::<bool>()).prop_map(|(service, task, well)| Health(service, task, well)),
        1 => (0..2_usize, 0..20_usize, proptest::option::of(1..4_u32))
            .prop_map(|(service, task, minutes)| Protect(service, task, minutes)),
        4 => Just(Pass),
        4 => any::<u64>().prop_map(Work),
        2 => (0..5_000_u64).prop_map(Wait),
        1 => (0..50_000_u64).prop_map(Wait),
        1 => Just(Reap),
    ]
}

fn change() -> ServiceChange {
    ServiceChange::default()
}

fn happen(world: &mut World, trouble: &Trouble) {
    let lost: BTreeSet<ContainerInstanceId> = world.deaf.clone();
    match *trouble {
        Trouble::Scale(service, desired) => world.scale(NAMES[service], desired),
        Trouble::Deploy(service, revision) => world.deploy(NAMES[service], &definition("web", revision)),
        Trouble::Force(service) => {
            world.update(NAMES[service], ServiceChange { force_new_deployment: true, ..change() });
        }
        Trouble::Limits(service, limits) => {
            let configuration = Some(configuration(LIMITS[limits]));
            world.update(
                NAMES[service],
                ServiceChange { deployment_configuration: configuration, ..change() },
            );
        }
        Trouble::Break(revision) => {
            world.broken.insert(definition("web", revision));
        }
        Trouble::Crash(revision, life) => {
            world.crashing.insert(definition("web", revision), Duration::from_millis(life));
        }
        Trouble::Exit(service, at) => {
            let tasks = world.tasks(NAMES[service]);
            let runs = tasks.iter().filter(|task| task.last_status == TaskStatus::Running);
            if let Some(task) = runs.filter(|task| !lost.contains(&task.instance)).nth(at) {
                world.exit(task);
            }
        }
        Trouble::StopTask(service, at) => {
            if let Some(task) = world.tasks(NAMES[service]).get(at) {
                world.user(Command::StopTask { cluster: cluster(), task: task.id, reason: None });
            }
        }
        Trouble::Lose(at) if !lost.contains(&world.agents[at]) => world.lose(world.agents[at]),
        Trouble::Return(at) if lost.contains(&world.agents[at]) => {
            world.return_from_the_dead(world.agents[at]);
        }
        Trouble::Drain(at) => world.set_status(world.agents[at], InstanceStatus::Draining),
        Trouble::Undrain(at) => world.set_status(world.agents[at], InstanceStatus::Active),
        Trouble::Lose(_) | Trouble::Return(_) => {}
        Trouble::Health(service, at, well) => {
            let tasks = world.tasks(NAMES[service]);
            let runs = tasks.iter().filter(|task| task.last_status == TaskStatus::Running);
            let heard = runs.filter(|task| !lost.contains(&task.instance));
            let health = if well { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
            if let Some(task) = heard.filter(|task| world.view().checked(task).is_some()).nth(at) {
                world.says(task, health);
            }
        }
        Trouble::Protect(service, at, minutes) => {
            if let Some(task) = world.tasks(NAMES[service]).get(at) {
                world.protect(task, minutes);
            }
        }
        Trouble::Pass => {
            world.pass();
        }
        Trouble::Work(luck) => {
            world.agents_work(|task| (task.id.bits() as u64 ^ luck).count_ones().is_multiple_of(2));
        }
        Trouble::Wait(millis) => world.advance(Duration::from_millis(millis)),
        Trouble::Reap => {
            world.reap();
        }
    }
}

fn heal(world: &mut World) {
    world.broken.clear();
    world.crashing.clear();
    for instance in world.agents.clone() {
        if world.deaf.contains(&instance) {
            world.return_from_the_dead(instance);
        }
        world.set_status(instance, InstanceStatus::Active);
    }
    for name in NAMES {
        let limits = Some(configuration((200, 100)));
        world.update(name, ServiceChange { deployment_configuration: limits, ..change() });
    }
    world.settle_for_good();
}

fn assert_whole(world: &World) {
    for name in NAMES {
        let service = world.service(name);
        let desired = service.spec.desired_count as usize;
        assert_eq!(world.running(name), desired, "{service:?}");
        assert_eq!(world.tasks(name).len(), desired);
        assert_eq!(service.deployments.len(), 1);
        assert_eq!(service.deployments[0].rollout, RolloutState::Completed);
        assert!(service.steady);
        let newest = &service.events[0].message;
        let steady = format!("(service {name}) has reached a steady state.");
        assert!(*newest == steady || newest.contains("is AZ balanced with"), "{newest}");
    }
    let zones = world.by_zone("web");
    let counts = || ZONES.iter().map(|zone| zones.get(*zone).copied().unwrap_or(0));
    let skew = counts().max().unwrap() - counts().min().unwrap();
    assert!(skew <= 1, "the service that is rebalanced is even: {zones:?}");
    let plan = world.plan();
    assert!(plan.commands.is_empty() && plan.wake_at.is_none(), "a satisfied state plans nothing: {plan:?}");
}

fn world() -> World {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    for revision in 1..5_u32 {
        // The third wants a fixed port, which one node can give once.
        let port = (revision == 3).then_some(8080);
        match revision {
            // The last one has a health check.
            4 => world.register_checked("web", 256, 512),
            _ => world.register("web", 256, 128 * revision, port),
        };
    }
    let even = [(ZONE_REBALANCING, "\"ENABLED\"")];
    world.create_described("web", &definition("web", 1), 6, (200, 100), &even);
    world.create("api", &definition("web", 2), 3, (150, 50));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_heals(troubles in prop::collection::vec(any_trouble(), 0..60)) {
        let mut world = world();
        for trouble in &troubles {
            world.advance(Duration::from_millis(7));
            happen(&mut world, trouble);
        }
        // A fixed port fits six times; more than that cannot be placed, and the test of that is a story of its own.
        for name in NAMES {
            if world.service(name).spec.task_definition.revision == 3 {
                world.deploy(name, &definition("web", 4));
            }
        }
        heal(&mut world);
        assert_whole(&world);
    }

    #[test]
    fn two_passes_on_one_view_plan_the_same(troubles in prop::collection::vec(any_trouble(), 0..30)) {
        let mut world = world();
        for trouble in &troubles {
            happen(&mut world, trouble);
        }
        prop_assert_eq!(world.plan().commands, world.plan().commands);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// A crash loop costs a bounded number of tasks: in an hour six rounds in quick succession, then one every half a minute.
    #[test]
    fn a_crash_loop_is_slowed_down(desired in 1..6_u32, life in 1..39_000_u64, completed: bool, limits in 0..LIMITS.len()) {
        let mut world = World::new();
        world.agents_per_zone(2, 65_536, 65_536);
        let web = world.register("web", 64, 64, None);
        if completed {
            world.create("web", &web, desired, LIMITS[limits]);
            world.settle_healthy();
        }
        world.crashing.insert(web.clone(), Duration::from_millis(life));
        if !completed {
            world.create("web", &web, desired, LIMITS[limits]);
        }
        let before = world.started;
        for _ in 0..60 {
            world.live(Duration::from_secs(60));
            world.reap();
        }
        let rounds = (world.started - before) as u64 / u64::from(desired);
        prop_assert!(rounds <= 7 + 3_600 / 30 + 1, "{rounds} rounds of tasks that live {life} ms");
        let whole = 3_600_000 / (30_000 + life);
        prop_assert!(rounds >= whole / 2, "{rounds} rounds of tasks that live {life} ms: it goes on trying");
        let service = world.service("web");
        let steady = service.events.iter().filter(|event| event.message.ends_with("steady state.")).count();
        prop_assert!(steady <= 3, "{service:?}");
        prop_assert_eq!(service.deployments[0].failed_tasks, 0);
        // Once it is well, so is the service.
        world.crashing.clear();
        world.settle_for_good();
        prop_assert_eq!(world.running("web"), desired as usize);
        prop_assert_eq!(world.service("web").deployments[0].back_off, None);
    }
}

#[test]
fn room_for_new_tasks_is_made_once() {
    let mut world = World::new();
    for zone in [ZONES[0], ZONES[0], ZONES[1], ZONES[2]] {
        world.agent(zone, 4096, 4096);
    }
    let first = world.register("web", 64, 64, Some(8080));
    world.create("web", &first, 3, (200, 0));
    world.settle();
    let second = world.register("web", 64, 64, Some(8080));
    world.deploy("web", &second);
    // One new task finds the free instance; two old ones make room for the others. While they stop, the third stays.
    assert!(world.pass());
    assert_eq!(world.running("web"), 1);
    world.pass();
    assert_eq!(world.running("web"), 1);
    world.settle_healthy();
    assert_eq!(world.running("web"), 3);
}

#[test]
fn no_room_is_made_where_nobody_can_use_it() {
    let mut world = World::new();
    let instance = world.agent(ZONES[0], 4096, 4096);
    let first = world.register("web", 64, 64, Some(8080));
    world.create("web", &first, 1, (200, 0));
    world.settle();
    let epoch = world.view().instance(instance).unwrap().epoch;
    world.user(Command::AnnounceAbsence { instance, epoch, millis: 120_000 });
    let second = world.register("web", 64, 64, Some(8080));
    world.deploy("web", &second);
    world.pass();
    world.pass();
    assert_eq!(world.running("web"), 1, "the old task goes on while its agent is away");
    world.return_from_the_dead(instance);
    world.settle_healthy();
    let tasks = world.tasks("web");
    assert!(tasks.iter().all(|task| task.definition == second || task.last_status == TaskStatus::Stopped));
    assert_eq!(world.running("web"), 1);
}

#[test]
fn five_thousand_tasks_over_three_hundred_instances() {
    let mut world = World::new();
    world.agents_per_zone(100, 65_536, 65_536);
    let definition = world.register("web", 64, 64, None);
    world.create("web", &definition, 5_000, (200, 100));
    let plan = world.plan();
    assert_eq!(plan.commands.len(), 10, "500 a command: {}", plan.report);
    for command in plan.commands {
        world.user(command);
    }
    let mut zones: Vec<usize> = world.by_zone("web").into_values().collect();
    zones.sort_unstable();
    assert_eq!(zones, [1_666, 1_667, 1_667]);
}

/// A story that once went wrong.
#[test]
fn a_protected_task_of_too_many_leaves_when_its_time_is_over() {
    use Trouble::*;
    let mut world = world();
    let troubles = [
        Pass,
        Lose(0),
        Pass,
        Break(2),
        Scale(0, 7),
        Force(0),
        Pass,
        Work(0),
        Wait(17_153),
        Limits(0, 0),
        Scale(1, 0),
        Force(1),
        Scale(1, 0),
        Wait(22_764),
        Lose(2),
        Scale(0, 1),
        Protect(0, 0, Some(1)),
    ];
    for trouble in &troubles {
        world.advance(Duration::from_millis(7));
        happen(&mut world, trouble);
    }
    heal(&mut world);
    assert_whole(&world);
}
