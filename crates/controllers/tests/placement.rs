//! Stories of services that say where their tasks may be, and where they should be.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use support::*;
use trireme_state::command::ServiceChange;
use trireme_state::object::*;
use trireme_types::ContainerInstanceId;

const PACKED: (&str, &str) = (PLACEMENT_STRATEGY, r#"[{"type":"binpack","field":"MEMORY"}]"#);
const APART: (&str, &str) = (PLACEMENT_CONSTRAINTS, r#"[{"type":"distinctInstance"}]"#);

fn by_instance(world: &World, name: &str) -> BTreeMap<ContainerInstanceId, usize> {
    let mut counts = BTreeMap::new();
    for task in world.tasks(name).iter().filter(|task| task.wanted()) {
        *counts.entry(task.instance).or_default() += 1;
    }
    counts
}

fn ready(described: &[(&str, &str)], desired: u32) -> World {
    let mut world = World::new();
    world.agents_per_zone(1, 1_024, 1_024);
    let definition = world.register("web", 64, 64, None);
    world.create_described("web", &definition, desired, (200, 50), described);
    world.settle();
    world
}

#[test]
fn a_service_that_is_kept_apart_says_what_is_in_the_way_and_takes_an_instance_that_joins() {
    let mut world = ready(&[APART], 4);
    assert_eq!(by_instance(&world, "web").into_values().collect::<Vec<_>>(), [1, 1, 1]);
    assert!(world.said("web", "encountered error \"DistinctInstance placement constraint unsatisfied.\""));
    world.agent(ZONES[0], 1_024, 1_024);
    world.settle_for_good();
    assert_eq!(by_instance(&world, "web").into_values().collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn what_is_kept_apart_is_still_updated() {
    let mut world = ready(&[APART], 3);
    let next = world.register("web", 64, 64, None);
    world.deploy("web", &next);
    world.settle_for_good();
    assert_eq!(by_instance(&world, "web").into_values().collect::<Vec<_>>(), [1, 1, 1]);
    assert!(world.tasks("web").iter().all(|task| !task.wanted() || task.definition == next));
}

#[test]
fn a_packed_service_fills_one_instance_and_leaves_the_emptiest_first() {
    let mut world = ready(&[PACKED], 20);
    let packed = by_instance(&world, "web");
    assert_eq!(packed.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from([4, 16]));
    world.scale("web", 17);
    world.settle_for_good();
    let left: BTreeSet<usize> = by_instance(&world, "web").into_values().collect();
    assert_eq!(left, BTreeSet::from([1, 16]));
}

#[test]
fn another_constraint_moves_nobody_and_binds_who_comes() {
    let mut world = ready(&[], 3);
    let before: BTreeSet<_> = world.tasks("web").iter().map(|task| task.id).collect();
    let only = r#"[{"type":"memberOf","expression":"attribute:ecs.availability-zone == us-east-1b"}]"#;
    let described = BTreeMap::from([(PLACEMENT_CONSTRAINTS.to_owned(), Some(only.to_owned()))]);
    world.update("web", ServiceChange { described, ..ServiceChange::default() });
    world.settle_for_good();
    let after: BTreeSet<_> = world.tasks("web").iter().map(|task| task.id).collect();
    assert_eq!(before, after);
    assert_eq!(world.service("web").deployments.len(), 1);
    world.scale("web", 6);
    world.settle_for_good();
    assert_eq!(world.by_zone("web")[ZONES[1]], 4);
}
