//! Placement: what is never true, what is always true, and the same answer as the obvious slow way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use support::*;
use trireme_scheduler::{Group, Nodes, Placed, Refusal, Request, Wanted, filter, place_on};
use trireme_state::index::InstanceLoad;
use trireme_state::object::*;
use trireme_types::*;

fn request(wanted: Reservation, count: usize) -> Request {
    Request { wanted: wanted.into(), group: Group::of_tasks(std::iter::empty()), count }
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
        let request = Request { wanted, group: Group::EveryTask, count: 100 };
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

/// A cluster and a request of any shape.
#[derive(Debug, Clone)]
struct Case {
    nodes: Vec<ContainerInstance>,
    tasks: Vec<Task>,
    wanted: Reservation,
    count: usize,
    grouped: bool,
}

impl Case {
    fn nodes(&self) -> Nodes {
        nodes(&self.nodes)
    }

    fn request(&self) -> Request {
        let group = if self.grouped { Group::of_tasks(self.tasks.iter()) } else { Group::EveryTask };
        Request { wanted: self.wanted.clone().into(), group, count: self.count }
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let node_shape = (0..3_usize, 0..2048_u32, 0..2048_u32, 0..10_u8);
    let shape = (0..400_u32, 0..400_u32, prop::collection::vec(20..26_u16, 0..2));
    let tasks = prop::collection::vec((0..12_u128, 0..100_u64), 0..12);
    (prop::collection::vec(node_shape, 0..12), tasks, shape, 0..60_usize, any::<bool>()).prop_map(
        |(shapes, tasks, (cpu, memory, ports), count, grouped)| {
            let nodes: Vec<ContainerInstance> = (0_u128..)
                .zip(shapes)
                .map(|(number, (zone, cpu, memory, luck))| {
                    let mut made = node(number, ZONES[zone], cpu, memory);
                    made.connected = luck != 0;
                    made.status = if luck == 1 { InstanceStatus::Draining } else { InstanceStatus::Active };
                    made
                })
                .collect();
            let tasks = (0_u128..).zip(tasks).filter_map(|(number, (at, created))| {
                let zone = nodes.get(at as usize)?.registration.zone.to_string();
                Some(task(number, &zone, at, TaskStatus::Running, created))
            });
            Case { tasks: tasks.collect(), nodes, wanted: reservation(cpu, memory, &ports), count, grouped }
        },
    )
}

/// The obvious way: for each task, ask every node.
fn place_slowly(case: &Case) -> Vec<ContainerInstanceId> {
    let mut placed: Vec<ContainerInstanceId> = Vec::new();
    for _ in 0..case.count {
        let mut nodes = case.nodes();
        for at in &placed {
            take(&mut nodes, *at, &case.wanted);
        }
        let on_node = |id: ContainerInstanceId| {
            let before = case.tasks.iter().filter(|task| case.grouped && task.instance == id).count();
            before + placed.iter().filter(|at| **at == id).count()
        };
        let in_zone = |zone: &Zone| {
            case.nodes
                .iter()
                .filter(|node| node.registration.zone == *zone)
                .map(|node| on_node(node.id))
                .sum::<usize>()
        };
        let fitting = nodes.iter().filter(|node| filter::fits(node, &case.wanted.clone().into()));
        let best = fitting.min_by_key(|node| {
            (in_zone(node.zone()), on_node(node.id()), node.free_memory(), node.free_cpu(), node.id())
        });
        match best {
            Some(node) => placed.push(node.id()),
            None => break,
        }
    }
    placed
}

/// Puts one task on one node of a copy, through the front door: a request that only this node can take.
fn take(nodes: &mut Nodes, at: ContainerInstanceId, wanted: &Reservation) {
    let only = nodes.find(at).unwrap().clone();
    let rest: Vec<_> = nodes
        .iter()
        .map(|node| {
            let resources = &node.instance().registration.resources;
            let mut load = InstanceLoad {
                cpu: resources.cpu.saturating_sub(node.free_cpu()),
                memory: resources.memory.saturating_sub(node.free_memory()),
                tasks: (0..node.tasks() as u128).map(TaskId::from_bits).collect(),
                ..InstanceLoad::default()
            };
            let held = wanted
                .ports
                .iter()
                .filter(|port| !node.port_is_free(**port) && !resources.reserved_ports.contains(port));
            load.ports.extend(held.copied());
            if node.id() == only.id() {
                load.cpu = load.cpu.saturating_add(wanted.cpu);
                load.memory = load.memory.saturating_add(wanted.memory);
                load.tasks.insert(TaskId::from_bits(u128::MAX));
                load.ports.extend(wanted.ports.iter().copied());
            }
            (Arc::new(node.instance().clone()), Arc::new(load))
        })
        .collect();
    *nodes = Nodes::new(rest.into_iter());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_gives_what_the_slow_way_gives(case in any_case()) {
        let placed = place_on(&mut case.nodes(), &case.request());
        let fast: Vec<ContainerInstanceId> = placed.placements.iter().map(|one| one.instance).collect();
        prop_assert_eq!(fast, place_slowly(&case));
    }

    #[test]
    fn capacity_is_never_exceeded_and_every_refusal_explained(case in any_case()) {
        let mut nodes = case.nodes();
        let placed = place_on(&mut nodes, &case.request());
        let mut count: BTreeMap<ContainerInstanceId, u32> = BTreeMap::new();
        for one in &placed.placements {
            *count.entry(one.instance).or_default() += 1;
        }
        for (at, tasks) in count {
            let node = case.nodes.iter().find(|node| node.id == at).unwrap();
            let all = &node.registration.resources;
            prop_assert!(node.connected && node.status == InstanceStatus::Active);
            prop_assert!(tasks * case.wanted.cpu.get() <= all.cpu.get());
            prop_assert!(tasks * case.wanted.memory.get() <= all.memory.get());
            prop_assert!(tasks == 1 || case.wanted.ports.is_empty());
            prop_assert!(!case.wanted.ports.contains(&tcp(22)));
        }
        let missing = case.count - placed.placements.len();
        prop_assert_eq!(placed.unplaced.as_ref().map_or(0, |why| why.unplaced), missing);
        if let Some(why) = placed.unplaced {
            prop_assert_eq!(why.refusals.len(), case.nodes.len(), "every node says why");
        }
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter(case in any_case(), seed: u64) {
        let mut shuffled = case.clone();
        let len = shuffled.nodes.len().max(1);
        shuffled.nodes.rotate_left((seed as usize) % len);
        let one = place_on(&mut case.nodes(), &case.request());
        prop_assert_eq!(one, place_on(&mut shuffled.nodes(), &shuffled.request()));
    }

    #[test]
    fn with_room_everywhere_zones_differ_by_one_at_most(
        per_zone_nodes in prop::collection::vec(1..5_usize, 2..4), count in 0..200_usize,
    ) {
        let mut all = Vec::new();
        for (zone, nodes) in per_zone_nodes.iter().enumerate() {
            for _ in 0..*nodes {
                all.push(node(all.len() as u128, ZONES[zone], 1_000_000, 1_000_000));
            }
        }
        let mut nodes = nodes(&all);
        let placed = place_on(&mut nodes, &request(reservation(1, 1, &[]), count));
        prop_assert_eq!(placed.placements.len(), count);
        let zones = per_zone(&nodes, &placed);
        let of = |zone: &str| zones.get(zone).copied().unwrap_or(0);
        let counts: Vec<usize> = ZONES[..per_zone_nodes.len()].iter().map(|zone| of(zone)).collect();
        prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
    }
}
