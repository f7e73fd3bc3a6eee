//! Container instances, with what they have and what is left of it.

use std::collections::BTreeSet;

use trireme_ecs_model::shapes::{self, Attribute, Resource as Amount, VersionInfo};
use trireme_state::State;
use trireme_state::object::{ClusterKey, ContainerInstance, InstanceStatus};
use trireme_types::arn::Resource;
use trireme_types::{Arn, ContainerInstanceId, GpuId, Port, Protocol};

use super::{number, tags, time};

pub(crate) fn arn(cluster: &ClusterKey, id: ContainerInstanceId) -> String {
    Arn::new(&cluster.scope, Resource::ContainerInstance(cluster.name.clone(), id)).to_string()
}

pub(crate) fn describe(
    state: &State,
    instance: &ContainerInstance,
    with_tags: bool,
) -> shapes::ContainerInstance {
    let registration = &instance.registration;
    let load = state.index().instance_load(instance.id);
    let total = &registration.resources;
    let reserved: BTreeSet<(Protocol, Port)> = total.reserved_ports.iter().copied().collect();
    let taken: BTreeSet<(Protocol, Port)> =
        reserved.iter().copied().chain(load.ports.iter().copied()).collect();
    let gpus = registration.gpus();
    let free_gpus: Vec<GpuId> = gpus.iter().filter(|gpu| !load.gpus.contains(*gpu)).cloned().collect();
    let status = match instance.status {
        InstanceStatus::Active => "ACTIVE",
        InstanceStatus::Draining => "DRAINING",
    };
    shapes::ContainerInstance {
        container_instance_arn: Some(arn(&registration.cluster, instance.id)),
        ec2_instance_id: Some(registration.name.clone()),
        version: Some(i64::try_from(instance.version).unwrap_or(i64::MAX)),
        version_info: Some(VersionInfo {
            agent_version: Some(registration.agent_version.clone()),
            docker_version: Some(registration.docker_version.clone()),
            ..Default::default()
        }),
        registered_resources: Some(resources(total.cpu.get(), total.memory.get(), &reserved, &gpus)),
        remaining_resources: Some(resources(
            total.cpu.saturating_sub(load.cpu).get(),
            total.memory.saturating_sub(load.memory).get(),
            &taken,
            &free_gpus,
        )),
        status: Some(status.to_owned()),
        agent_connected: Some(state.is_present(instance)),
        running_tasks_count: Some(number(load.running)),
        pending_tasks_count: Some(number(load.pending)),
        attributes: Some(attributes(state, instance)),
        registered_at: Some(time(instance.registered_at)),
        capacity_provider_name: state.provider_of_instance(instance).map(|name| name.to_string()),
        attachments: Some(Vec::new()),
        tags: Some(if with_tags { tags::list(&instance.tags) } else { Vec::new() }),
        ..Default::default()
    }
}

/// ECS lists ports that are taken, in what is registered as in what remains; but GPUs that are there, and of them those that are free.
fn resources(cpu: u32, memory: u32, ports: &BTreeSet<(Protocol, Port)>, gpus: &[GpuId]) -> Vec<Amount> {
    let of = |wanted: Protocol| {
        let numbers = ports.iter().filter(move |(protocol, _)| *protocol == wanted);
        numbers.map(|(_, port)| port.to_string()).collect::<Vec<_>>()
    };
    let amount = |name: &str, kind: &str| Amount {
        name: Some(name.to_owned()),
        r#type: Some(kind.to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(0),
        string_set_value: None,
    };
    vec![
        Amount { integer_value: Some(number(cpu)), ..amount("CPU", "INTEGER") },
        Amount { integer_value: Some(number(memory)), ..amount("MEMORY", "INTEGER") },
        Amount { string_set_value: Some(of(Protocol::Tcp)), ..amount("PORTS", "STRINGSET") },
        Amount { string_set_value: Some(of(Protocol::Udp)), ..amount("PORTS_UDP", "STRINGSET") },
        Amount {
            string_set_value: Some(gpus.iter().map(ToString::to_string).collect()),
            ..amount("GPU", "STRINGSET")
        },
    ]
}

fn attributes(state: &State, instance: &ContainerInstance) -> Vec<Attribute> {
    let attribute = |(name, value): (String, String)| Attribute {
        name: Some(name),
        value: Some(value).filter(|value| !value.is_empty()),
        ..Default::default()
    };
    state.attributes(instance).into_iter().map(attribute).collect()
}
