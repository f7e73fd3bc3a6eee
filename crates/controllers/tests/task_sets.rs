//! Services with task sets, moved by the controller: each set keeps its own part running, beside the others.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use support::*;
use trireme_state::object::*;
use trireme_state::{Command, Outcome};
use trireme_types::*;

const WEB: &str = "web";

fn create(world: &mut World, desired: u32) {
    let spec = ServiceSpec {
        task_definition: TaskDefinitionKey::none(&Scope::development()),
        desired_count: desired,
        deployment_configuration: DeploymentConfiguration::default(),
        propagate_tags: PropagateTags::None,
        enable_ecs_managed_tags: false,
        health_check_grace_period_seconds: None,
        role_arn: None,
        described: BTreeMap::new(),
    };
    let (key, created_by) = (service_key(WEB), "tester".to_owned());
    world.user(Command::CreateServiceWithTaskSets { key, spec, tags: Tags::new(), created_by });
}

fn add_set(world: &mut World, definition: &TaskDefinitionKey, percent: f64) -> DeploymentId {
    add_described_set(world, definition, percent, Described::new())
}

fn add_described_set(
    world: &mut World,
    definition: &TaskDefinitionKey,
    percent: f64,
    described: Described,
) -> DeploymentId {
    let spec = TaskSetSpec {
        task_definition: definition.clone(),
        scale: Scale::from_percent(percent).unwrap(),
        external_id: None,
        described,
    };
    let command =
        Command::CreateTaskSet { service: service_key(WEB), spec: Box::new(spec), tags: Tags::new() };
    let Outcome::TaskSet(_, id) = world.user(command) else { panic!("no set") };
    id
}

fn scale(world: &mut World, id: DeploymentId, percent: f64) {
    let scale = Scale::from_percent(percent).unwrap();
    world.user(Command::ScaleTaskSet { service: service_key(WEB), id, scale });
}

fn set(world: &World, id: DeploymentId) -> TaskSet {
    world.view().task_sets(&service_key(WEB)).unwrap().set(id).unwrap().clone()
}

/// Running tasks of a set, by zone.
fn of_set(world: &World, id: DeploymentId) -> Vec<usize> {
    let mut zones: BTreeMap<String, usize> = BTreeMap::new();
    for task in world.tasks(WEB).iter().filter(|task| task.wanted() && task.deployment() == Some(id)) {
        assert_eq!(task.last_status, TaskStatus::Running);
        *zones.entry(task.zone.to_string()).or_default() += 1;
    }
    zones.into_values().collect()
}

fn ready() -> (World, [TaskDefinitionKey; 2]) {
    let mut world = World::new();
    world.agents_per_zone(2, 4096, 4096);
    let definitions = [(); 2].map(|()| world.register(WEB, 128, 128, None));
    (world, definitions)
}

#[test]
fn two_sets_run_beside_each_other_and_one_goes() {
    let (mut world, [old, new]) = ready();
    create(&mut world, 6);
    let blue = add_set(&mut world, &old, 100.0);
    world.settle();
    assert_eq!(of_set(&world, blue), [2, 2, 2]);
    assert!(set(&world, blue).steady, "RUNNING is enough: nothing is stopped for it");

    let green = add_set(&mut world, &new, 50.0);
    world.settle();
    assert_eq!((of_set(&world, blue), of_set(&world, green)), (vec![2, 2, 2], vec![1, 1, 1]));
    scale(&mut world, green, 100.0);
    world.settle();
    assert_eq!(of_set(&world, green), [2, 2, 2]);
    world.user(Command::SetPrimaryTaskSet { service: service_key(WEB), id: green });
    world.user(Command::DeleteTaskSet { service: service_key(WEB), id: blue, force: true });
    world.settle();
    assert_eq!(of_set(&world, green), [2, 2, 2]);
    assert_eq!(world.running(WEB), 6);
    assert_eq!(world.view().task_sets(&service_key(WEB)).unwrap().sets.len(), 1, "the old one is gone");
    assert_eq!(world.service(WEB).spec.task_definition, new);

    world.scale(WEB, 3);
    world.settle_healthy();
    assert_eq!(of_set(&world, green), [1, 1, 1]);
    assert!(world.plan().commands.is_empty(), "a satisfied state plans nothing");

    let told: Vec<String> =
        world.service(WEB).events.iter().rev().map(|event| event.message.clone()).collect();
    let steady = |id| format!("(service web, taskSet {id}) updated state to STEADY_STATE.");
    assert!(told.contains(&steady(blue)) && told.contains(&steady(green)), "{told:?}");
    assert!(told.iter().any(|text| text == "(service web) has reached a steady state."), "{told:?}");
    assert_eq!(told[0], format!("(service web) updated computedDesiredCount for taskSet {blue} to 6."));
    assert!(told[1].starts_with(&format!("(service web, taskSet {blue}) has started 6 tasks: ")), "{told:?}");
    let stopped = format!("(service web, taskSet {blue}) has stopped 6 running tasks: ");
    assert!(told.iter().any(|text| text.starts_with(&stopped)), "{told:?}");

    world.user(Command::DeleteService { key: service_key(WEB), force: true });
    world.settle();
    assert_eq!(world.service(WEB).status, ServiceStatus::Inactive);
}

