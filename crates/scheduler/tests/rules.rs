//! Placement by rules: chains of strategies, and constraints, story by story.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use support::world::{add_task, cluster, give, state_of};
use support::*;
use trireme_scheduler::{Answer, Group, Nodes, Placed, Request, explain_all, place, place_on};
use trireme_state::State;
use trireme_state::object::*;

const GROUP: &str = "family:web";

fn spread(attribute: &str) -> PlacementStrategy {
    PlacementStrategy::Spread(SpreadField::Attribute(attribute.to_owned()))
}

fn zones() -> PlacementStrategy {
    spread("ecs.availability-zone")
}

fn member(expression: &str) -> PlacementConstraint {
    PlacementConstraint::MemberOf(expression.to_owned())
}

fn request(constraints: &[PlacementConstraint], strategy: &[PlacementStrategy], count: usize) -> Request {
    Request {
        wanted: reservation(100, 100, &[]).into(),
        group: Group::of_tasks(GROUP, std::iter::empty()),
        rules: PlacementRules { constraints: constraints.to_vec(), strategy: strategy.to_vec() },
        count,
    }
}

fn on(placed: &Placed) -> Vec<u128> {
    placed.placements.iter().map(|one| one.instance.bits()).collect()
}

/// How many tasks are where an attribute has each value.
fn per_value(state: &State, placed: &Placed, attribute: &str) -> BTreeMap<String, usize> {
    let mut values = BTreeMap::new();
    for placement in &placed.placements {
        let node = state.instance(placement.instance).unwrap();
        let value = state.attribute(node, attribute).unwrap_or("none");
        *values.entry(format!("{}/{value}", node.registration.zone)).or_default() += 1;
    }
    values
}

/// Two zones; in each two racks of the same names, in each rack two nodes, and one node without a rack.
fn racks() -> State {
    let nodes: Vec<ContainerInstance> =
        (0..10).map(|number| node(number, ZONES[(number / 5) as usize], 4_096, 4_096)).collect();
    let mut state = state_of(nodes.iter());
    for number in [0, 1, 5, 6] {
        give(&mut state, id(number), "rack", "r1");
    }
    for number in [2, 3, 7, 8] {
        give(&mut state, id(number), "rack", "r2");
    }
    state
}

#[test]
fn racks_are_spread_over_within_their_zone_and_no_rack_is_one_too() {
    let state = racks();
    let placed = place(&state, &cluster(), &request(&[], &[zones(), spread("rack")], 12));
    let counts = per_value(&state, &placed, "rack");
    assert_eq!(counts.len(), 6);
    assert!(counts.values().all(|count| *count == 2), "{counts:?}");
    // A rack of the same name in the other zone is another rack: the tasks of zone a are not those of zone b.
    let mut crowded = racks();
    for number in 0..4 {
        add_task(&mut crowded, task(number, ZONES[0], 0, TaskStatus::Running, 0));
    }
    let tasks = crowded.tasks_of_group(&cluster(), GROUP);
    let mut next = request(&[], &[zones(), spread("rack")], 1);
    next.group = Group::of_tasks(GROUP, tasks.iter().map(AsRef::as_ref));
    assert_eq!(on(&place(&crowded, &cluster(), &next)), [5], "zone b, where its r1 has none");
}

#[test]
fn packing_takes_what_has_least_left_and_still_fits() {
    let nodes = [node(1, ZONES[0], 1_000, 300), node(2, ZONES[1], 250, 900), node(3, ZONES[2], 90, 90)];
    let state = state_of(nodes.iter());
    let pack = |field, count| {
        on(&place(&state, &cluster(), &request(&[], &[PlacementStrategy::Binpack(field)], count)))
    };
    assert_eq!(pack(BinpackField::Memory, 5), [1, 1, 1, 2, 2]);
    assert_eq!(pack(BinpackField::Cpu, 5), [2, 2, 1, 1, 1]);
}

