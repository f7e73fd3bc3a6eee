//! What the containers of a task share, and what of their definitions is therefore the sandbox's.

use std::collections::HashMap;

use bollard::models::HostConfig;
use trireme_rpc::agent::AssignedTask;

use super::super::settings;
use crate::namespace::{self, Mode, Namespaces};
use crate::runtime::sandbox_name;

/// Kernel parameters of the IPC namespace (ECS API: SystemControl.namespace).
const OF_IPC: [&str; 5] = ["kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.", "kernel.auto_msgmni"];

/// What the containers say of what they share: the first one's name servers and search domains, the most shared memory, and all kernel
/// parameters; where two say different things, the later one's (ECS API: SystemControl).
pub(super) fn of_containers(
    task: &AssignedTask,
    namespaces: Namespaces,
    config: &mut HostConfig,
) -> Result<(), String> {
    let mut controls = HashMap::new();
    for container in &task.containers {
        let mut own = HostConfig::default();
        settings::apply(&container.settings, &|name| name.to_owned(), &mut own)?;
        if namespace::has_network(task) {
            config.dns = config.dns.take().or(own.dns);
            config.dns_search = config.dns_search.take().or(own.dns_search);
        }
        if namespaces.ipc == Mode::Task {
            config.shm_size = config.shm_size.max(own.shm_size);
        }
        let shared = own.sysctls.into_iter().flatten();
        controls.extend(shared.filter(|(name, _)| is_shared(task, namespaces, name)));
    }
    config.sysctls = Some(controls).filter(|controls| !controls.is_empty());
    Ok(())
}

/// Whether a kernel parameter is one of a namespace that the sandbox holds.
fn is_shared(task: &AssignedTask, namespaces: Namespaces, control: &str) -> bool {
    let of_ipc = OF_IPC.iter().any(|prefix| control.starts_with(prefix));
    control.starts_with("net.") && namespace::has_network(task) || of_ipc && namespaces.ipc == Mode::Task
}

/// Has a container join what its task's sandbox holds, and the machine's namespaces that it asks for; and takes from its configuration what
/// the sandbox has for it.
pub(in crate::runtime::docker) fn join(task: &AssignedTask, namespaces: Namespaces, config: &mut HostConfig) {
    let sandbox = || Some(format!("container:{}", sandbox_name(task)));
    if namespace::has_network(task) {
        config.network_mode = sandbox();
        config.dns = None;
        config.dns_search = None;
    }
    config.pid_mode = match namespaces.pid {
        Mode::Host => Some("host".to_owned()),
        Mode::Task => sandbox(),
        Mode::Own | Mode::None => None,
    };
    config.ipc_mode = match namespaces.ipc {
        Mode::Host => Some("host".to_owned()),
        Mode::None => Some("none".to_owned()),
        Mode::Task => sandbox(),
        Mode::Own => None,
    };
    if namespaces.ipc == Mode::Task {
        config.shm_size = None;
    }
    if let Some(controls) = &mut config.sysctls {
        controls.retain(|name, _| !is_shared(task, namespaces, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controls() -> HashMap<String, String> {
        ["net.core.somaxconn", "kernel.sem"].map(|name| (name.to_owned(), "1".to_owned())).into()
    }

    #[test]
    fn a_container_that_joins_leaves_to_the_sandbox_what_is_its() {
        let mut config = HostConfig {
            dns: Some(vec!["10.1.0.2".to_owned()]),
            sysctls: Some(controls()),
            ..HostConfig::default()
        };
        let task = AssignedTask {
            task_id: "t".to_owned(),
            network_mode: "awsvpc".to_owned(),
            ..AssignedTask::default()
        };
        join(&task, Namespaces::default(), &mut config);
        assert_eq!(config.network_mode.as_deref(), Some("container:trireme-t.pause"));
        assert_eq!((config.dns, config.sysctls.unwrap().len()), (None, 1));
        assert_eq!((config.pid_mode, config.ipc_mode), (None, None));

        let mut config = HostConfig { sysctls: Some(controls()), shm_size: Some(1), ..HostConfig::default() };
        let task = AssignedTask { network_mode: "bridge".to_owned(), ..task };
        join(&task, Namespaces { pid: Mode::Task, ipc: Mode::Task }, &mut config);
        let joined = Some("container:trireme-t.pause".to_owned());
        assert_eq!((config.network_mode, config.pid_mode, config.ipc_mode), (None, joined.clone(), joined));
        assert_eq!((config.shm_size, config.sysctls.unwrap().len()), (None, 1));
    }
}
