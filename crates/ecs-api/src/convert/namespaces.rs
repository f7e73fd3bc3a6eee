//! Namespaces that the containers of a task have together (ECS API: TaskDefinition.pidMode, ipcMode), checked when they are registered.

use trireme_ecs_model::shapes::{ContainerDefinition, IpcMode, PidMode, RegisterTaskDefinitionRequest};

use crate::error::{Error, Result};

/// ECS API: SystemControl.namespace, of the IPC namespace.
const OF_IPC: [&str; 2] = ["kernel.", "fs.mqueue."];

pub(crate) fn check(
    request: &RegisterTaskDefinitionRequest,
    containers: &[ContainerDefinition],
) -> Result<()> {
    for (member, shared) in [
        ("pidMode", request.pid_mode == Some(PidMode::Task)),
        ("ipcMode", request.ipc_mode == Some(IpcMode::Task)),
    ] {
        if shared && containers.len() > 1 && !containers.iter().any(may_hold) {
            return Err(Error::client(format!(
                "{member} task needs an essential container that waits for no other: its namespace is the others' too."
            )));
        }
    }
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

/// The same as the agent's choice of who holds a namespace.
fn may_hold(one: &ContainerDefinition) -> bool {
    let waits = one.depends_on.iter().flatten().next().is_some()
        || one.links.iter().flatten().next().is_some()
        || one.volumes_from.iter().flatten().next().is_some();
    one.essential != Some(false) && !waits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn somebody_can_hold_what_is_shared() {
        let checked = |essential: bool| {
            let request = json!({"family": "f", "pidMode": "task", "containerDefinitions": [
                {"name": "app", "dependsOn": [{"containerName": "init", "condition": "START"}]},
                {"name": "init", "essential": essential},
            ]});
            let request: RegisterTaskDefinitionRequest = serde_json::from_value(request).unwrap();
            check(&request, request.container_definitions.as_deref().unwrap()).map_err(|error| error.message)
        };
        assert_eq!(checked(true), Ok(()));
        assert!(checked(false).unwrap_err().starts_with("pidMode task needs an essential container"));
    }
}
