//! Namespaces that the containers of a task have together (ECS API: TaskDefinition.pidMode, ipcMode), checked when they are registered.

use trireme_ecs_model::shapes::{ContainerDefinition, IpcMode, RegisterTaskDefinitionRequest};

use crate::error::{Error, Result};

/// ECS API: SystemControl.namespace, of the IPC namespace.
const OF_IPC: [&str; 2] = ["kernel.", "fs.mqueue."];

pub(crate) fn check(
    request: &RegisterTaskDefinitionRequest,
    containers: &[ContainerDefinition],
) -> Result<()> {
    let controls = containers.iter().flat_map(|one| one.system_controls.iter().flatten());
    let of_ipc = |name: &str| OF_IPC.iter().any(|prefix| name.starts_with(prefix));
    let mut controls = controls.filter_map(|control| control.namespace.as_deref());
    match (&request.ipc_mode, controls.find(|name| of_ipc(name))) {
        // ECS API: SystemControl: of the machine's namespace none may be set.
        (Some(IpcMode::Host), Some(name)) => {
            Err(Error::client(format!("System control {name} is not allowed when ipcMode=host.")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_control_of_the_machines_namespace_is_set() {
        let checked = |mode: &str| {
            let request = json!({"family": "f", "ipcMode": mode, "containerDefinitions": [
                {"name": "app", "systemControls": [{"namespace": "kernel.sem", "value": "1 2 3 4"}]},
            ]});
            let request: RegisterTaskDefinitionRequest = serde_json::from_value(request).unwrap();
            check(&request, request.container_definitions.as_deref().unwrap()).map_err(|error| error.message)
        };
        assert_eq!(checked("task"), Ok(()));
        assert!(checked("host").unwrap_err().contains("kernel.sem"));
    }
}
