//! A task's container as Docker is asked for it.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding};
use trireme_rpc::agent::{Container, PortMapping};

use super::{health, labels, settings, volumes};
use crate::Allowed;
use crate::metadata::uri;
use crate::runtime::NewContainer;

/// Docker refuses less; ECS passes it on as Linux's minimum.
const LOWEST_CPU_SHARES: u32 = 2;
const MEBIBYTE: i64 = 1 << 20;

/// A reference with the tag that is meant when none is given. Docker would pull all of them.
pub(super) fn with_tag(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

/// Docker's description of the container.
///
/// # Errors
/// Why this agent cannot run it.
pub(super) fn body(new: &NewContainer, allowed: Allowed) -> Result<ContainerCreateBody, String> {
    let mode = new.task.network_mode.as_str();
    if !["bridge", "host", "none"].contains(&mode) {
        return Err(format!("network mode {mode} is not supported on this container instance"));
    }
    let definition = new.definition();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let environment = environment(new);
    let bridge = mode == "bridge";
    let ports: &[PortMapping] = if bridge { &definition.port_mappings } else { &[] };
    let patience = (definition.stop_timeout_seconds > 0).then_some(definition.stop_timeout_seconds.into());
    let mounts = volumes::of(new)?;
    let of_machine = mounts.of_machine;
    let mut host_config = host_config(new, definition, ports);
    host_config.binds = Some(mounts.binds);
    host_config.mounts = Some(mounts.volumes);
    settings::apply(&definition.settings, &|other| new.name_of(other), &mut host_config)?;
    check(&host_config, of_machine, allowed)?;
    Ok(ContainerCreateBody {
        image: Some(new.image.exact()),
        entrypoint: definition.entry_point.as_ref().map(|list| list.values.clone()),
        cmd: definition.command.as_ref().map(|list| list.values.clone()),
        env: Some(environment),
        working_dir: text(&definition.working_directory),
        user: text(&definition.user),
        hostname: text(&definition.hostname),
        tty: Some(definition.pseudo_terminal),
        open_stdin: Some(definition.interactive),
        stop_timeout: patience,
        labels: Some(labels::all(new)),
        exposed_ports: Some(ports.iter().map(port_name).collect()),
        healthcheck: Some(health::check(&definition.settings)?),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

/// The definition's variables, and those by which a container finds its metadata. These cannot be replaced.
fn environment(new: &NewContainer) -> Vec<String> {
    let given = new.definition().environment.iter();
    let given = given.map(|variable| format!("{}={}", variable.name, variable.value));
    let ours = uri::environment(new).into_iter().map(|(name, value)| format!("{name}={value}"));
    given.chain(ours).collect()
}

/// Placement does not put such a task here; what does is an older control node.
fn check(config: &HostConfig, has_paths: bool, allowed: Allowed) -> Result<(), String> {
    let devices = config.devices.as_ref().is_some_and(|devices| !devices.is_empty());
    for (asked, allowed, what) in [
        (
            config.privileged == Some(true),
            allowed.privileged,
            "all rights of the machine (--allow-privileged)",
        ),
        (devices, allowed.host_devices, "devices of the machine (--allow-host-devices)"),
        (has_paths, allowed.host_paths, "paths of the machine (--allow-host-paths)"),
    ] {
        if asked && !allowed {
            return Err(format!("this container instance does not allow {what}"));
        }
    }
    Ok(())
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
