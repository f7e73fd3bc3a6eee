//! The documents of the metadata endpoint, with ECS's names (ECS developer guide: task metadata endpoint version 4 response).

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use trireme_rpc::agent::{AssignedTask, Container, PortMapping, TaskStatus};
use trireme_types::Arn;
use trireme_types::arn::{Resource, container_uuid};

use crate::runtime::{Attached, Checked, Health, Inspection, Mounted};
use crate::setting::{self, RestartPolicy};
use crate::task::step::{Member, Phase, Record};

/// Cpu units of one processor.
const UNITS: f64 = 1024.0;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskDocument {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_stopped_at: Option<String>,
    availability_zone: String,
    launch_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container_instance_tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<Problem>,
    containers: Vec<ContainerDocument>,
    fault_injection_enabled: bool,
}

/// What could not be found out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Problem {
    pub(super) error_field: &'static str,
    pub(super) error_code: &'static str,
    pub(super) error_message: String,
    pub(super) status_code: u16,
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: String,
}

#[derive(Debug, Serialize)]
struct Limits {
    /// In processors for a task, in units for a container.
    #[serde(rename = "CPU", skip_serializing_if = "Option::is_none")]
    cpu: Option<f64>,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerDocument {
    docker_id: String,
    name: String,
    docker_name: String,
    image: String,
    #[serde(rename = "ImageID")]
    image_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<PortDocument>,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    labels: HashMap<String, String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<HealthDocument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<VolumeDocument>,
    log_driver: String,
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    log_options: HashMap<String, String>,
    #[serde(rename = "ContainerARN", skip_serializing_if = "Option::is_none")]
    container_arn: Option<String>,
    networks: Vec<NetworkDocument>,
    /// Of containers that may come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_count: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortDocument {
    container_port: u32,
    protocol: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_port: Option<u32>,
    #[serde(rename = "HostIp", skip_serializing_if = "Option::is_none")]
    host_ip: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthDocument {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    output: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_name: Option<String>,
    source: String,
    destination: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkDocument {
    network_mode: String,
    #[serde(rename = "IPv4Addresses", skip_serializing_if = "Vec::is_empty")]
    ipv4_addresses: Vec<String>,
}

/// What a `logConfiguration` says, as it was registered.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogConfiguration {
    log_driver: Option<String>,
    options: HashMap<String, String>,
}

/// The task's document.
pub(super) fn task(record: &Record, found: &[Inspection], zone: &str) -> TaskDocument {
    let spec = &*record.spec;
    let there = record.members.iter().enumerate().filter(|(_, member)| member.id().is_some());
    TaskDocument {
        cluster: spec.cluster.clone(),
        task_arn: spec.task_arn.clone(),
        family: spec.family.clone(),
        revision: spec.revision.to_string(),
        service_name: (!spec.service_name.is_empty()).then(|| spec.service_name.clone()),
        desired_status: desired(record.wanted),
        known_status: known(record.status),
        limits: task_limits(spec),
        pull_started_at: time(record.pull_started_at),
        pull_stopped_at: time(record.pull_stopped_at),
        execution_stopped_at: time(record.execution_stopped_at),
        availability_zone: zone.to_owned(),
        launch_type: if spec.fargate { "FARGATE" } else { "EC2" },
        task_tags: None,
        container_instance_tags: None,
        errors: Vec::new(),
        containers: there.map(|(index, _)| container(record, index, &found[index])).collect(),
        fault_injection_enabled: false,
    }
}

fn task_limits(spec: &AssignedTask) -> Option<Limits> {
    let cpu = (spec.cpu_units > 0).then(|| f64::from(spec.cpu_units) / UNITS);
    let memory = (spec.memory_mib > 0).then_some(spec.memory_mib);
    (cpu.is_some() || memory.is_some()).then_some(Limits { cpu, memory })
}

/// The document of one of the task's containers.
pub(super) fn container(record: &Record, index: usize, found: &Inspection) -> ContainerDocument {
    let (member, definition) = (&record.members[index], &record.spec.containers[index]);
    let (log_driver, log_options) = logs(definition, found);
    ContainerDocument {
        docker_id: member.id().unwrap_or_default().to_owned(),
        name: definition.name.clone(),
        docker_name: found.engine_name.clone(),
        image: definition.image.clone(),
        image_id: found.image_id.clone(),
        ports: definition.port_mappings.iter().map(|mapping| port(mapping, member)).collect(),
        labels: found.labels.clone(),
        desired_status: desired(record.wanted),
        known_status: match member.phase() {
            Phase::New => "NONE",
            Phase::Resolved => "MANIFEST_PULLED",
            Phase::Pulled => "PULLED",
            Phase::Created => "CREATED",
            Phase::Running => "RUNNING",
            Phase::Exited => "STOPPED",
        },
        exit_code: member.exit().code,
        limits: Limits { cpu: Some(definition.cpu_units.into()), memory: Some(definition.memory_mib) },
        created_at: found.created_at.clone(),
        started_at: found.started_at.clone(),
        finished_at: found.finished_at.clone(),
        r#type: "NORMAL",
        health: definition.settings.contains_key("healthCheck").then(|| health(member, found.check.as_ref())),
        volumes: found.mounts.iter().map(volume).collect(),
        log_driver,
        log_options,
        container_arn: arn(&record.spec, &definition.name),
        networks: networks(&record.spec, &found.networks),
        restart_count: RestartPolicy::of(&definition.settings)
            .is_ok_and(|policy| policy.is_enabled())
            .then(|| member.restarts()),
    }
}

/// As it was registered, else what the engine does.
fn logs(definition: &Container, found: &Inspection) -> (String, HashMap<String, String>) {
    let given: LogConfiguration = setting::read(&definition.settings, "logConfiguration").unwrap_or_default();
    match given.log_driver {
        Some(driver) => (driver, given.options),
        None => (found.log_driver.clone(), found.log_options.clone()),
    }
}

fn arn(spec: &AssignedTask, name: &str) -> Option<String> {
    let task: Arn = spec.task_arn.parse().ok()?;
    let Resource::Task(cluster, id) = task.resource else { return None };
    let container = Resource::Container(cluster, id, container_uuid(id, name));
    Some(Arn::new(&task.scope, container).to_string())
}

fn port(mapping: &PortMapping, member: &Member) -> PortDocument {
    let same = |one: &&trireme_rpc::agent::NetworkBinding| {
        one.container_port == mapping.container_port && one.udp == mapping.udp
    };
    let bound = member.bindings().iter().find(same);
    PortDocument {
        container_port: mapping.container_port,
        protocol: if mapping.udp { "udp" } else { "tcp" },
        host_port: bound.map(|one| one.host_port),
        host_ip: bound.map(|one| one.bind_ip.clone()),
    }
}

fn health(member: &Member, check: Option<&Checked>) -> HealthDocument {
    HealthDocument {
        status: match member.health() {
            Health::Unknown => "UNKNOWN",
            Health::Healthy => "HEALTHY",
            Health::Unhealthy => "UNHEALTHY",
        },
        status_since: check.map(|check| check.at.clone()),
        exit_code: check.map(|check| check.exit_code),
        output: check.map(|check| check.output.clone()).unwrap_or_default(),
    }
}

fn volume(mount: &Mounted) -> VolumeDocument {
    VolumeDocument {
        docker_name: mount.name.clone(),
        source: mount.source.clone(),
        destination: mount.destination.clone(),
    }
}

fn networks(task: &AssignedTask, attached: &[Attached]) -> Vec<NetworkDocument> {
    let mode = task.network_mode.as_str();
    if let Some(network) = &task.network {
        let addresses = vec![network.address.clone()];
        return vec![NetworkDocument { network_mode: mode.to_owned(), ipv4_addresses: addresses }];
    }
    let document = |network: &Attached| NetworkDocument {
        network_mode: network.name.clone(),
        ipv4_addresses: network.address.iter().map(ToString::to_string).collect(),
    };
    if attached.is_empty() {
        return vec![NetworkDocument { network_mode: mode.to_owned(), ipv4_addresses: Vec::new() }];
    }
    attached.iter().map(document).collect()
}

fn desired(wanted: bool) -> &'static str {
    if wanted { "RUNNING" } else { "STOPPED" }
}

/// ECS API: Task.lastStatus.
fn known(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Unspecified | TaskStatus::Pending => "PENDING",
        TaskStatus::Activating => "ACTIVATING",
        TaskStatus::Running => "RUNNING",
        TaskStatus::Deactivating => "DEACTIVATING",
        TaskStatus::Stopping => "STOPPING",
        TaskStatus::Deprovisioning => "DEPROVISIONING",
        TaskStatus::Stopped => "STOPPED",
    }
}

/// RFC 3339; `None` for what has not happened.
pub(super) fn time(millis: u64) -> Option<String> {
    let millis = i64::try_from(millis).ok().filter(|millis| *millis > 0)?;
    Timestamp::from_millisecond(millis).ok().map(|time| time.to_string())
}
