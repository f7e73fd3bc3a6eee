//! A task's container as Docker is asked for it.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use trireme_rpc::agent::{Container, PortMapping};

use super::labels;
use crate::runtime::NewContainer;

/// Docker refuses less; ECS passes it on as Linux's minimum.
const LOWEST_CPU_SHARES: u32 = 2;
const MEBIBYTE: i64 = 1 << 20;

/// Why this agent cannot run it, if it cannot.
pub(super) fn unsupported(new: &NewContainer) -> Option<String> {
    match new.task.network_mode.as_str() {
        "bridge" | "host" | "none" => None,
        other => Some(format!("network mode {other} is not supported on this container instance")),
    }
}

/// A reference with the tag that is meant when none is given. Docker would pull all of them.
pub(super) fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// Docker's description of the container.
pub(super) fn body(new: &NewContainer) -> ContainerCreateBody {
    let definition = new.definition();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let environment = definition.environment.iter();
    let bridge = new.task.network_mode == "bridge";
    let ports: &[PortMapping] = if bridge { &definition.port_mappings } else { &[] };
    let patience = (definition.stop_timeout_seconds > 0).then_some(definition.stop_timeout_seconds.into());
    ContainerCreateBody {
        image: Some(definition.image.clone()),
        entrypoint: definition.entry_point.as_ref().map(|list| list.values.clone()),
        cmd: definition.command.as_ref().map(|list| list.values.clone()),
        env: Some(environment.map(|variable| format!("{}={}", variable.name, variable.value)).collect()),
        working_dir: text(&definition.working_directory),
        user: text(&definition.user),
        hostname: text(&definition.hostname),
        tty: Some(definition.pseudo_terminal),
        open_stdin: Some(definition.interactive),
        stop_timeout: patience,
        labels: Some(labels::all(new)),
        exposed_ports: Some(ports.iter().map(port_name).collect()),
        host_config: Some(host_config(new, definition, ports)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(new: &NewContainer, definition: &Container, ports: &[PortMapping]) -> HostConfig {
    let bytes = |mebibytes: u32| (mebibytes > 0).then(|| i64::from(mebibytes) * MEBIBYTE);
    // A task's own limit holds for each container that has none.
    let memory = bytes(definition.memory_mib).or_else(|| bytes(new.task.memory_mib));
    let reservation = bytes(definition.memory_reservation_mib)
        .filter(|reserved| memory.is_none_or(|limit| *reserved <= limit));
    HostConfig {
        cpu_shares: Some(definition.cpu_units.max(LOWEST_CPU_SHARES).into()),
        memory,
        memory_reservation: reservation,
        network_mode: Some(new.task.network_mode.clone()),
        port_bindings: Some(port_bindings(ports)),
        readonly_rootfs: Some(definition.readonly_root_filesystem),
        ..HostConfig::default()
    }
}

fn port_name(mapping: &PortMapping) -> String {
    format!("{}/{}", mapping.container_port, if mapping.udp { "udp" } else { "tcp" })
}

fn port_bindings(ports: &[PortMapping]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for mapping in ports {
        let any = mapping.host_port == 0;
        let host_port = if any { String::new() } else { mapping.host_port.to_string() };
        let binding = PortBinding { host_ip: Some("0.0.0.0".to_owned()), host_port: Some(host_port) };
        bindings.entry(port_name(mapping)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn a_missing_tag_means_latest() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(with_tag("busybox:1"), "busybox:1");
        assert_eq!(with_tag("a/b@sha256:00"), "a/b@sha256:00");
    }
}
