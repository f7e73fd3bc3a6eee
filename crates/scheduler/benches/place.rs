//! Placements per second on one core: 100,000 tasks of 1,000 services on 10,000 nodes in three zones, spread over zones, a fifth of them bound to
//! the members of an expression, a tenth with a fixed port each. The cluster is 70 % full when it begins. A placer that looks at every node for
//! each task checks a hundredth of the answers. The budget is 50,000.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use support::naive::Naive;
use support::world::{add_task, cluster, state_of};
use support::*;
use trireme_scheduler::{Group, Nodes, Request, place_on};
use trireme_state::State;
use trireme_state::object::*;

const NODES: u128 = 10_000;
const SERVICES: u64 = 1_000;
const TASKS_PER_SERVICE: usize = 100;
/// Of each node that is taken before the first placement.
const FULL_PERCENT: u32 = 70;
/// Services whose answers are checked: a hundredth of all.
const CHECKED: u64 = SERVICES / 100;
const CPU: u32 = 16_384;
const MEMORY: u32 = 65_536;

/// Numbers that follow from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn machine(number: u128, numbers: &mut Numbers) -> ContainerInstance {
    let mut made = node(number, ZONES[(number % 3) as usize], CPU, MEMORY);
    let attributes = [
        (
            "ecs.instance-type",
            format!("m5.{}", ["large", "xlarge", "2xlarge", "4xlarge"][numbers.below(4) as usize]),
        ),
        ("serial", number.to_string()),
        ("rack", format!("r{}", numbers.below(40))),
        ("disk", ["ssd", "hdd", "none"][numbers.below(3) as usize].to_owned()),
    ];
    made.registration.attributes = attributes.map(|(name, value)| (name.to_owned(), value)).into();
    made
}

/// The cluster, and the number of the next task.
fn cluster_before(numbers: &mut Numbers) -> (State, u128) {
    let nodes: Vec<ContainerInstance> = (0..NODES).map(|number| machine(number, numbers)).collect();
    let mut state = state_of(nodes.iter());
    let mut next = 0;
    for node in &nodes {
        // Ten tasks of others, not all of one size.
        for at in 0..10 {
            let share = |of: u32| of / 10 * FULL_PERCENT / 100;
            let more = numbers.below(200) as u32;
            let mut made =
                task(next, node.registration.zone.as_str(), node.id.bits(), TaskStatus::Running, at);
            made.group = format!("family:batch-{}", numbers.below(100));
            made.reservation = reservation(share(CPU) - 100 + more, share(MEMORY) - 400 + 4 * more, &[]);
            add_task(&mut state, made);
            next += 1;
        }
    }
    (state, next)
}

const EXPRESSIONS: [&str; 4] = [
    "attribute:ecs.instance-type == m5.large",
    "attribute:disk in [ssd, hdd] and attribute:rack =~ r[1-3].*",
    "attribute:rack == r7 or attribute:rack == r17",
    "not(task:group =~ family:batch-9.) and attribute:disk != none",
];

fn service(number: u64, numbers: &mut Numbers) -> Request {
    let mut constraints = Vec::new();
    if number.is_multiple_of(5) {
        constraints.push(PlacementConstraint::MemberOf(EXPRESSIONS[numbers.below(4) as usize].to_owned()));
    }
    let zones = PlacementStrategy::Spread(SpreadField::Attribute("ecs.availability-zone".to_owned()));
    let strategy = if number.is_multiple_of(2) { Vec::new() } else { vec![zones] };
    let port = 1_024 + (number % 40_000) as u16;
    let ports: &[u16] = if number % 10 == 3 { &[port] } else { &[] };
    let (cpu, memory) = (64 + 32 * numbers.below(8) as u32, 128 + 64 * numbers.below(8) as u32);
    Request {
        wanted: reservation(cpu, memory, ports).into(),
        group: Group::of_tasks(format!("service:s{number}"), std::iter::empty()),
        rules: PlacementRules { constraints, strategy },
        count: TASKS_PER_SERVICE,
    }
}

/// Places all in requests of so many tasks each, and gives the time.
fn place_all(state: &State, requests: &[Request], each: usize) -> (usize, Duration) {
    let start = Instant::now();
    let mut nodes = Nodes::of_cluster(state, &cluster());
    let mut placed = 0;
    for request in requests {
        let mut left = request.count;
        while left > 0 {
            let part = Request { count: each.min(left), ..request.clone() };
            placed += place_on(&mut nodes, &part).placements.len();
            left -= part.count;
        }
    }
    (placed, start.elapsed())
}

fn main() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(6);
    println!("SEED={seed}");
    let mut numbers = Numbers(seed);
    let (mut state, mut next) = cluster_before(&mut numbers);
    let requests: Vec<Request> = (0..SERVICES).map(|number| service(number, &mut numbers)).collect();
    for each in [TASKS_PER_SERVICE, 10, 1] {
        let (placed, took) = place_all(&state, &requests, each);
        let rate = placed as f64 / took.as_secs_f64();
        println!("{each:>4} a request: {placed} tasks placed, {rate:>10.0} placements/s on one core");
    }

    for (what, field) in [
        ("instances", SpreadField::InstanceId),
        ("10,000 values", SpreadField::Attribute("serial".to_owned())),
    ] {
        let rules = PlacementRules { strategy: vec![PlacementStrategy::Spread(field)], ..Default::default() };
        let spread = requests.iter().take(50).map(|one| Request { rules: rules.clone(), ..one.clone() });
        let (placed, took) = place_all(&state, &spread.collect::<Vec<_>>(), TASKS_PER_SERVICE);
        let rate = placed as f64 / took.as_secs_f64();
        println!("     spread over {what}: {placed} tasks placed, {rate:>10.0} placements/s on one core");
    }

    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let start = Instant::now();
    for request in &requests {
        let large = Request { wanted: reservation(CPU, 1, &[]).into(), ..request.clone() };
        assert!(place_on(&mut nodes, &large).placements.is_empty());
    }
    let rate = SERVICES as f64 / start.elapsed().as_secs_f64();
    println!("{rate:>10.0} requests/s that find no place and are told why");

    let checked: Vec<u64> = (0..CHECKED).map(|_| numbers.below(SERVICES)).collect();
    let mut nodes = Nodes::of_cluster(&state, &cluster());
    let mut followed = 0;
    for (number, request) in (0..).zip(&requests) {
        let placed = place_on(&mut nodes, request).placements;
        let mut naive = Naive::new(request, Some(Vec::new()), next);
        if checked.contains(&number) {
            followed += placed.len();
            next = naive.follow(&mut state, &placed).expect("the obvious placer agrees");
        } else {
            placed.iter().for_each(|placement| naive.take(&mut state, placement.instance));
            next = naive.next;
        }
    }
    println!("{followed} of them checked by the obvious placer, which agrees");
}
