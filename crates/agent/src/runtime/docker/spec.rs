//! A task's container as Docker is asked for it.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use trireme_rpc::agent::Container;

use super::around::Around;
use super::sandbox::shared;
use super::{cgroup, gpus, health, labels, ports, settings, storage, volumes};
use crate::Allowed;
use crate::metadata::uri;
use crate::namespace::{self, Namespaces};
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
pub(super) fn body(new: &NewContainer, around: &Around) -> Result<ContainerCreateBody, String> {
    let mode = new.task.network_mode.as_str();
    if !["bridge", "host", "none", "awsvpc"].contains(&mode) {
        return Err(format!("network mode {mode} is not supported on this container instance"));
    }
    let definition = new.definition();
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let environment = environment(new, around);
    let ports = if mode == "bridge" { ports::bindings(definition)? } else { HashMap::new() };
    let exposed = ports.keys().cloned().collect();
    let patience = (definition.stop_timeout_seconds > 0).then_some(definition.stop_timeout_seconds.into());
    let mounts = volumes::of(new)?;
    let of_machine = mounts.of_machine;
    let mut host_config = host_config(new, definition, around);
    host_config.port_bindings = Some(ports);
    host_config.storage_opt = storage::option(&new.task.settings)?;
    host_config.binds = Some(mounts.binds);
    host_config.mounts = Some(mounts.volumes);
    host_config.device_requests = gpus::requests(&definition.gpu_ids);
    settings::apply(&definition.settings, &|other| new.name_of(other), &mut host_config)?;
    let namespaces = Namespaces::of(&new.task.settings)?;
    check(&host_config, of_machine, namespaces.of_host(), around.allowed)?;
    shared::join(&new.task, namespaces, &mut host_config);
    Ok(ContainerCreateBody {
        image: Some(new.image.exact()),
        entrypoint: definition.entry_point.as_ref().map(|list| list.values.clone()),
        cmd: definition.command.as_ref().map(|list| list.values.clone()),
        env: Some(environment),
        working_dir: text(&definition.working_directory),
        user: text(&definition.user),
        hostname: text(&definition.hostname).filter(|_| !namespace::has_network(&new.task)),
        tty: Some(definition.pseudo_terminal),
        open_stdin: Some(definition.interactive),
        stop_timeout: patience,
        labels: Some(labels::all(new)),
        exposed_ports: Some(exposed),
        healthcheck: Some(health::check(&definition.settings)?),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    })
}

/// The variables of the definition and its files, and those by which a container finds its metadata and its GPUs. These cannot be
/// replaced.
fn environment(new: &NewContainer, around: &Around) -> Vec<String> {
    let given = around.environment.iter();
    let given = given.map(|variable| format!("{}={}", variable.name, variable.value));
    let ours = uri::environment(new).into_iter().map(|(name, value)| format!("{name}={value}"));
    given.chain(ours).chain(gpus::variable(&new.definition().gpu_ids)).collect()
}

/// Placement does not put such a task here; what does is an older control node.
fn check(config: &HostConfig, has_paths: bool, has_namespaces: bool, allowed: Allowed) -> Result<(), String> {
    let devices = config.devices.as_ref().is_some_and(|devices| !devices.is_empty());
    for (asked, allowed, what) in [
        (
            config.privileged == Some(true),
            allowed.privileged,
            "all rights of the machine (--allow-privileged)",
        ),
        (devices, allowed.host_devices, "devices of the machine (--allow-host-devices)"),
        (has_paths, allowed.host_paths, "paths of the machine (--allow-host-paths)"),
        (has_namespaces, allowed.host_namespaces, "namespaces of the machine (--allow-host-namespaces)"),
    ] {
        if asked && !allowed {
            return Err(format!("this container instance does not allow {what}"));
        }
    }
    Ok(())
}

fn host_config(new: &NewContainer, definition: &Container, around: &Around) -> HostConfig {
    let bytes = |mebibytes: u32| (mebibytes > 0).then(|| i64::from(mebibytes) * MEBIBYTE);
    // A task's own limit holds for each container that has none.
    let memory = bytes(definition.memory_mib).or_else(|| bytes(new.task.memory_mib));
    let reservation = bytes(definition.memory_reservation_mib)
        .filter(|reserved| memory.is_none_or(|limit| *reserved <= limit));
    let alone = around.cgroup.is_none();
    let (period, quota) = cgroup::quota_of_container(&new.task).filter(|_| alone).unzip();
    HostConfig {
        cgroup_parent: around.cgroup.clone(),
        cpu_period: period,
        cpu_quota: quota,
        cpu_shares: Some(definition.cpu_units.max(LOWEST_CPU_SHARES).into()),
        memory,
        memory_reservation: reservation,
        network_mode: Some(new.task.network_mode.clone()),
        readonly_rootfs: Some(definition.readonly_root_filesystem),
        ..HostConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trireme_rpc::agent::{AssignedTask, EnvironmentVariable};

    use super::*;

    #[test]
    fn a_container_has_its_own_gpus_and_no_other() {
        let container = |name: &str, gpus: &[&str]| Container {
            name: name.to_owned(),
            gpu_ids: gpus.iter().map(|id| (*id).to_owned()).collect(),
            ..Container::default()
        };
        let task = Arc::new(AssignedTask {
            network_mode: "bridge".to_owned(),
            containers: vec![container("train", &["GPU-2", "GPU-0"]), container("side", &[])],
            ..AssignedTask::default()
        });
        let body = |index| {
            let (owner, task) = (Arc::default(), Arc::clone(&task));
            let image = crate::runtime::ImageName::default();
            let given =
                EnvironmentVariable { name: "NVIDIA_VISIBLE_DEVICES".to_owned(), value: "all".to_owned() };
            let around = Around { environment: vec![given], ..Around::default() };
            super::body(&NewContainer { owner, task, index, image }, &around).unwrap()
        };
        let train = body(0);
        let requests = train.host_config.unwrap().device_requests.unwrap();
        assert_eq!(requests[0].device_ids.as_deref(), Some(&["GPU-2", "GPU-0"].map(str::to_owned)[..]));
        let of = |env: Option<Vec<String>>| env.unwrap().into_iter().rfind(|one| one.starts_with("NVIDIA_"));
        assert_eq!(
            of(train.env).as_deref(),
            Some("NVIDIA_VISIBLE_DEVICES=GPU-2,GPU-0"),
            "the last one counts"
        );
        assert_eq!(body(1).host_config.unwrap().device_requests, None);
    }

    #[test]
    fn a_missing_tag_means_latest() {
        assert_eq!(with_tag("busybox"), "busybox:latest");
        assert_eq!(with_tag("localhost:5000/a/b"), "localhost:5000/a/b:latest");
        assert_eq!(with_tag("busybox:1"), "busybox:1");
        assert_eq!(with_tag("a/b@sha256:00"), "a/b@sha256:00");
    }
}
