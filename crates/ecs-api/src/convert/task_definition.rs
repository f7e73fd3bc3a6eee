//! Task definitions, with the defaults that ECS fills in.

use trireme_ecs_model::shapes::{self, Attribute, KeyValuePair};
use trireme_scheduler::requirement;
use trireme_state::object::{
    Compatibility, ContainerDefinition, NetworkMode, PLACEMENT_CONSTRAINTS, PortMapping, TaskDefinition,
    TaskDefinitionKey, TaskDefinitionSpec, TaskDefinitionStatus,
};
use trireme_types::arn::Resource;
use trireme_types::{Arn, Protocol};

use super::{described, number, time};

pub(crate) fn arn(key: &TaskDefinitionKey) -> String {
    Arn::new(&key.scope, Resource::TaskDefinition(key.family.clone(), key.revision)).to_string()
}

pub(crate) fn describe(definition: &TaskDefinition) -> shapes::TaskDefinition {
    let spec = &definition.spec;
    let containers: Vec<shapes::ContainerDefinition> =
        spec.containers.iter().map(|one| container(one, spec.network_mode)).collect();
    let attributes = requirement::attributes(spec).into_iter();
    let attributes = attributes.map(|name| Attribute { name: Some(name), ..Default::default() }).collect();
    let requires: Vec<shapes::Compatibility> =
        spec.requires_compatibilities.iter().map(|one| compatibility(*one)).collect();
    shapes::TaskDefinition {
        task_definition_arn: Some(arn(&definition.key)),
        container_definitions: Some(containers),
        family: Some(definition.key.family.to_string()),
        task_role_arn: spec.task_role_arn.clone(),
        execution_role_arn: spec.execution_role_arn.clone(),
        network_mode: spec.network_mode.map(network_mode),
        revision: Some(number(definition.key.revision)),
        volumes: Some(described::read(&spec.described, described::VOLUMES).unwrap_or_default()),
        status: Some(match definition.status {
            TaskDefinitionStatus::Active => shapes::TaskDefinitionStatus::Active,
            TaskDefinitionStatus::Inactive => shapes::TaskDefinitionStatus::Inactive,
            TaskDefinitionStatus::DeleteInProgress => shapes::TaskDefinitionStatus::DeleteInProgress,
        }),
        requires_attributes: Some(attributes),
        placement_constraints: Some(
            described::read(&spec.described, PLACEMENT_CONSTRAINTS).unwrap_or_default(),
        ),
        compatibilities: Some(compatibilities(spec)),
        runtime_platform: described::read(&spec.described, described::RUNTIME_PLATFORM),
        ephemeral_storage: described::read(&spec.described, described::EPHEMERAL_STORAGE),
        ipc_mode: described::read(&spec.described, described::IPC_MODE),
        pid_mode: described::read(&spec.described, described::PID_MODE),
        enable_fault_injection: described::read(&spec.described, described::FAULT_INJECTION),
        requires_compatibilities: Some(requires).filter(|list| !list.is_empty()),
        cpu: spec.cpu.map(|cpu| cpu.to_string()),
        memory: spec.memory.map(|memory| memory.to_string()),
        registered_at: Some(time(definition.registered_at)),
        deregistered_at: definition.deregistered_at.map(time),
        registered_by: Some(definition.registered_by.clone()),
        ..Default::default()
    }
}

/// Where it may run. There are no managed instances.
fn compatibilities(spec: &TaskDefinitionSpec) -> Vec<shapes::Compatibility> {
    use shapes::Compatibility::{Ec2, External, Fargate, ManagedInstances};
    if spec.network_mode != Some(NetworkMode::Awsvpc) {
        return vec![External, Ec2];
    }
    let fargate = trireme_scheduler::fargate::is_compatible(spec).then_some(Fargate);
    [Ec2].into_iter().chain(fargate).chain([ManagedInstances]).collect()
}

fn network_mode(mode: NetworkMode) -> shapes::NetworkMode {
    match mode {
        NetworkMode::Bridge => shapes::NetworkMode::Bridge,
        NetworkMode::Host => shapes::NetworkMode::Host,
        NetworkMode::None => shapes::NetworkMode::None,
        NetworkMode::Awsvpc => shapes::NetworkMode::Awsvpc,
    }
}

fn compatibility(compatibility: Compatibility) -> shapes::Compatibility {
    match compatibility {
        Compatibility::Ec2 => shapes::Compatibility::Ec2,
        Compatibility::Fargate => shapes::Compatibility::Fargate,
        Compatibility::External => shapes::Compatibility::External,
    }
}

fn container(container: &ContainerDefinition, mode: Option<NetworkMode>) -> shapes::ContainerDefinition {
    let ports = container.port_mappings.iter().map(|mapping| port(mapping, mode)).collect();
    let environment = container.environment.iter().map(|(name, value)| pair(name, value)).collect();
    let labels = Some(container.docker_labels.clone()).filter(|labels| !labels.is_empty());
    let answer = shapes::ContainerDefinition {
        name: Some(container.name.to_string()),
        image: Some(container.image.clone()),
        cpu: Some(number(container.cpu.get())),
        memory: container.memory.map(|memory| number(memory.get())),
        memory_reservation: container.memory_reservation.map(|memory| number(memory.get())),
        port_mappings: Some(ports),
        essential: Some(container.essential),
        entry_point: container.entry_point.clone(),
        command: container.command.clone(),
        environment: Some(environment),
        mount_points: Some(Vec::new()),
        volumes_from: Some(Vec::new()),
        stop_timeout: container.stop_timeout.map(number),
        hostname: container.hostname.clone(),
        user: container.user.clone(),
        working_directory: container.working_directory.clone(),
        readonly_root_filesystem: container.readonly_root_filesystem,
        interactive: container.interactive,
        pseudo_terminal: container.pseudo_terminal,
        docker_labels: labels,
        system_controls: Some(Vec::new()),
        ..Default::default()
    };
    described::into_container(&container.described, answer)
}

pub(crate) fn pair(name: &str, value: &str) -> KeyValuePair {
    KeyValuePair { name: Some(name.to_owned()), value: Some(value.to_owned()) }
}

/// A host port that was left out is 0 on a bridge, and the container's own on the host's or the task's own network.
fn port(mapping: &PortMapping, mode: Option<NetworkMode>) -> shapes::PortMapping {
    let host = mapping.host_port.filter(|port| port.get() != 0);
    let host = match mode {
        Some(NetworkMode::Host | NetworkMode::Awsvpc) => host.or(Some(mapping.container_port)),
        _ => host,
    };
    shapes::PortMapping {
        container_port: Some(number(mapping.container_port.get())),
        host_port: Some(host.map_or(0, |port| number(port.get()))),
        protocol: Some(protocol(mapping.protocol)),
        name: mapping.name.clone(),
        ..Default::default()
    }
}

pub(crate) fn protocol(protocol: Protocol) -> shapes::TransportProtocol {
    match protocol {
        Protocol::Tcp => shapes::TransportProtocol::Tcp,
        Protocol::Udp => shapes::TransportProtocol::Udp,
    }
}
