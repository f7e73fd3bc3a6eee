//! RegisterTaskDefinition's input: checked with ECS's words, and turned into what is registered.

use std::collections::{BTreeMap, BTreeSet};

use trireme_ecs_model::shapes::{self, RegisterTaskDefinitionRequest};
use trireme_state::object::{
    Compatibility, ContainerDefinition, NetworkMode, PortMapping, TaskDefinitionSpec,
};
use trireme_types::{ContainerName, CpuUnits, Mebibytes, Port, Protocol};

use super::{
    container_order, container_settings, described, fargate, health_check, namespaces, placement, port_range,
    role, volumes,
};
use crate::error::{Error, Result, sentence};
use crate::unsupported;

/// ECS API: containers in a task definition.
const CONTAINERS: usize = 10;
/// Docker refuses containers with less, in MiB.
const LEAST_MEMORY: i32 = 6;
/// ECS API: the smallest stopTimeout that ECS takes.
const LEAST_STOP_TIMEOUT: i32 = 2;
/// ECS API: the size of a task definition, in bytes.
const LARGEST: usize = 64 * 1024;

/// What to register.
pub(crate) fn spec(request: &RegisterTaskDefinitionRequest) -> Result<TaskDefinitionSpec> {
    let size = serde_json::to_vec(request).map_or(usize::MAX, |json| json.len());
    if size > LARGEST {
        return Err(Error::client(format!(
            "Actual length: '{size}'. Max allowed length is '{LARGEST}' bytes."
        )));
    }
    unsupported::register_task_definition(request)?;
    let network_mode = request.network_mode.as_ref().and_then(network_mode);
    let (cpu, memory) = (task_cpu(request.cpu.as_deref())?, task_memory(request.memory.as_deref())?);
    let mut compatibilities = request.requires_compatibilities.iter().flatten();
    let fargate = compatibilities.any(|one| *one == shapes::Compatibility::Fargate);
    if fargate {
        fargate::check_definition(network_mode, (cpu, memory))?;
    }
    let given = request.container_definitions.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Err(Error::client("Container list cannot be empty."));
    }
    if given.len() > CONTAINERS {
        return Err(Error::client(format!("A task definition can have at most {CONTAINERS} containers.")));
    }
    let secret = |one: &shapes::ContainerDefinition| one.secrets.iter().flatten().next().is_some();
    if given.iter().any(secret) && request.execution_role_arn.as_ref().is_none_or(String::is_empty) {
        return Err(Error::client(
            "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
        ));
    }
    let containers = given
        .iter()
        .map(|given| container(given, network_mode, memory))
        .collect::<Result<Vec<ContainerDefinition>>>()?;
    let spec = TaskDefinitionSpec {
        containers,
        network_mode,
        cpu,
        memory,
        requires_compatibilities: request
            .requires_compatibilities
            .iter()
            .flatten()
            .map(compatibility)
            .collect(),
        task_role_arn: role::parse(request.task_role_arn.as_ref())?,
        execution_role_arn: role::parse(request.execution_role_arn.as_ref())?,
        described: described::of_task_definition(request),
    };
    placement::of_definition(request.placement_constraints.as_deref().unwrap_or_default())?;
    check_together(&spec)?;
    if fargate {
        fargate::check_machine(&spec)?;
    }
    container_order::check(given, network_mode)?;
    container_settings::check_task(request)?;
    namespaces::check(request, given)?;
    volumes::check(request.volumes.as_deref().unwrap_or_default(), given)?;
    Ok(spec)
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn network_mode(mode: &shapes::NetworkMode) -> Option<NetworkMode> {
    match mode {
        shapes::NetworkMode::Bridge => Some(NetworkMode::Bridge),
        shapes::NetworkMode::Host => Some(NetworkMode::Host),
        shapes::NetworkMode::None => Some(NetworkMode::None),
        shapes::NetworkMode::Awsvpc => Some(NetworkMode::Awsvpc),
        shapes::NetworkMode::Other(_) => None,
    }
}

fn compatibility(compatibility: &shapes::Compatibility) -> Compatibility {
    match compatibility {
        shapes::Compatibility::External => Compatibility::External,
        shapes::Compatibility::Fargate => Compatibility::Fargate,
        _ => Compatibility::Ec2,
    }
}

