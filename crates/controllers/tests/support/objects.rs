//! Keys, and objects with what a story needs of them.

use std::collections::BTreeMap;

use trireme_state::command::TaskReport;
use trireme_state::object::*;
use trireme_types::*;

pub fn cluster() -> ClusterKey {
    ClusterKey { scope: Scope::development(), name: ClusterName::default_cluster() }
}

pub fn service_key(name: &str) -> ServiceKey {
    ServiceKey { cluster: cluster(), name: ServiceName::new(name).unwrap() }
}

pub fn definition(family: &str, revision: u32) -> TaskDefinitionKey {
    TaskDefinitionKey { scope: Scope::development(), family: Family::new(family).unwrap(), revision }
}

pub fn container(cpu: u32, memory: u32, port: Option<u16>) -> ContainerDefinition {
    let mapping = |port| PortMapping {
        container_port: Port::new(80),
        host_port: Some(Port::new(port)),
        protocol: Protocol::Tcp,
        name: None,
    };
    ContainerDefinition {
        name: ContainerName::new("main").unwrap(),
        image: "busybox".to_owned(),
        cpu: CpuUnits::new(cpu),
        memory: Some(Mebibytes::new(memory)),
        memory_reservation: None,
        essential: true,
        port_mappings: port.map(mapping).into_iter().collect(),
        entry_point: None,
        command: None,
        environment: Vec::new(),
        working_directory: None,
        user: None,
        hostname: None,
        docker_labels: BTreeMap::new(),
        stop_timeout: None,
        readonly_root_filesystem: None,
        interactive: None,
        pseudo_terminal: None,
        described: BTreeMap::new(),
    }
}

pub fn configuration((maximum_percent, minimum_healthy_percent): (u32, u32)) -> DeploymentConfiguration {
    DeploymentConfiguration { maximum_percent, minimum_healthy_percent }
}

pub fn registration(name: String, zone: &str, cpu: u32, memory: u32) -> InstanceRegistration {
    InstanceRegistration {
        cluster: cluster(),
        name,
        zone: Zone::new(zone).unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(cpu),
            memory: Mebibytes::new(memory),
            reserved_ports: vec![(Protocol::Tcp, Port::new(22))],
        },
        attributes: BTreeMap::from([(capability::of_setting("healthCheck"), String::new())]),
        agent_version: "0".to_owned(),
        docker_version: "0".to_owned(),
    }
}

pub fn report(task: &Task, status: TaskStatus, stop_code: Option<StopCode>) -> TaskReport {
    let mut report = TaskReport::of(task, status, stop_code);
    if stop_code == Some(StopCode::EssentialContainerExited) {
        report.containers.iter_mut().for_each(|container| container.exit_code = Some(1));
    }
    report
}
