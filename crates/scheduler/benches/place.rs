//! Placements per second: 10,000 nodes that hold 100,000 tasks, spread over zones. The budget is 50,000 on one core.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trireme_scheduler::{Group, Nodes, Request, place_on};
use trireme_state::index::InstanceLoad;
use trireme_state::object::{
    ClusterKey, ContainerInstance, InstanceRegistration, InstanceResources, InstanceStatus, Reservation, Tags,
};
use trireme_types::{
    ClusterName, ContainerInstanceId, CpuUnits, Mebibytes, Scope, SessionEpoch, TaskId, Timestamp, Zone,
};

const NODES: u128 = 10_000;
const TASKS_PER_NODE: u128 = 10;

fn node(number: u128) -> (Arc<ContainerInstance>, Arc<InstanceLoad>) {
    let zone = ["us-east-1a", "us-east-1b", "us-east-1c"][(number % 3) as usize];
    let registration = InstanceRegistration {
        cluster: ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() },
        name: format!("{zone}/{number}"),
        zone: Zone::new(zone).expect("a valid name"),
        resources: InstanceResources {
            cpu: CpuUnits::new(65_536),
            memory: Mebibytes::new(262_144),
            reserved_ports: Vec::new(),
        },
        attributes: BTreeMap::new(),
        agent_version: String::new(),
        docker_version: String::new(),
    };
    let instance = ContainerInstance {
        id: ContainerInstanceId::from_bits(number),
        registration,
        status: InstanceStatus::Active,
        connected: true,
        epoch: SessionEpoch::new(1),
        tags: Tags::new(),
        registered_at: Timestamp::EPOCH,
        session_opened_at: Timestamp::EPOCH,
        version: 1,
    };
    let first = number * TASKS_PER_NODE;
    let load = InstanceLoad {
        tasks: (first..first + TASKS_PER_NODE).map(TaskId::from_bits).collect(),
        cpu: CpuUnits::new(2_560 + (number % 7) as u32 * 64),
        memory: Mebibytes::new(5_120 + (number % 5) as u32 * 128),
        ..InstanceLoad::default()
    };
    (Arc::new(instance), Arc::new(load))
}

fn main() {
    let nodes = Nodes::new((0..NODES).map(node));
    let reservation = Reservation { cpu: CpuUnits::new(128), memory: Mebibytes::new(256), ports: Vec::new() };
    for count in [1, 10, 500, 5_000, 50_000] {
        let request = Request { wanted: reservation.clone().into(), group: Group::EveryTask, count };
        let (mut placed, mut spent) = (0, std::time::Duration::ZERO);
        while spent.as_millis() < 500 {
            let mut copy = nodes.clone();
            let start = Instant::now();
            placed += place_on(&mut copy, &request).placements.len();
            spent += start.elapsed();
        }
        println!("{count:>6} a call: {:>10.0} placements/s", placed as f64 / spent.as_secs_f64());
    }
}