/// `256`, or `.25 vCPU`: cpu units.
pub(crate) fn task_cpu(text: Option<&str>) -> Result<Option<CpuUnits>> {
    let invalid = || Error::client("Invalid 'cpu' setting for task.");
    let units = quantity(text, "vcpu").map_err(|()| invalid())?;
    // ECS developer guide: task-level cpu is between 128 units and 192 vCPUs.
    if units.is_some_and(|units| !(128..=196_608).contains(&units)) {
        return Err(invalid());
    }
    Ok(units.map(CpuUnits::new))
}

/// `512`, or `0.5 GB`: MiB.
pub(crate) fn task_memory(text: Option<&str>) -> Result<Option<Mebibytes>> {
    let invalid = || Error::client("Invalid 'memory' setting for task.");
    let mebibytes = quantity(text, "gb").map_err(|()| invalid())?;
    if mebibytes.is_some_and(|mebibytes| mebibytes < LEAST_MEMORY.unsigned_abs()) {
        return Err(invalid());
    }
    Ok(mebibytes.map(Mebibytes::new))
}

/// A whole number, or a decimal number of `unit`, of which each is 1,024.
fn quantity(text: Option<&str>, unit: &str) -> std::result::Result<Option<u32>, ()> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let lower = text.to_ascii_lowercase();
    let Some(number) = lower.strip_suffix(unit) else { return text.parse().map(Some).map_err(|_| ()) };
    let number = number.trim();
    let is_decimal = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = if is_decimal { number.parse().map_err(|_| ())? } else { return Err(()) };
    let scaled = (value * 1024.0).round();
    // Within range and whole after rounding, so nothing is cut off.
    if scaled <= f64::from(u32::MAX) { Ok(Some(scaled as u32)) } else { Err(()) }
}

fn container(
    given: &shapes::ContainerDefinition,
    network_mode: Option<NetworkMode>,
    task_memory: Option<Mebibytes>,
) -> Result<ContainerDefinition> {
    let name = given.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Error::client("Container.name should not be null or empty."));
    }
    let name = ContainerName::new(name).map_err(|error| Error::client(sentence(&error)))?;
    let image = given.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(Error::client("Container.image should not be null or empty."));
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) || image.len() > 255 {
        return Err(Error::client("Container.image contains invalid characters."));
    }
    unsupported::container_definition(given)?;
    check_memory(given, &name, task_memory)?;
    container_settings::check(given, &name, network_mode)?;
    let filled_in = port_range::with_defaults(&health_check::with_defaults(given, &name)?);
    let kept = described::of_container(&filled_in);
    let cpu = u32::try_from(given.cpu.unwrap_or(0)).map_err(|_| {
        Error::client(format!("Invalid setting for container '{name}'. 'cpu' must not be negative."))
    })?;
    if given.stop_timeout.is_some_and(|seconds| seconds < LEAST_STOP_TIMEOUT) {
        return Err(Error::client(format!(
            "Invalid setting for container '{name}'. 'stopTimeout' must be at least {LEAST_STOP_TIMEOUT}."
        )));
    }
    port_range::check(given, &name, network_mode)?;
    let single = |mapping: &&shapes::PortMapping| mapping.container_port_range.is_none();
    let ports = given.port_mappings.iter().flatten().filter(single);
    let ports = ports.map(|mapping| port(mapping, &name, network_mode));
    Ok(ContainerDefinition {
        image: image.to_owned(),
        cpu: CpuUnits::new(cpu),
        memory: given.memory.map(mebibytes),
        memory_reservation: given.memory_reservation.map(mebibytes),
        essential: given.essential.unwrap_or(true),
        port_mappings: ports.collect::<Result<_>>()?,
        entry_point: given.entry_point.clone().filter(|words| !words.is_empty()),
        command: given.command.clone().filter(|words| !words.is_empty()),
        environment: environment(given.environment.as_deref().unwrap_or_default())?,
        working_directory: filled(given.working_directory.as_ref()),
        user: filled(given.user.as_ref()),
        hostname: filled(given.hostname.as_ref()),
        docker_labels: given.docker_labels.clone().unwrap_or_default(),
        stop_timeout: given.stop_timeout.map(i32::unsigned_abs),
        readonly_root_filesystem: given.readonly_root_filesystem,
        interactive: given.interactive,
        pseudo_terminal: given.pseudo_terminal,
        described: kept,
        name,
    })
}

/// Only after [`check_memory`]: not negative.
fn mebibytes(value: i32) -> Mebibytes {
    Mebibytes::new(value.unsigned_abs())
}

