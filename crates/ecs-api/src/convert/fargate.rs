//! What requests are told that ask for FARGATE. What it asks of tasks is `trireme_scheduler::fargate`.

use trireme_scheduler::{Unlaunchable, fargate};
use trireme_state::object::{NetworkMode, TaskDefinitionSpec};
use trireme_types::{CpuUnits, Mebibytes};

use crate::error::{Error, Result};

/// The one platform version that there is.
pub(crate) const PLATFORM_VERSION: &str = "1.4.0";
/// What a caller calls the newest.
pub(crate) const LATEST: &str = "LATEST";
/// ECS API: Task.platformFamily.
pub(crate) const PLATFORM_FAMILY: &str = "Linux";

/// RegisterTaskDefinition with requiresCompatibilities FARGATE.
pub(crate) fn check_definition(
    mode: Option<NetworkMode>,
    (cpu, memory): (Option<CpuUnits>, Option<Mebibytes>),
) -> Result<()> {
    if mode != Some(NetworkMode::Awsvpc) {
        return Err(Error::client("Fargate only supports network mode ‘awsvpc’."));
    }
    let missing =
        |what: &str| Error::client(format!("Fargate requires that '{what}' be defined at the task level."));
    let cpu = cpu.ok_or_else(|| missing("cpu"))?;
    let memory = memory.ok_or_else(|| missing("memory"))?;
    if !fargate::is_size(cpu, memory) {
        return Err(Error::client(Unlaunchable::NoSuchSize { cpu, memory }.to_string()));
    }
    Ok(())
}

/// The same, of what asks for a machine.
pub(crate) fn check_machine(spec: &TaskDefinitionSpec) -> Result<()> {
    let unsupported = |what| format!("Fargate compatible task definitions do not support {what}.");
    fargate::of_machine(spec).map_or(Ok(()), |what| Err(Error::client(unsupported(what))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use trireme_scheduler::fargate::is_compatible;
    use trireme_state::object::TaskDefinitionSpec;

    fn registered(container: &Value, task: &Value) -> TaskDefinitionSpec {
        let mut all = json!({
            "family": "f", "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "containerDefinitions": [{"name": "a", "image": "i"}],
        });
        let into = |target: &mut Value, from: &Value| {
            target.as_object_mut().unwrap().extend(from.as_object().unwrap().clone());
        };
        into(&mut all["containerDefinitions"][0], container);
        into(&mut all, task);
        super::super::definition_input::spec(&serde_json::from_value(all).unwrap()).unwrap()
    }

    #[test]
    fn whatever_reaches_beyond_a_task_keeps_it_off_the_pool_though_it_did_not_ask_for_fargate() {
        let nothing = json!({});
        assert!(is_compatible(&registered(&nothing, &nothing)));
        let harmless = json!({"linuxParameters": {"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}},
            "dockerSecurityOptions": ["no-new-privileges"], "privileged": false});
        assert!(is_compatible(&registered(&harmless, &nothing)));
        for container in [
            json!({"privileged": true}),
            json!({"linuxParameters": {"capabilities": {"add": ["ALL"]}}}),
            json!({"linuxParameters": {"devices": [{"hostPath": "/dev/fuse"}]}}),
            json!({"dockerSecurityOptions": ["apparmor:unconfined"]}),
        ] {
            assert!(!is_compatible(&registered(&container, &nothing)), "{container}");
        }
        for task in [
            json!({"volumes": [{"name": "v", "host": {"sourcePath": "/"}}]}),
            json!({"volumes": [{"name": "v", "dockerVolumeConfiguration": {"scope": "shared"}}]}),
            json!({"pidMode": "host"}),
            json!({"ipcMode": "host"}),
        ] {
            assert!(!is_compatible(&registered(&nothing, &task)), "{task}");
        }
    }
}
