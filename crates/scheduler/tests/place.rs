//! Placement: where tasks go, and why they do not.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use support::*;
use trireme_scheduler::{Group, Nodes, Placed, Refusal, Request, Wanted, place_on};
use trireme_state::index::InstanceLoad;
use trireme_state::object::*;
use trireme_types::*;

fn request(wanted: Reservation, count: usize) -> Request {
    let (group, rules) = (Group::of_tasks("family:web", std::iter::empty()), PlacementRules::default());
    Request { wanted: wanted.into(), group, rules, count }
}

fn per_zone(nodes: &Nodes, placed: &Placed) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for placement in &placed.placements {
        let zone = nodes.find(placement.instance).unwrap().zone().to_string();
        *zones.entry(zone).or_default() += 1;
    }
    zones
}

#[test]
fn six_tasks_go_two_to_each_zone_and_to_different_nodes() {
    let all: Vec<_> = (0..9).map(|n| node(n, ZONES[(n % 3) as usize], 1024, 1024)).collect();
    let mut nodes = nodes(&all);
    let placed = place_on(&mut nodes, &request(reservation(128, 128, &[]), 6));
    assert_eq!(placed.unplaced, None);
    assert_eq!(per_zone(&nodes, &placed).into_values().collect::<Vec<_>>(), [2, 2, 2]);
    let used: BTreeSet<_> = placed.placements.iter().map(|one| one.instance).collect();
    assert_eq!(used.len(), 6);
}

#[test]
fn a_lost_zone_leaves_its_share_to_the_others() {
    let mut all: Vec<_> = (0..6).map(|n| node(n, ZONES[(n % 3) as usize], 4096, 4096)).collect();
    all.iter_mut()
        .filter(|node| node.registration.zone.as_str() == ZONES[1])
        .for_each(|n| n.connected = false);
    let mut nodes = nodes(&all);
    let placed = place_on(&mut nodes, &request(reservation(128, 128, &[]), 6));
    let zones = per_zone(&nodes, &placed);
    assert_eq!(zones, BTreeMap::from([(ZONES[0].to_owned(), 3), (ZONES[2].to_owned(), 3)]));
}

#[test]
fn of_equal_nodes_the_fullest_that_fits_is_taken() {
    let mut nodes = Nodes::new((0..2).map(|n| {
        let load =
            InstanceLoad { memory: Mebibytes::new(if n == 1 { 500 } else { 0 }), ..InstanceLoad::default() };
        (Arc::new(node(n, ZONES[0], 1024, 1024)), Arc::new(load))
    }));
    let mut take = |memory| {
        let placed = place_on(&mut nodes, &request(reservation(1, memory, &[]), 1));
        placed.placements.first().map(|one| one.instance)
    };
    assert_eq!(take(512), Some(id(1)), "the fuller one");
    assert_eq!(take(512), Some(id(0)), "it is full now");
}

#[test]
fn each_refusal_has_its_numbers_and_the_closest_node_is_named() {
    let mut drained = node(1, ZONES[0], 1024, 1024);
    drained.status = InstanceStatus::Draining;
    let mut silent = node(2, ZONES[0], 1024, 1024);
    silent.connected = false;
    let all = [
        drained,
        silent,
        node(3, ZONES[1], 50, 1024),
        node(4, ZONES[1], 1024, 90),
        node(5, ZONES[2], 1024, 99),
    ];
    let mut nodes = nodes(&all);
    let why = place_on(&mut nodes, &request(reservation(100, 100, &[22]), 2)).unplaced.unwrap();
    assert_eq!(why.unplaced, 2);
    let refusals: Vec<Refusal> = why.refusals.iter().map(|node| node.refusal.clone()).collect();
    let memory = |free| Refusal::Memory { wanted: Mebibytes::new(100), free: Mebibytes::new(free) };
    assert_eq!(
        refusals,
        [
            Refusal::Inactive,
            Refusal::AgentDisconnected,
            Refusal::Cpu { wanted: CpuUnits::new(100), free: CpuUnits::new(50) },
            memory(90),
            memory(99),
        ]
    );
    assert_eq!(why.closest().map(|node| node.instance), Some(id(5)));
    assert_eq!(
        why.event_text(),
        format!("The closest matching (container-instance {}) has insufficient memory available.", id(5))
    );
    assert_eq!(
        why.to_string(),
        "AGENT on 1, INACTIVE on 1, RESOURCE:CPU on 1, RESOURCE:MEMORY on 2, \
         closest us-east-1c/agent-5 (us-east-1c): memory: wants 100 MiB, 99 free"
    );
}