fn check_memory(
    given: &shapes::ContainerDefinition,
    name: &ContainerName,
    task_memory: Option<Mebibytes>,
) -> Result<()> {
    let wrong = |what: &str| Err(Error::client(format!("Invalid setting for container '{name}'. {what}")));
    if given.memory.is_none() && given.memory_reservation.is_none() && task_memory.is_none() {
        return wrong("At least one of 'memory' or 'memoryReservation' must be specified.");
    }
    for (member, value) in [("memory", given.memory), ("memoryReservation", given.memory_reservation)] {
        if value.is_some_and(|value| value < LEAST_MEMORY) {
            return wrong(&format!("'{member}' must be at least {LEAST_MEMORY}."));
        }
        if let (Some(value), Some(limit)) = (value, task_memory)
            && mebibytes(value) > limit
        {
            return wrong(&format!("'{member}' must not be greater than the task's 'memory'."));
        }
    }
    match (given.memory, given.memory_reservation) {
        (Some(hard), Some(soft)) if soft > hard => {
            wrong("If specified, 'memory' must not be less than 'memoryReservation'.")
        }
        _ => Ok(()),
    }
}

pub(crate) fn environment(given: &[shapes::KeyValuePair]) -> Result<Vec<(String, String)>> {
    let pair = |pair: &shapes::KeyValuePair| {
        let name = pair.name.clone().unwrap_or_default();
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Error::client(
                "The name of an environment variable must not be empty, nor contain '='.",
            ));
        }
        Ok((name, pair.value.clone().unwrap_or_default()))
    };
    given.iter().map(pair).collect()
}

