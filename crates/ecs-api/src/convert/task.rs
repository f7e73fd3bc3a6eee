//! Tasks.

use trireme_ecs_model::shapes::{
    self, Connectivity, Container, ContainerOverride, HealthStatus, LaunchType, TaskOverride, TaskStopCode,
};
use trireme_state::State;
use trireme_state::object::{
    self, ClusterKey, ContainerDefinition, ContainerReport, DesiredStatus, Launch, NetworkBinding, Task,
    TaskStatus,
};
use trireme_types::arn::{Resource, container_uuid};
use trireme_types::{Arn, ContainerName, TaskId};

use super::task_definition::{pair, protocol};
use super::{
    cluster, container_instance, health_check, network, number, port_range, tags, task_definition, time,
};

pub(crate) fn arn(cluster: &ClusterKey, id: TaskId) -> String {
    Arn::new(&cluster.scope, Resource::Task(cluster.name.clone(), id)).to_string()
}

fn container_arn(task: &Task, name: &ContainerName) -> String {
    let uuid = container_uuid(task.id, name.as_str());
    Arn::new(&task.cluster.scope, Resource::Container(task.cluster.name.clone(), task.id, uuid)).to_string()
}

pub(crate) fn describe(state: &State, task: &Task, with_tags: bool) -> shapes::Task {
    let definition = state.task_definition(&task.definition);
    let of_container = |name: &ContainerName| {
        definition.and_then(|one| one.spec.containers.iter().find(|container| container.name == *name))
    };
    let health = state.task_health(task.id);
    let interface = state.interface(task.id).map(|interface| &**interface);
    let gpus = state.task_gpus(task.id);
    let containers = task
        .containers
        .iter()
        .map(|one| {
            let health = health_check::of_container(&health, &one.name);
            shapes::Container {
                network_interfaces: Some(network::interfaces(interface)),
                gpu_ids: gpus.get(&one.name).map(|own| own.iter().map(ToString::to_string).collect()),
                ..container(task, one, of_container(&one.name), health)
            }
        })
        .collect();
    let launch = state.launch(task.id);
    let fargate = launch.is_some_and(Launch::is_fargate);
    let connected = state.instance(task.instance).is_some_and(|instance| state.is_present(instance));
    let times = &task.times;
    shapes::Task {
        attachments: Some(network::attachments(task, interface)),
        attributes: Some(Vec::new()),
        availability_zone: Some(task.zone.to_string()),
        cluster_arn: Some(cluster::arn(&task.cluster)),
        connectivity: Some(if connected { Connectivity::Connected } else { Connectivity::Disconnected }),
        connectivity_at: connected.then(|| time(times.created_at)),
        capacity_provider_name: launch.and_then(Launch::provider).map(ToString::to_string),
        // Its machine is nobody's own.
        container_instance_arn: (!fargate).then(|| container_instance::arn(&task.cluster, task.instance)),
        containers: Some(containers),
        cpu: Some(task.reservation.cpu.to_string()),
        created_at: Some(time(times.created_at)),
        desired_status: Some(
            match task.desired_status {
                DesiredStatus::Running => "RUNNING",
                DesiredStatus::Stopped => "STOPPED",
            }
            .to_owned(),
        ),
        enable_execute_command: Some(state.allows_commands(task.id)),
        execution_stopped_at: times.execution_stopped_at.map(time),
        group: Some(task.group.clone()),
        health_status: Some(health_check::of_task(&health, task, definition.map(|one| &**one))),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(task.last_status.as_str().to_owned()),
        launch_type: Some(if fargate { LaunchType::Fargate } else { LaunchType::Ec2 }),
        platform_version: fargate.then(|| super::fargate::PLATFORM_VERSION.to_owned()),
        platform_family: fargate.then(|| super::fargate::PLATFORM_FAMILY.to_owned()),
        memory: Some(task.reservation.memory.to_string()),
        overrides: Some(overrides(task)),
        pull_started_at: times.pull_started_at.map(time),
        pull_stopped_at: times.pull_stopped_at.map(time),
        started_at: times.started_at.map(time),
        started_by: task.started_by.clone(),
        stop_code: task.stop_code.map(|code| TaskStopCode::from(code.as_str())),
        stopped_at: times.stopped_at.map(time),
        stopped_reason: task.stopped_reason.clone(),
        stopping_at: times.stopping_at.map(time),
        tags: Some(if with_tags { tags::list(&task.tags) } else { Vec::new() }),
        task_arn: Some(arn(&task.cluster, task.id)),
        task_definition_arn: Some(task_definition::arn(&task.definition)),
        version: Some(i64::try_from(task.version).unwrap_or(i64::MAX)),
        ..Default::default()
    }
}

