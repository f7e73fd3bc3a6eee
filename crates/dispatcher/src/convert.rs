//! Between the messages of `proto/agent.proto` and the state's objects.

use std::str::FromStr;

use trireme_rpc::agent as wire;
use trireme_state::command::{TaskHealthReport, TaskReport};
use trireme_state::object::{
    ClusterKey, ContainerReport, HealthStatus, InstanceRegistration, InstanceResources, NetworkBinding,
    StopCode, TaskStatus,
};
use trireme_types::capability::{GPUS, MANAGED_POOL, POOL};
use trireme_types::{
    AccountId, ClusterName, ContainerName, CpuUnits, Mebibytes, NameError, Port, Protocol, Region, Scope,
    TaskId, Timestamp, Zone, gpu,
};

use crate::Error;

/// Characters of a name or version that an agent may give itself.
const TEXT_LIMIT: usize = 512;
/// Bytes of a reason, or of anything else that an engine says: the rest is cut off.
const REASON_LIMIT: usize = 1024;
/// Containers of a task, and ports of a container, that a report may have.
const PARTS_LIMIT: usize = 200;
/// Attributes that an agent may have.
const ATTRIBUTE_LIMIT: usize = 160;

fn name<T>(field: &'static str, result: Result<T, NameError>) -> Result<T, Error> {
    result.map_err(|source| Error::Name { field, source })
}

/// An id, or `None` for an empty text.
pub(crate) fn optional_id<T: FromStr<Err = trireme_types::IdError>>(
    field: &'static str,
    text: &str,
) -> Result<Option<T>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|source| Error::Id { field, source })
}

fn port(field: &'static str, number: u32) -> Result<Port, Error> {
    u16::try_from(number).map(Port::new).map_err(|_| Error::Value { field })
}

fn protocol(udp: bool) -> Protocol {
    if udp { Protocol::Udp } else { Protocol::Tcp }
}

fn text(field: &'static str, text: String) -> Result<String, Error> {
    if text.len() > TEXT_LIMIT { Err(Error::Value { field }) } else { Ok(text) }
}

/// What an agent says of itself.
pub(crate) fn registration(hello: wire::Hello) -> Result<InstanceRegistration, Error> {
    let scope = Scope {
        account: name("account", AccountId::new(&hello.account))?,
        region: name("region", Region::new(&hello.region))?,
    };
    let own = ClusterKey { scope, name: name("cluster", ClusterName::new(&hello.cluster))? };
    // Its machines are nobody's own.
    let managed = hello.attributes.get(POOL).is_some_and(|pool| pool == MANAGED_POOL);
    let cluster = if managed { ClusterKey::managed_pool() } else { own };
    let reserved = hello.reserved_ports.iter().map(|one| Ok((protocol(one.udp), port("port", one.port)?)));
    let attributes: std::collections::BTreeMap<_, _> = hello.attributes.into_iter().collect();
    let limit = |key: &str| if key == GPUS { gpu::LIST_MAX_LEN } else { TEXT_LIMIT };
    let fits = |(key, value): (&String, &String)| key.len() <= TEXT_LIMIT && value.len() <= limit(key);
    if attributes.len() > ATTRIBUTE_LIMIT || !attributes.iter().all(fits) {
        return Err(Error::Value { field: "attributes" });
    }
    Ok(InstanceRegistration {
        cluster,
        name: text("name", hello.name)?,
        zone: name("zone", Zone::new(&hello.zone))?,
        resources: InstanceResources {
            cpu: CpuUnits::new(hello.cpu_units),
            memory: Mebibytes::new(hello.memory_mib),
            reserved_ports: reserved.collect::<Result<_, Error>>()?,
        },
        attributes,
        agent_version: text("agent version", hello.agent_version)?,
        docker_version: text("docker version", hello.docker_version)?,
    })
}

/// A status as it travels.
pub(crate) fn status_to_wire(status: TaskStatus) -> wire::TaskStatus {
    match status {
        TaskStatus::Provisioning | TaskStatus::Pending => wire::TaskStatus::Pending,
        TaskStatus::Activating => wire::TaskStatus::Activating,
        TaskStatus::Running => wire::TaskStatus::Running,
        TaskStatus::Deactivating => wire::TaskStatus::Deactivating,
        TaskStatus::Stopping => wire::TaskStatus::Stopping,
        TaskStatus::Deprovisioning => wire::TaskStatus::Deprovisioning,
        TaskStatus::Stopped => wire::TaskStatus::Stopped,
    }
}