fn port(
    given: &shapes::PortMapping,
    container: &ContainerName,
    network_mode: Option<NetworkMode>,
) -> Result<PortMapping> {
    let wrong = |what: &str| Error::client(format!("Invalid setting for container '{container}'. {what}"));
    let number = |member: &str, least: u16, value: i32| {
        u16::try_from(value)
            .ok()
            .filter(|port| *port >= least)
            .ok_or_else(|| wrong(&format!("'{member}' must be between {least} and 65535.")))
    };
    let Some(container_port) = given.container_port else {
        return Err(wrong("'containerPort' must be specified."));
    };
    let container_port = number("containerPort", 1, container_port)?;
    let host_port = given.host_port.map(|port| number("hostPort", 0, port)).transpose()?;
    match network_mode {
        Some(NetworkMode::None) => {
            return Err(wrong("Port mappings are not allowed when networkMode=none."));
        }
        Some(mode @ (NetworkMode::Host | NetworkMode::Awsvpc))
            if host_port.is_some_and(|port| port != 0 && port != container_port) =>
        {
            let mode = if mode == NetworkMode::Host { "host" } else { "awsvpc" };
            return Err(Error::client(format!(
                "When networkMode={mode}, the host ports and container ports in port mappings must match.",
            )));
        }
        _ => {}
    }
    let protocol = match given.protocol {
        Some(shapes::TransportProtocol::Udp) => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    Ok(PortMapping {
        container_port: Port::new(container_port),
        host_port: host_port.map(Port::new),
        protocol,
        name: filled(given.name.as_ref()),
    })
}

/// What only the containers together can violate.
fn check_together(spec: &TaskDefinitionSpec) -> Result<()> {
    let mut names = BTreeSet::new();
    for container in &spec.containers {
        if !names.insert(&container.name) {
            return Err(Error::client(format!(
                "Container names must be unique: '{}' is not.",
                container.name
            )));
        }
    }
    if !spec.containers.iter().any(|container| container.essential) {
        return Err(Error::client("At least one container in the task definition must be essential."));
    }
    let reservation =
        trireme_state::query::reservation(spec, &trireme_state::object::TaskOverrides::default());
    let mut ports: BTreeMap<(Protocol, Port), usize> = BTreeMap::new();
    let mappings = spec.containers.iter().flat_map(|container| &container.port_mappings);
    // The containers share the task's own network.
    let of_task = mappings.filter(|_| spec.network_mode == Some(NetworkMode::Awsvpc));
    let of_task = of_task.map(|mapping| (mapping.protocol, mapping.container_port));
    for port in reservation.ports.into_iter().chain(of_task) {
        let uses = ports.entry(port).or_default();
        *uses += 1;
        if *uses > 1 {
            let (protocol, port) = (port.0.as_str(), port.1);
            return Err(Error::client(format!("Host port {port}/{protocol} is used more than once.")));
        }
    }
    let cpu: u64 = spec.containers.iter().map(|container| u64::from(container.cpu.get())).sum();
    if spec.cpu.is_some_and(|limit| cpu > u64::from(limit.get())) {
        return Err(Error::client(
            "The sum of the containers' 'cpu' must not be greater than the task's 'cpu'.",
        ));
    }
    let memory = |container: &ContainerDefinition| container.memory_reservation.or(container.memory);
    let memory: u64 = spec.containers.iter().filter_map(memory).map(|memory| u64::from(memory.get())).sum();
    if spec.memory.is_some_and(|limit| memory > u64::from(limit.get())) {
        return Err(Error::client(
            "The sum of the containers' memory must not be greater than the task's 'memory'.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn register(document: Value) -> Result<TaskDefinitionSpec> {
        spec(&serde_json::from_value(document).unwrap())
    }

    fn refused(changes: Value) -> String {
        let mut container = json!({"name": "app", "image": "busybox", "memory": 64});
        container.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        container.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let error = register(json!({"family": "web", "containerDefinitions": [container]})).unwrap_err();
        assert_eq!(error.code.name(), "ClientException");
        error.message
    }

    #[test]
    fn quantities_with_units() {
        let cpu = |text| task_cpu(Some(text)).ok().flatten().map(CpuUnits::get);
        assert_eq!(cpu("1 vCPU"), Some(1024));
        assert_eq!(cpu(".5 vcpu"), Some(512));
        assert_eq!(cpu("256"), Some(256));
        assert_eq!(cpu("64"), None);
        assert_eq!(cpu("lots"), None);
        let memory = |text| task_memory(Some(text)).ok().flatten().map(Mebibytes::get);
        assert_eq!(memory("2GB"), Some(2048));
        assert_eq!(memory("0.5 GB"), Some(512));
        assert_eq!(memory("512"), Some(512));
        assert_eq!(memory("-1GB"), None);
        assert_eq!(memory("infGB"), None);
        assert_eq!(memory("1e9GB"), None);
        assert_eq!(task_cpu(None), Ok(None));
    }

    #[test]
    fn containers_are_checked_in_ecss_words() {
        assert_eq!(refused(json!({"name": null})), "Container.name should not be null or empty.");
        assert_eq!(refused(json!({"image": ""})), "Container.image should not be null or empty.");
        assert_eq!(
            refused(json!({"memory": null})),
            "Invalid setting for container 'app'. At least one of 'memory' or 'memoryReservation' must be specified."
        );
        assert_eq!(
            refused(json!({"essential": false})),
            "At least one container in the task definition must be essential."
        );
        for wrong in [
            json!({"memory": 0}),
            json!({"memory": -5}),
            json!({"memory": 64, "memoryReservation": 65}),
            json!({"cpu": -1}),
            json!({"stopTimeout": 1}),
            json!({"portMappings": [{}]}),
            json!({"portMappings": [{"containerPort": 0}]}),
            json!({"portMappings": [{"containerPort": 80, "hostPort": 65536}]}),
            json!({"portMappings": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]}),
            json!({"environment": [{"name": "", "value": "x"}]}),
        ] {
            assert!(!refused(wrong).is_empty());
        }
    }

    #[test]
    fn what_has_no_effect_is_refused_by_name() {
        for (member, value) in [
            ("credentialSpecs", json!(["credentialspec:arn:aws:s3:::b/k"])),
            ("portMappings.appProtocol", json!([{"containerPort": 80, "appProtocol": "http"}])),
        ] {
            let given = member.split('.').next().unwrap();
            assert_eq!(refused(json!({ given: value })), format!("{member} is not supported yet."));
        }
        let task = |member: &str, value: Value| {
            let container = json!({"name": "app", "image": "busybox", "memory": 64});
            register(json!({"family": "web", "containerDefinitions": [container], member: value}))
        };
        assert!(task("networkMode", json!("awsvpc")).is_ok());
        assert!(task("requiresCompatibilities", json!(["FARGATE"])).is_err());
        assert!(task("volumes", json!([])).is_ok(), "what asks for nothing is no change");
        assert!(
            task("runtimePlatform", json!({"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"}))
                .is_ok()
        );
    }

    #[test]
    fn containers_fit_their_task() {
        let containers = json!([
            {"name": "a", "image": "busybox", "cpu": 200, "memory": 64},
            {"name": "b", "image": "busybox", "cpu": 100, "memory": 64}
        ]);
        let with = |cpu: &str, memory: &str| {
            register(
                json!({"family": "web", "cpu": cpu, "memory": memory, "containerDefinitions": containers}),
            )
        };
        assert!(with("512", "128").is_ok());
        assert!(with("256", "128").is_err());
        assert!(with("512", "100").is_err());
    }
}