fn container(
    task: &Task,
    report: &ContainerReport,
    definition: Option<&ContainerDefinition>,
    health: HealthStatus,
) -> Container {
    // ECS knows three statuses of a container.
    let status = match report.status {
        TaskStatus::Running | TaskStatus::Stopped => report.status,
        status if status > TaskStatus::Running => TaskStatus::Running,
        _ => TaskStatus::Pending,
    };
    let change = task.overrides.containers.iter().find(|change| change.name == report.name);
    let cpu = change.and_then(|change| change.cpu).or(definition.map(|one| one.cpu));
    let memory = change.and_then(|change| change.memory).or(definition.and_then(|one| one.memory));
    let reserved = change
        .and_then(|change| change.memory_reservation)
        .or(definition.and_then(|one| one.memory_reservation));
    Container {
        container_arn: Some(container_arn(task, &report.name)),
        task_arn: Some(arn(&task.cluster, task.id)),
        name: Some(report.name.to_string()),
        image: definition.map(|one| one.image.clone()),
        image_digest: report.image_digest.clone(),
        runtime_id: report.runtime_id.clone(),
        last_status: Some(status.as_str().to_owned()),
        exit_code: report.exit_code,
        reason: report.reason.clone(),
        network_bindings: Some(port_range::bindings(&report.network_bindings, definition, binding)),
        health_status: Some(health),
        cpu: cpu.map(|cpu| cpu.to_string()),
        memory: memory.map(|memory| memory.to_string()),
        memory_reservation: reserved.map(|memory| memory.to_string()),
        ..Default::default()
    }
}

fn binding(binding: &NetworkBinding) -> shapes::NetworkBinding {
    shapes::NetworkBinding {
        bind_ip: Some(binding.bind_ip.clone()),
        container_port: Some(number(binding.container_port.get())),
        host_port: Some(number(binding.host_port.get())),
        protocol: Some(protocol(binding.protocol)),
        ..Default::default()
    }
}

/// Every container is listed, changed or not.
fn overrides(task: &Task) -> TaskOverride {
    let of_container = |report: &ContainerReport| {
        let change = task.overrides.containers.iter().find(|change| change.name == report.name);
        change.map_or_else(
            || ContainerOverride { name: Some(report.name.to_string()), ..Default::default() },
            container_override,
        )
    };
    TaskOverride {
        container_overrides: Some(task.containers.iter().map(of_container).collect()),
        cpu: task.overrides.cpu.map(|cpu| cpu.to_string()),
        inference_accelerator_overrides: Some(Vec::new()),
        execution_role_arn: task.overrides.execution_role_arn.clone(),
        memory: task.overrides.memory.map(|memory| memory.to_string()),
        task_role_arn: task.overrides.task_role_arn.clone(),
        ..Default::default()
    }
}

fn container_override(change: &object::ContainerOverride) -> ContainerOverride {
    let environment: Vec<_> = change.variables().map(|(name, value)| pair(name, value)).collect();
    ContainerOverride {
        name: Some(change.name.to_string()),
        command: change.command.clone(),
        environment: Some(environment).filter(|list| !list.is_empty()),
        environment_files: change.environment_files().and_then(|json| serde_json::from_str(json).ok()),
        cpu: change.cpu.map(|cpu| number(cpu.get())),
        memory: change.memory.map(|memory| number(memory.get())),
        memory_reservation: change.memory_reservation.map(|memory| number(memory.get())),
        ..Default::default()
    }
}
