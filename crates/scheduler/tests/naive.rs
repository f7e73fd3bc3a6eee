//! The same answers as the obvious slow way, on any cluster, for any rules; and what is always true of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::naive::Naive;
use support::world::{add_task, cluster, give, give_gpus, happen, state_of};
use support::*;
use trireme_scheduler::{Answer, Group, Nodes, Request, Wanted, explain_all, place_on};
use trireme_state::object::*;
use trireme_state::{Event, State};
use trireme_types::*;

const GROUPS: [&str; 3] = ["family:web", "family:db", "service:api"];

const EXPRESSIONS: [&str; 14] = [
    "attribute:disk == ssd",
    "attribute:rack in [r1, r2]",
    "attribute:rack !exists",
    "attribute:rack > r1 and agentConnected == true",
    "not(task:group == family:web)",
    "task:group == family:db",
    "task:group == service:api or attribute:disk exists",
    "task:group =~ family:.*",
    "task:group !exists",
    "not(task:group in [family:db, service:api]) and runningTasksCount < 3",
    "attribute:ecs.availability-zone != us-east-1b",
    "ec2InstanceId =~ .*agent-[1-5]",
    "registeredAt > 1970-01-01 or agentVersion exists",
    "((",
];

fn strategies() -> Vec<PlacementStrategy> {
    let spread = |name: &str| PlacementStrategy::Spread(SpreadField::Attribute(name.to_owned()));
    vec![
        spread("ecs.availability-zone"),
        spread("rack"),
        spread("disk"),
        PlacementStrategy::Spread(SpreadField::InstanceId),
        PlacementStrategy::Binpack(BinpackField::Cpu),
        PlacementStrategy::Binpack(BinpackField::Memory),
        PlacementStrategy::Random,
    ]
}

/// What is asked in one request.
#[derive(Debug, Clone)]
struct Shape {
    group: usize,
    counted: bool,
    cpu: u32,
    memory: u32,
    ports: Vec<u16>,
    gpus: u32,
    rules: PlacementRules,
    count: usize,
}

/// A cluster, and requests one after another on one copy of it.
#[derive(Debug, Clone)]
struct Case {
    state: State,
    shapes: Vec<Shape>,
}

impl Case {
    fn request(&self, shape: &Shape) -> (Request, Option<Vec<ContainerInstanceId>>) {
        let name = GROUPS[shape.group];
        let tasks = self.state.tasks_of_group(&cluster(), name);
        let tasks: Vec<&Task> = tasks.iter().map(AsRef::as_ref).filter(|task| task.wanted()).collect();
        let group = match shape.counted {
            true => Group::of_tasks(name, tasks.iter().copied()),
            false => Group::among_all(name),
        };
        let wanted = Wanted { gpus: shape.gpus, ..reservation(shape.cpu, shape.memory, &shape.ports).into() };
        let counted = shape.counted.then(|| tasks.iter().map(|task| task.instance).collect());
        (Request { wanted, group, rules: shape.rules.clone(), count: shape.count }, counted)
    }
}

fn any_rules() -> impl Strategy<Value = PlacementRules> {
    let strategy = prop::collection::vec(prop::sample::select(strategies()), 0..4);
    let member =
        (0..EXPRESSIONS.len()).prop_map(|at| PlacementConstraint::MemberOf(EXPRESSIONS[at].to_owned()));
    let constraint = prop_oneof![1 => Just(PlacementConstraint::DistinctInstance), 3 => member];
    let constraints = prop_oneof![2 => Just(Vec::new()), 2 => prop::collection::vec(constraint, 1..3)];
    (constraints, strategy).prop_map(|(constraints, strategy)| PlacementRules { constraints, strategy })
}

prop_compose! {
    fn any_shape()(
        (group, counted) in (0..GROUPS.len(), prop::bool::weighted(0.8)),
        (cpu, memory) in (0..400_u32, 0..400_u32),
        ports in prop::collection::vec(20..26_u16, 0..2),
        gpus in prop_oneof![2 => Just(0_u32), 1 => 1..3_u32],
        rules in any_rules(),
        count in 0..24_usize,
    ) -> Shape {
        Shape { group, counted, cpu, memory, ports, gpus, rules, count }
    }
}