#[test]
fn what_a_set_loses_it_gets_again() {
    let (mut world, [old, _]) = ready();
    create(&mut world, 6);
    let blue = add_set(&mut world, &old, 100.0);
    world.settle_healthy();
    let lost = world.agents[2..4].to_vec();
    lost.iter().for_each(|instance| world.lose(*instance));
    world.settle_healthy();
    assert_eq!(of_set(&world, blue), [3, 3], "zone b is lost");
    lost.iter().for_each(|instance| world.return_from_the_dead(*instance));
    world.set_status(world.agents[0], InstanceStatus::Draining);
    world.settle_healthy();
    let on_draining = world.tasks(WEB).iter().filter(|task| task.instance == world.agents[0]).count();
    assert_eq!(
        (world.running(WEB), on_draining),
        (6, 0),
        "start first, then stop what is on the draining one"
    );
    assert!(set(&world, blue).steady);
}

#[test]
fn what_serves_has_first_choice_of_the_places() {
    let mut world = World::new();
    let machine = world.agent(ZONES[0], 128 * 3, 1024);
    let spare = world.agent(ZONES[1], 128 * 3, 1024);
    let definitions = [(); 2].map(|()| world.register(WEB, 128, 128, None));
    create(&mut world, 3);
    let blue = add_set(&mut world, &definitions[0], 100.0);
    world.user(Command::SetPrimaryTaskSet { service: service_key(WEB), id: blue });
    world.settle();
    let green = add_set(&mut world, &definitions[1], 100.0);
    world.settle();
    let count = |world: &World, id| of_set(world, id).iter().sum::<usize>();
    assert_eq!((count(&world, blue), count(&world, green)), (3, 3));
    // There is room for three on what is left: all of it is the primary's, though the other one is newer.
    world.lose(machine);
    world.lose(spare);
    world.settle();
    world.return_from_the_dead(machine);
    world.settle();
    assert_eq!((count(&world, blue), count(&world, green)), (3, 0));
}

#[test]
fn a_set_that_cannot_start_holds_up_no_other() {
    let (mut world, [old, broken]) = ready();
    world.broken.insert(broken.clone());
    create(&mut world, 3);
    let bad = add_set(&mut world, &broken, 100.0);
    let good = add_set(&mut world, &old, 100.0);
    world.live(std::time::Duration::from_secs(120));
    assert_eq!(of_set(&world, good), [1, 1, 1]);
    let found = set(&world, bad);
    assert!(!found.steady && found.failed_tasks > 3 && found.back_off.is_some(), "{found:?}");
    assert_eq!(set(&world, good).back_off, None);
    assert!(world.started < 60, "it is slow about it: {} tasks", world.started);

    world.broken.clear();
    world.live(std::time::Duration::from_secs(600));
    assert_eq!(of_set(&world, bad), [1, 1, 1]);
    assert!(set(&world, bad).steady);
}

#[test]
fn a_set_that_uses_what_has_no_effect_yet_is_told_of_once() {
    let (mut world, [old, new]) = ready();
    create(&mut world, 3);
    let plain = add_set(&mut world, &old, 100.0);
    let described = Described::from([("loadBalancers".to_owned(), r#"[{"containerPort":80}]"#.to_owned())]);
    let balanced = add_described_set(&mut world, &new, 100.0, described);
    world.settle();
    scale(&mut world, balanced, 50.0);
    world.settle();
    let events = world.service(WEB).events.clone();
    let told: Vec<&str> = events.iter().map(|event| event.message.as_str()).collect();
    let text = format!("(service web, taskSet {balanced}) uses loadBalancers, without effect yet.");
    assert_eq!(told.iter().filter(|one| **one == text).count(), 1, "{told:?}");
    assert!(!told.iter().any(|one| one.contains(&format!("{plain}) uses"))), "{told:?}");
}