#[test]
fn a_port_is_given_once_to_a_node() {
    let mut nodes = nodes(&[node(1, ZONES[0], 1024, 1024), node(2, ZONES[1], 1024, 1024)]);
    let placed = place_on(&mut nodes, &request(reservation(1, 1, &[80]), 3));
    assert_eq!(placed.placements.len(), 2);
    let why = placed.unplaced.unwrap();
    let port = Refusal::Port { protocol: Protocol::Tcp, port: Port::new(80) };
    assert!(why.refusals.iter().all(|node| node.refusal == port));
    let twice = place_on(&mut nodes, &request(reservation(1, 1, &[81, 81]), 1));
    assert_eq!(twice.unplaced.unwrap().refusals[0].refusal.ecs_reason(), "RESOURCE:PORTS");
}

#[test]
fn of_many_nodes_those_that_came_closest_say_why() {
    let mut all: Vec<_> = (0..300).map(|number| node(number, ZONES[0], 1024, 1024)).collect();
    all[..150].iter_mut().for_each(|node| node.status = InstanceStatus::Draining);
    let why = place_on(&mut nodes(&all), &request(reservation(2048, 1, &[]), 1)).unplaced.unwrap();
    assert_eq!(why.refusals.len(), 100);
    assert!(why.refusals.iter().all(|node| node.refusal.ecs_reason() == "RESOURCE:CPU"));
    assert_eq!(why.closest().map(|node| node.instance), Some(id(150)));
    assert!(
        why.to_string().starts_with("INACTIVE on 150, RESOURCE:CPU on 150, closest us-east-1a/agent-150")
    );
}

#[test]
fn without_nodes_the_event_says_so() {
    let why = place_on(&mut Nodes::default(), &request(reservation(1, 1, &[]), 1)).unplaced.unwrap();
    assert_eq!(why.event_text(), "Reason: No Container Instances were found in your cluster.");
}

#[test]
fn a_task_goes_where_its_processor_and_its_capabilities_are() {
    use trireme_types::capability;
    let with = |number: u128, attributes: &[(&str, &str)]| {
        let mut made = node(number, ZONES[0], 4_096, 4_096);
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        made.registration.attributes = attributes.iter().map(pair).collect();
        made
    };
    let arm = (capability::CPU_ARCHITECTURE, "arm64");
    let all: Vec<(&str, &str)> =
        capability::OF_AGENT.map(|name| (name, "")).into_iter().chain([arm]).collect();
    let told = with(0, &all);
    // It names no capability: it is older than them, and has them.
    let old = with(1, &[(capability::CPU_ARCHITECTURE, "x86_64")]);
    let other = with(2, &[(capability::DOCKER, ""), (capability::CPU_ARCHITECTURE, "x86_64")]);
    let mut spec = TaskDefinitionSpec {
        containers: Vec::new(),
        network_mode: None,
        cpu: Some(CpuUnits::new(128)),
        memory: Some(Mebibytes::new(128)),
        requires_compatibilities: Vec::new(),
        task_role_arn: Some("arn:aws:iam::123456789012:role/t".to_owned()),
        execution_role_arn: None,
        described: Described::new(),
    };
    let places = |spec: &TaskDefinitionSpec| {
        let wanted = Wanted::of(spec, &TaskOverrides::default());
        let (group, rules) = (Group::among_all("family:web"), PlacementRules::default());
        let request = Request { wanted, group, rules, count: 100 };
        let placed = place_on(&mut nodes(&[told.clone(), old.clone(), other.clone()]), &request);
        let on: BTreeSet<u128> = placed.placements.iter().map(|one| one.instance.bits()).collect();
        (on, placed.unplaced.unwrap())
    };
    let (on, why) = places(&spec);
    assert_eq!(on, BTreeSet::from([0, 1]));
    let missing = Refusal::Attribute { name: capability::TASK_LIMIT.to_owned(), value: None };
    assert_eq!(why.refusals[2].refusal, missing);

    spec.described.insert("runtimePlatform".to_owned(), r#"{"cpuArchitecture":"ARM64"}"#.to_owned());
    let (on, why) = places(&spec);
    assert_eq!(on, BTreeSet::from([0]));
    let processor = why.refusals[1].refusal.clone();
    assert_eq!(processor.to_string(), "attribute ecs.cpu-architecture is not arm64");
    assert_eq!(processor.ecs_reason(), "ATTRIBUTE");
    assert_eq!(processor.event_text(), "is missing an attribute required by your task");
}