/// Nodes of few or many sizes, some of them not ready, with racks and disks, and tasks of all groups on them.
fn any_state() -> impl Strategy<Value = State> {
    let size = prop_oneof![Just(1_024_u32), 0..2_048_u32];
    let gpus = prop_oneof![Just(0_usize), 0..5_usize];
    let shape = (0..3_usize, size.clone(), size, gpus, 0..12_u8, 0..4_usize, 0..3_usize);
    let tasks = prop::collection::vec((0..30_u128, 0..GROUPS.len(), 0..6_u8), 0..16);
    (prop::collection::vec(shape, 0..30), tasks).prop_map(|(shapes, tasks)| {
        let mut nodes = Vec::new();
        for (number, (zone, cpu, memory, gpus, luck, ..)) in (0_u128..).zip(&shapes) {
            let mut made = with_gpus(node(number, ZONES[*zone], *cpu, *memory), *gpus);
            made.status = if *luck == 1 { InstanceStatus::Draining } else { InstanceStatus::Active };
            nodes.push(made);
        }
        let mut state = state_of(nodes.iter());
        for (number, (.., luck, rack, disk)) in (0_u128..).zip(&shapes) {
            if *rack > 0 {
                give(&mut state, id(number), "rack", ["", "r1", "r2", "r3"][*rack]);
            }
            if *disk > 0 {
                give(&mut state, id(number), "disk", ["", "ssd", "hdd"][*disk]);
            }
            if *luck == 2 {
                let until = Timestamp::from_millis(5_000);
                happen(&mut state, Event::InstanceAbsent { instance: id(number), until });
            }
        }
        add_tasks(&mut state, &nodes, tasks);
        for (number, (.., luck, _, _)) in (0_u128..).zip(&shapes) {
            if *luck == 0 && state.index().instance_load(id(number)).tasks.is_empty() {
                let epoch = SessionEpoch::new(1);
                happen(&mut state, Event::InstanceLost { instance: id(number), epoch });
            }
        }
        state
    })
}

fn add_tasks(state: &mut State, nodes: &[ContainerInstance], tasks: Vec<(u128, usize, u8)>) {
    let name = ServiceName::new("api").unwrap();
    happen(
        state,
        Event::ServiceCreated {
            key: ServiceKey { cluster: cluster(), name: name.clone() },
            spec: ServiceSpec {
                task_definition: task(0, ZONES[0], 0, TaskStatus::Pending, 0).definition,
                desired_count: 0,
                deployment_configuration: DeploymentConfiguration::default(),
                propagate_tags: PropagateTags::None,
                enable_ecs_managed_tags: false,
                health_check_grace_period_seconds: None,
                role_arn: None,
                described: Described::new(),
            },
            tags: Tags::new(),
            created_by: String::new(),
            deployment: DeploymentId::from_random(1),
        },
    );
    for (number, (at, group, luck)) in (1_000_u128..).zip(tasks) {
        let Some(at) = nodes.get(at as usize) else { continue };
        let status = if luck < 3 { TaskStatus::Running } else { TaskStatus::Pending };
        let mut made = task(number, at.registration.zone.as_str(), at.id.bits(), status, 0);
        made.group = GROUPS[group].to_owned();
        if group == 2 {
            let deployment = DeploymentId::from_random(1);
            made.origin = TaskOrigin::Service { name: name.clone(), deployment };
        }
        if luck == 5 {
            made.desired_status = DesiredStatus::Stopped;
        }
        let id = made.id;
        add_task(state, made);
        let at = state.instance(at.id).unwrap();
        let free = at.registration.gpus().len() - state.index().instance_load(at.id).gpus.len();
        give_gpus(state, id, u32::from(luck % 2 == 0 && free > 0));
    }
}

fn any_case() -> impl Strategy<Value = Case> {
    let shapes = prop::collection::vec(any_shape(), 1..4);
    (any_state(), shapes).prop_map(|(state, shapes)| Case { state, shapes })
}

/// How many tasks one more after another fit into each zone, and how many of the group are there.
fn zones(case: &Case, shape: &Shape) -> BTreeMap<String, (usize, usize)> {
    let (request, counted) = case.request(shape);
    let mut zones: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for node in case.state.instances() {
        let (mut state, mut room) = (case.state.clone(), 0);
        let mut naive = Naive::new(&request, None, 10_000);
        while room < request.count && naive.fits(&state, node) {
            naive.take(&mut state, node.id);
            room += 1;
        }
        let here = counted.iter().flatten().filter(|id| **id == node.id).count();
        let zone = zones.entry(node.registration.zone.to_string()).or_default();
        *zone = (zone.0 + room, zone.1 + here);
    }
    zones
}