#[test]
fn zones_first_and_packed_within_them() {
    let nodes: Vec<_> =
        (0..6).map(|number| node(number, ZONES[(number % 2) as usize], 4_096, 4_096)).collect();
    let state = state_of(nodes.iter());
    let chain = [zones(), PlacementStrategy::Binpack(BinpackField::Memory)];
    let placed = place(&state, &cluster(), &request(&[], &chain, 6));
    assert_eq!(on(&placed), [0, 1, 0, 1, 0, 1], "one node of each zone");
    let apart = [zones(), PlacementStrategy::Spread(SpreadField::InstanceId)];
    assert_eq!(on(&place(&state, &cluster(), &request(&[], &apart, 6))), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_is_drawn_is_the_same_for_the_same_state_and_not_always_the_same_node() {
    let nodes: Vec<_> = (0..20).map(|number| node(number, ZONES[0], 10_000, 10_000)).collect();
    let state = state_of(nodes.iter());
    let random = request(&[], &[PlacementStrategy::Random], 60);
    let placed = place(&state, &cluster(), &random);
    assert_eq!(placed, place(&state, &cluster(), &random));
    let mut used: BTreeMap<u128, usize> = BTreeMap::new();
    on(&placed).into_iter().for_each(|at| *used.entry(at).or_default() += 1);
    assert!(used.len() > 14 && used.values().all(|count| *count < 10), "{used:?}");
    let other = Request { group: Group::of_tasks("family:db", std::iter::empty()), ..random };
    assert_ne!(on(&placed), on(&place(&state, &cluster(), &other)), "another group draws otherwise");
}

#[test]
fn a_group_that_is_kept_apart_has_one_task_on_each_node() {
    let nodes: Vec<_> = (0..4).map(|number| node(number, ZONES[0], 4_096, 4_096)).collect();
    let mut state = state_of(nodes.iter());
    add_task(&mut state, task(1, ZONES[0], 0, TaskStatus::Running, 0));
    let mut stopping = task(2, ZONES[0], 1, TaskStatus::Running, 0);
    stopping.desired_status = DesiredStatus::Stopped;
    add_task(&mut state, stopping);
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let apart = [PlacementConstraint::DistinctInstance];
    let placed = place_on(&mut nodes, &request(&apart, &[], 2));
    assert_eq!(on(&placed), [1, 2], "where one stops is room");
    // The copy knows those that it holds.
    let placed = place_on(&mut nodes, &request(&apart, &[], 2));
    assert_eq!(on(&placed), [3]);
    let why = placed.unplaced.unwrap();
    assert_eq!(
        why.closest().unwrap().refusal.ecs_reason(),
        "DistinctInstance placement constraint unsatisfied."
    );
    assert_eq!(
        why.event_text(),
        format!(
            "The closest matching (container-instance {}) encountered error \"DistinctInstance placement constraint \
             unsatisfied.\".",
            id(0)
        )
    );
    assert_eq!(why.refusals[0].refusal.to_string(), "a task of family:web is on it already");
}

#[test]
fn members_are_what_an_expression_says_they_are() {
    let state = racks();
    let all = |expression: &str| {
        let placed = place(&state, &cluster(), &request(&[member(expression)], &[], 100));
        let mut on = on(&placed);
        on.sort_unstable();
        on.dedup();
        on
    };
    assert_eq!(all("attribute:rack == r1 and attribute:ecs.availability-zone == us-east-1b"), [5, 6]);
    assert_eq!(all("attribute:rack !exists"), [4, 9]);
    assert_eq!(all("not(attribute:rack in [r1, r2]) or ec2InstanceId =~ .*agent-3"), [3, 4, 9]);
    assert!(all("attribute:rack == r3").is_empty());
    assert!(all("this is no expression").is_empty());
    let none = place(&state, &cluster(), &request(&[member("attribute:rack == r3")], &[], 1));
    let why = none.unplaced.unwrap();
    assert_eq!(why.refusals[0].refusal.ecs_reason(), "MemberOf placement constraint unsatisfied.");
    assert_eq!(why.refusals[0].refusal.to_string(), "is not a member of attribute:rack == r3");
    // The service's and the definition's bind together.
    let both = [member("attribute:rack == r1"), member("ec2InstanceId =~ .*agent-(1|2|6)")];
    assert_eq!(on(&place(&state, &cluster(), &request(&both, &[], 2))), [1, 6]);
}

#[test]
fn a_group_is_seen_where_the_copy_holds_its_tasks() {
    let state = racks();
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let mut of = |group: &str, expression: &str, count| {
        let mut asked = request(&[member(expression)], &[], count);
        asked.group = Group::of_tasks(group, std::iter::empty());
        on(&place_on(&mut nodes, &asked))
    };
    assert_eq!(of("family:db", "attribute:rack == r2", 2), [2, 7]);
    assert_eq!(of("family:web", "task:group == family:db", 3), [2, 7, 2], "beside it");
    assert_eq!(of("family:cache", "task:group !exists", 3), [0, 5, 1], "where nobody is, not even its own");
    assert_eq!(of("family:batch", "not(task:group =~ family:(db|batch))", 20).len(), 8, "one where no db is");
}

#[test]
fn each_node_says_why_not_or_how_it_ranks() {
    let state = racks();
    let asked = request(&[member("attribute:rack exists")], &[zones(), spread("rack")], 2);
    let first = on(&place(&state, &cluster(), &asked))[0];
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let answers = explain_all(&mut nodes, &asked);
    assert_eq!(first, 0);
    assert_eq!(answers.len(), 10);
    let says = |number: usize| match &answers[number].answer {
        Answer::Scored(score) => score.to_string(),
        Answer::Refused { passed, refusal } => format!("{passed}: {refusal}"),
    };
    assert_eq!(
        says(0),
        "1 tasks in us-east-1a, 1 tasks with rack r1, 1 tasks on it, 3996 MiB free, 3996 cpu units free"
    );
    assert_eq!(says(4), "11: is not a member of attribute:rack exists");
    assert_eq!(
        says(5),
        "0 tasks in us-east-1b, 0 tasks with rack r1, 0 tasks on it, 4096 MiB free, 4096 cpu units free"
    );
    let chosen: Vec<u128> = answers.iter().filter(|one| one.chosen).map(|one| one.instance.bits()).collect();
    assert_eq!(chosen, [5]);
    let tasks = [0, 5].map(|number| nodes.find(id(number)).unwrap().tasks());
    assert_eq!(tasks, [1, 0], "the copy holds the task before, and not the one explained");
}
