//! Nodes and tasks in few words.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code)]

pub mod naive;
pub mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_state::index::InstanceLoad;
use trireme_state::object::*;
use trireme_types::*;

pub const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

pub fn id(number: u128) -> ContainerInstanceId {
    ContainerInstanceId::from_bits(number)
}

pub fn tcp(port: u16) -> (Protocol, Port) {
    (Protocol::Tcp, Port::new(port))
}

pub fn reservation(cpu: u32, memory: u32, ports: &[u16]) -> Reservation {
    Reservation {
        cpu: CpuUnits::new(cpu),
        memory: Mebibytes::new(memory),
        ports: ports.iter().map(|port| tcp(*port)).collect(),
    }
}

/// A node in a zone with this much cpu and memory; port 22 is reserved.
pub fn node(number: u128, zone: &str, cpu: u32, memory: u32) -> ContainerInstance {
    ContainerInstance {
        id: id(number),
        registration: InstanceRegistration {
            cluster: ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() },
            name: format!("{zone}/agent-{number}"),
            zone: Zone::new(zone).unwrap(),
            resources: InstanceResources {
                cpu: CpuUnits::new(cpu),
                memory: Mebibytes::new(memory),
                reserved_ports: vec![tcp(22)],
            },
            attributes: BTreeMap::new(),
            agent_version: String::new(),
            docker_version: String::new(),
        },
        status: InstanceStatus::Active,
        connected: true,
        epoch: SessionEpoch::new(1),
        tags: Tags::new(),
        registered_at: Timestamp::EPOCH,
        session_opened_at: Timestamp::EPOCH,
        version: 1,
    }
}

/// The same node with so many GPUs.
pub fn with_gpus(mut node: ContainerInstance, count: usize) -> ContainerInstance {
    let ids: Vec<String> = (0..count).map(|number| format!("GPU-{number}")).collect();
    if count > 0 {
        node.registration.attributes.insert(trireme_types::capability::GPUS.to_owned(), ids.join(","));
    }
    node
}

pub fn task(number: u128, zone: &str, node: u128, status: TaskStatus, created: u64) -> Task {
    Task {
        id: TaskId::from_bits(number),
        cluster: ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() },
        definition: TaskDefinitionKey {
            scope: Scope::development(),
            family: Family::new("web").unwrap(),
            revision: 1,
        },
        origin: TaskOrigin::Standalone,
        instance: id(node),
        zone: Zone::new(zone).unwrap(),
        reservation: Reservation::default(),
        overrides: TaskOverrides::default(),
        group: "family:web".to_owned(),
        started_by: None,
        tags: Tags::new(),
        desired_status: DesiredStatus::Running,
        last_status: status,
        times: TaskTimes { created_at: Timestamp::from_millis(created), ..TaskTimes::default() },
        stop_code: None,
        stopped_reason: None,
        containers: Vec::new(),
        version: 1,
    }
}

pub fn nodes(of: &[ContainerInstance]) -> trireme_scheduler::Nodes {
    trireme_scheduler::Nodes::new(
        of.iter().map(|node| (Arc::new(node.clone()), Arc::new(InstanceLoad::default()))),
    )
}