fn skew(counts: impl Iterator<Item = usize> + Clone) -> usize {
    counts.clone().max().unwrap_or(0) - counts.min().unwrap_or(0)
}

/// Whether some way to place so many over these zones leaves them even.
fn can_be_even(zones: &[(usize, usize)], count: usize) -> bool {
    fn try_all(left: &[(usize, usize)], count: usize, done: &mut Vec<usize>) -> bool {
        match left.split_first() {
            None => count == 0 && skew(done.iter().copied()) <= 1,
            Some(((room, here), rest)) => (0..=count.min(*room)).any(|more| {
                done.push(here + more);
                let found = try_all(rest, count - more, done);
                done.pop();
                found
            }),
        }
    }
    try_all(zones, count, &mut Vec::new())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_gives_what_the_slow_way_gives(case in any_case()) {
        let mut nodes = Nodes::of_cluster(&case.state, &cluster());
        let (mut state, mut next) = (case.state.clone(), 10_000);
        for shape in &case.shapes {
            let (request, counted) = case.request(shape);
            let placed = place_on(&mut nodes, &request);
            let missing = request.count - placed.placements.len();
            prop_assert_eq!(placed.unplaced.as_ref().map_or(0, |why| why.unplaced), missing);
            if let Some(why) = &placed.unplaced {
                let nodes = case.state.instances().count();
                prop_assert_eq!((why.refusals.len(), why.reasons.values().sum::<usize>()), (nodes, nodes));
            }
            let followed = Naive::new(&request, counted, next).follow(&mut state, &placed.placements);
            prop_assert!(followed.is_ok(), "{:?}", followed);
            next = followed.unwrap();
        }
    }

    #[test]
    fn what_is_explained_is_what_happens(case in any_case()) {
        let shape = &case.shapes[0];
        let (mut request, counted) = case.request(shape);
        request.count = request.count.max(1);
        let placed = place_on(&mut Nodes::of_cluster(&case.state, &cluster()), &request);
        let answers = explain_all(&mut Nodes::of_cluster(&case.state, &cluster()), &request);
        let mut state = case.state.clone();
        let mut naive = Naive::new(&request, counted, 10_000);
        for placement in placed.placements.iter().take(request.count - 1) {
            naive.take(&mut state, placement.instance);
        }
        for answer in &answers {
            let fits = naive.fits(&state, state.instance(answer.instance).unwrap());
            prop_assert_eq!(fits, matches!(answer.answer, Answer::Scored(_)), "{:?}", answer);
        }
        let chosen = answers.iter().find(|one| one.chosen).map(|one| one.instance);
        let last = placed.placements.get(request.count - 1).map(|one| one.instance);
        prop_assert_eq!(chosen, last);
    }

    #[test]
    fn zones_are_even_whenever_they_can_be(mut case in any_case(), explicit: bool) {
        let shape = &mut case.shapes[0];
        shape.counted = true;
        shape.count = shape.count.min(12);
        match explicit {
            true => shape.rules.strategy.insert(0, strategies()[0].clone()),
            false => shape.rules.strategy.clear(),
        }
        let shape = case.shapes[0].clone();
        let mut before = zones(&case, &shape);
        let (request, _) = case.request(&shape);
        let placed = place_on(&mut Nodes::of_cluster(&case.state, &cluster()), &request).placements;
        let room: usize = before.values().map(|(room, _)| room).sum();
        prop_assert_eq!(placed.len(), request.count.min(room), "all that fits");
        let all: Vec<(usize, usize)> = before.values().copied().collect();
        for placement in &placed {
            let zone = &case.state.instance(placement.instance).unwrap().registration.zone;
            before.get_mut(zone.as_str()).unwrap().1 += 1;
        }
        let even = skew(before.values().map(|(_, tasks)| *tasks)) <= 1;
        prop_assert!(even || !can_be_even(&all, placed.len()), "{:?} from {:?}", before, all);
    }
}