fn status_from_wire(status: i32) -> Result<TaskStatus, Error> {
    Ok(match wire::TaskStatus::try_from(status) {
        Ok(wire::TaskStatus::Pending) => TaskStatus::Pending,
        Ok(wire::TaskStatus::Activating) => TaskStatus::Activating,
        Ok(wire::TaskStatus::Running) => TaskStatus::Running,
        Ok(wire::TaskStatus::Deactivating) => TaskStatus::Deactivating,
        Ok(wire::TaskStatus::Stopping) => TaskStatus::Stopping,
        Ok(wire::TaskStatus::Deprovisioning) => TaskStatus::Deprovisioning,
        Ok(wire::TaskStatus::Stopped) => TaskStatus::Stopped,
        Ok(wire::TaskStatus::Unspecified) | Err(_) => return Err(Error::Value { field: "status" }),
    })
}

fn non_empty(mut text: String) -> Option<String> {
    text.truncate(text.floor_char_boundary(REASON_LIMIT));
    (!text.is_empty()).then_some(text)
}

fn time(millis: u64) -> Option<Timestamp> {
    (millis != 0).then_some(Timestamp::from_millis(millis))
}

/// What an agent says of a task.
pub(crate) fn report(report: wire::TaskReport) -> Result<TaskReport, Error> {
    let stop_code = match report.stop_code() {
        wire::StopCode::Unspecified => None,
        wire::StopCode::TaskFailedToStart => Some(StopCode::TaskFailedToStart),
        wire::StopCode::EssentialContainerExited => Some(StopCode::EssentialContainerExited),
    };
    let task: Option<TaskId> = optional_id("task id", &report.task_id)?;
    let many = |container: &wire::ContainerReport| container.network_bindings.len() > PARTS_LIMIT;
    if report.containers.len() > PARTS_LIMIT || report.containers.iter().any(many) {
        return Err(Error::Value { field: "containers" });
    }
    Ok(TaskReport {
        task: task.ok_or(Error::Value { field: "task id" })?,
        status: status_from_wire(report.status)?,
        containers: report.containers.into_iter().map(container).collect::<Result<_, _>>()?,
        stop_code,
        stopped_reason: non_empty(report.stopped_reason),
        pull_started_at: time(report.pull_started_at),
        pull_stopped_at: time(report.pull_stopped_at),
        execution_stopped_at: time(report.execution_stopped_at),
    })
}

/// What an agent says of the health checks of a task; `None` when its containers have none. What the report says otherwise is
/// checked by [`report`].
pub(crate) fn health(report: &wire::TaskReport) -> Option<TaskHealthReport> {
    let task = report.task_id.parse().ok()?;
    let checked = |one: &&wire::ContainerReport| one.health() != wire::Health::Unspecified;
    report.containers.iter().find(checked)?;
    let said = |one: &wire::ContainerReport| {
        let status = match one.health() {
            wire::Health::Healthy => HealthStatus::Healthy,
            wire::Health::Unhealthy => HealthStatus::Unhealthy,
            wire::Health::Unspecified | wire::Health::Unknown => return None,
        };
        Some((ContainerName::new(&one.name).ok()?, status))
    };
    Some(TaskHealthReport { task, health: report.containers.iter().filter_map(said).collect() })
}

fn container(report: wire::ContainerReport) -> Result<ContainerReport, Error> {
    let bindings = report.network_bindings.into_iter().map(|binding| {
        Ok(NetworkBinding {
            bind_ip: text("bind ip", binding.bind_ip)?,
            container_port: port("container port", binding.container_port)?,
            host_port: port("host port", binding.host_port)?,
            protocol: protocol(binding.udp),
        })
    });
    Ok(ContainerReport {
        name: name("container name", ContainerName::new(&report.name))?,
        runtime_id: non_empty(report.runtime_id),
        image_digest: non_empty(report.image_digest),
        status: status_from_wire(report.status)?,
        exit_code: report.exit_code,
        reason: non_empty(report.reason),
        network_bindings: bindings.collect::<Result<_, Error>>()?,
    })
}
