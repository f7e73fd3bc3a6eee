//! Tasks with network interfaces of their own: their subnets choose the zones, and each takes an address.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::*;
use trireme_scheduler::{Addresses, Group, Nodes, Refusal, Request, Wanted, place_on, seats};
use trireme_state::event::NetworkEvent;
use trireme_state::index::InstanceLoad;
use trireme_state::object::*;
use trireme_state::{Event, State};
use trireme_types::*;

fn empty(nodes: &[ContainerInstance]) -> Nodes {
    Nodes::new(nodes.iter().map(|node| (Arc::new(node.clone()), Arc::new(InstanceLoad::default()))))
}

/// In zone a two addresses are left, in zone b none, and no subnet is in zone c.
fn addresses() -> (State, SubnetId, NetworkConfiguration) {
    let mut state = State::new();
    let add = |number: u128, zone: &str, cidr: &str| {
        let id = SubnetId::from_random(number << 60);
        let cidr: Cidr = cidr.parse().unwrap();
        let subnet = Subnet {
            id,
            scope: Scope::development(),
            zone: Zone::new(zone).unwrap(),
            cidr,
            network: Cidr::around(cidr.first(), 16),
            created_at: Timestamp::default(),
            last_given: None,
        };
        (id, Event::Network(NetworkEvent::SubnetAdded { subnet: Box::new(subnet) }))
    };
    let (one, first) = add(1, ZONES[0], "10.1.1.0/28");
    let (two, second) = add(2, ZONES[1], "10.1.2.0/28");
    for event in [first, second] {
        trireme_state::apply_event(&mut state, Timestamp::default(), &event);
    }
    let mut number = 1000;
    for (subnet, zone, taken) in [(one, ZONES[0], 9_u8), (two, ZONES[1], 11)] {
        for at in 0..taken {
            number += 1;
            let made = task(number, zone, 0, TaskStatus::Running, 0);
            let interface = Interface {
                id: number,
                subnet,
                address: std::net::Ipv4Addr::new(10, 1, if subnet == one { 1 } else { 2 }, 4 + at),
                hold: Hold::Task,
                security_groups: Vec::new(),
            };
            let id = made.id;
            let created = Event::TaskCreated { task: Box::new(made) };
            let attached =
                Event::Network(NetworkEvent::TaskAttached { task: id, interface: Box::new(interface) });
            for event in [created, attached] {
                trireme_state::apply_event(&mut state, Timestamp::default(), &event);
            }
        }
    }
    let network = NetworkConfiguration { subnets: [one, two].into(), security_groups: Vec::new() };
    (state, one, network)
}

#[test]
fn a_task_goes_where_an_address_is_left_for_it() {
    let (state, _, network) = addresses();
    let free = Addresses::of(&state, &Scope::development(), &network, |subnet| {
        state.free_addresses(subnet, Timestamp::default())
    });
    let wanted = Wanted { addresses: Some(free), ..Wanted::from(reservation(1, 1, &[])) };
    let all = [
        node(0, ZONES[0], 100, 100),
        node(1, ZONES[0], 100, 100),
        node(2, ZONES[1], 100, 100),
        node(3, ZONES[2], 100, 100),
    ];
    let request = Request { wanted, group: Group::among_all(""), rules: PlacementRules::default(), count: 5 };
    let placed = place_on(&mut empty(&all), &request);
    let on: Vec<u128> = placed.placements.iter().map(|one| one.instance.bits()).collect();
    assert_eq!(on.len(), 2, "{on:?}");
    assert!(on.iter().all(|instance| *instance < 2));
    let why = placed.unplaced.unwrap();
    assert_eq!(why.unplaced, 3);
    let of = |number: usize| &why.refusals[number].refusal;
    assert_eq!(*of(2), Refusal::NoAddress { zone: Zone::new(ZONES[1]).unwrap() });
    assert_eq!(of(2).ecs_reason(), "RESOURCE:ENI");
    assert_eq!(*of(3), Refusal::NoSubnet { zone: Zone::new(ZONES[2]).unwrap() });
    assert_eq!(of(3).ecs_reason(), "ATTRIBUTE");
    let closest = why.closest().unwrap().refusal.ecs_reason();
    assert_eq!(closest, "RESOURCE:ENI", "an address may be free soon, a subnet is not");
}

#[test]
fn only_an_agent_that_can_is_given_a_task_with_a_network_of_its_own() {
    let (state, _, network) = addresses();
    let mut spec = TaskDefinitionSpec {
        containers: Vec::new(),
        network_mode: Some(NetworkMode::Awsvpc),
        cpu: None,
        memory: None,
        requires_compatibilities: Vec::new(),
        task_role_arn: None,
        execution_role_arn: None,
        described: Described::new(),
    };
    let with = |number: u128, attributes: &[&str]| {
        let mut made = node(number, ZONES[0], 100, 100);
        made.registration.attributes =
            attributes.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        made
    };
    // One that names nothing is older than such networks; one that names Docker only cannot.
    let all = [with(0, &[]), with(1, &[capability::DOCKER]), with(2, &capability::OF_AGENT)];
    let places = |spec: &TaskDefinitionSpec| {
        let wanted = Wanted::of(spec, &TaskOverrides::default());
        let wanted = wanted.in_subnets(&state, &Scope::development(), spec, Some(&network), |subnet| {
            state.free_addresses(subnet, Timestamp::default())
        });
        let request =
            Request { wanted, group: Group::among_all(""), rules: PlacementRules::default(), count: 3 };
        let placed = place_on(&mut empty(&all), &request);
        placed.placements.iter().map(|one| one.instance.bits()).collect::<BTreeSet<u128>>()
    };
    assert_eq!(places(&spec), BTreeSet::from([2]));
    spec.network_mode = None;
    assert_eq!(places(&spec), BTreeSet::from([0, 1, 2]), "others are no matter of subnets");
}

#[test]
fn a_daemons_constraint_holds_where_no_address_is_left_too() {
    let (state, _, network) = addresses();
    let used_up = Addresses::of(&state, &Scope::development(), &network, |_| 0);
    let wanted = Wanted { addresses: Some(used_up), ..Wanted::default() };
    let mut edge = node(1, ZONES[1], 100, 100);
    edge.registration.attributes.insert("role".to_owned(), "edge".to_owned());
    let mut nodes = empty(&[node(0, ZONES[0], 100, 100), edge.clone(), node(2, ZONES[2], 100, 100)]);
    let mut of = |constraints: Vec<PlacementConstraint>| {
        let rules = PlacementRules { strategy: Vec::new(), constraints };
        let request = Request { wanted: wanted.clone(), group: Group::default(), rules, count: 1 };
        seats(&state, &mut nodes, &request, &[]).len()
    };
    assert_eq!(of(Vec::new()), 2, "no subnet is in the third zone");
    assert_eq!(of(vec![PlacementConstraint::MemberOf("attribute:role == edge".to_owned())]), 1);
}
