//! Members that are kept as they were given, as JSON: those that only agents see to, and those that ask for what happens anyway.
//! Clients that compare what they asked for with what is described (Terraform) must find both.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trireme_ecs_model::shapes::{
    ContainerDefinition, CreateServiceRequest, CreateTaskSetRequest, DeploymentConfiguration, LoadBalancer,
    NetworkConfiguration, PlacementConstraint, PlacementStrategy, RegisterTaskDefinitionRequest,
    ServiceConnectConfiguration, ServiceRegistry, UpdateServiceRequest,
};
use trireme_state::object::{
    BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_ALARMS, DEPLOYMENT_STRATEGY, Described, EARLY_SUCCESS,
    EXECUTE_COMMAND, LIFECYCLE_HOOKS, NETWORK_CONFIGURATION, PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY,
};
use trireme_types::capability::SETTINGS;

use super::network;
use super::port_range;

pub(crate) const RUNTIME_PLATFORM: &str = "runtimePlatform";
pub(crate) const VOLUMES: &str = "volumes";
pub(crate) const EPHEMERAL_STORAGE: &str = "ephemeralStorage";
pub(crate) const IPC_MODE: &str = "ipcMode";
pub(crate) const PID_MODE: &str = "pidMode";
pub(crate) const FAULT_INJECTION: &str = "enableFaultInjection";
pub(crate) const CONFIGURATION: &str = "configuration";
pub(crate) const SERVICE_CONNECT_DEFAULTS: &str = "serviceConnectDefaults";
pub(crate) const LOAD_BALANCERS: &str = "loadBalancers";
pub(crate) const SERVICE_REGISTRIES: &str = "serviceRegistries";
pub(crate) const SERVICE_CONNECT: &str = "serviceConnectConfiguration";

/// Of a container, beside those that agents see to ([`SETTINGS`]): what `unsupported` lets through of these changes nothing.
const OF_CONTAINER: [&str; 4] =
    ["credentialSpecs", "disableNetworking", "resourceRequirements", "versionConsistency"];
/// Of a container: they have an effect, but not when empty.
const OF_CONTAINER_WHEN_EMPTY: [&str; 3] = ["command", "dockerLabels", "entryPoint"];

pub(crate) fn keep<T: Serialize>(kept: &mut Described, member: &str, given: Option<&T>) {
    if let Some(json) = given.and_then(|given| serde_json::to_string(given).ok()) {
        kept.insert(member.to_owned(), json);
    }
}

/// A member that was kept.
pub(crate) fn read<T: DeserializeOwned>(kept: &Described, member: &str) -> Option<T> {
    serde_json::from_str(kept.get(member)?).ok()
}

pub(crate) fn of_task_definition(request: &RegisterTaskDefinitionRequest) -> Described {
    let mut kept = Described::new();
    keep(&mut kept, RUNTIME_PLATFORM, request.runtime_platform.as_ref());
    keep(&mut kept, FAULT_INJECTION, request.enable_fault_injection.as_ref());
    keep(&mut kept, EPHEMERAL_STORAGE, request.ephemeral_storage.as_ref());
    keep(&mut kept, IPC_MODE, request.ipc_mode.as_ref());
    keep(&mut kept, PID_MODE, request.pid_mode.as_ref());
    let volumes = super::volumes::with_defaults(request.volumes.as_deref().unwrap_or_default());
    keep(&mut kept, VOLUMES, Some(&volumes).filter(|volumes| !volumes.is_empty()));
    let constraints = request.placement_constraints.as_ref().filter(|list| !list.is_empty());
    keep(&mut kept, PLACEMENT_CONSTRAINTS, constraints);
    kept
}

pub(crate) fn of_container(given: &ContainerDefinition) -> Described {
    let Ok(Value::Object(members)) = serde_json::to_value(given) else { return Described::new() };
    let empty = |value: &Value| {
        value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let kept = |member: &str, value: &Value| {
        if member == port_range::MEMBER && !port_range::is_given(given) {
            return false;
        }
        SETTINGS.contains(&member)
            || OF_CONTAINER.contains(&member)
            || (OF_CONTAINER_WHEN_EMPTY.contains(&member) && empty(value))
    };
    let kept = members.iter().filter(|(member, value)| kept(member, value));
    kept.map(|(member, value)| (member.clone(), value.to_string())).collect()
}

/// A container's answer with what was kept of it.
pub(crate) fn into_container(kept: &Described, answer: ContainerDefinition) -> ContainerDefinition {
    if kept.is_empty() {
        return answer;
    }
    let Ok(Value::Object(mut members)) = serde_json::to_value(&answer) else { return answer };
    for (member, json) in kept {
        if let Ok(value) = serde_json::from_str(json) {
            members.insert(member.clone(), value);
        }
    }
    serde_json::from_value(Value::Object(members)).unwrap_or(answer)
}

pub(crate) fn of_service(request: &CreateServiceRequest) -> Described {
    let changes = changes(&Given {
        constraints: request.placement_constraints.as_ref(),
        strategy: request.placement_strategy.as_ref(),
        configuration: request.deployment_configuration.as_ref(),
        connect: request.service_connect_configuration.as_ref(),
        load_balancers: request.load_balancers.as_ref(),
        registries: request.service_registries.as_ref(),
        commands: request.enable_execute_command,
        network: network::with_defaults(request.network_configuration.as_ref()),
    });
    changes.into_iter().filter_map(|(member, value)| Some((member, value?))).collect()
}

pub(crate) fn of_task_set(request: &CreateTaskSetRequest) -> Described {
    let mut changes = std::collections::BTreeMap::new();
    list(&mut changes, LOAD_BALANCERS, request.load_balancers.as_ref());
    list(&mut changes, SERVICE_REGISTRIES, request.service_registries.as_ref());
    let mut kept: Described =
        changes.into_iter().filter_map(|(member, value)| Some((member, value?))).collect();
    let network = network::with_defaults(request.network_configuration.as_ref());
    keep(&mut kept, NETWORK_CONFIGURATION, network.as_ref());
    kept
}

/// What an update sets, or (`None`) takes away.
pub(crate) fn of_update(
    request: &UpdateServiceRequest,
) -> std::collections::BTreeMap<String, Option<String>> {
    changes(&Given {
        constraints: request.placement_constraints.as_ref(),
        strategy: request.placement_strategy.as_ref(),
        configuration: request.deployment_configuration.as_ref(),
        connect: request.service_connect_configuration.as_ref(),
        load_balancers: request.load_balancers.as_ref(),
        registries: request.service_registries.as_ref(),
        commands: request.enable_execute_command,
        network: network::with_defaults(request.network_configuration.as_ref()),
    })
}

/// What a request says of a service that is kept as JSON.
struct Given<'a> {
    constraints: Option<&'a Vec<PlacementConstraint>>,
    strategy: Option<&'a Vec<PlacementStrategy>>,
    configuration: Option<&'a DeploymentConfiguration>,
    connect: Option<&'a ServiceConnectConfiguration>,
    load_balancers: Option<&'a Vec<LoadBalancer>>,
    registries: Option<&'a Vec<ServiceRegistry>>,
    commands: Option<bool>,
    network: Option<NetworkConfiguration>,
}

fn changes(given: &Given<'_>) -> std::collections::BTreeMap<String, Option<String>> {
    let configuration = given.configuration;
    let mut kept = Described::new();
    keep(&mut kept, CIRCUIT_BREAKER, configuration.and_then(|one| one.deployment_circuit_breaker.as_ref()));
    keep(&mut kept, DEPLOYMENT_STRATEGY, configuration.and_then(|one| one.strategy.as_ref()));
    keep(&mut kept, BAKE_TIME, configuration.and_then(|one| one.bake_time_in_minutes.as_ref()));
    keep(&mut kept, EARLY_SUCCESS, configuration.and_then(|one| one.early_success_criteria.as_ref()));
    keep(&mut kept, DEPLOYMENT_ALARMS, configuration.and_then(|one| one.alarms.as_ref()));
    keep(&mut kept, SERVICE_CONNECT, given.connect);
    keep(&mut kept, NETWORK_CONFIGURATION, given.network.as_ref());
    let mut changes: std::collections::BTreeMap<String, Option<String>> =
        kept.into_iter().map(|(member, json)| (member, Some(json))).collect();
    list(&mut changes, PLACEMENT_CONSTRAINTS, given.constraints);
    list(&mut changes, PLACEMENT_STRATEGY, given.strategy);
    list(&mut changes, LIFECYCLE_HOOKS, configuration.and_then(|one| one.lifecycle_hooks.as_ref()));
    list(&mut changes, LOAD_BALANCERS, given.load_balancers);
    list(&mut changes, SERVICE_REGISTRIES, given.registries);
    if let Some(commands) = given.commands {
        changes.insert(EXECUTE_COMMAND.to_owned(), commands.then(|| commands.to_string()));
    }
    changes
}

/// A list that is given replaces the one before; an empty one takes it away.
fn list<T: Serialize>(
    changes: &mut std::collections::BTreeMap<String, Option<String>>,
    member: &str,
    given: Option<&Vec<T>>,
) {
    if let Some(list) = given {
        let json = serde_json::to_string(list).ok().filter(|_| !list.is_empty());
        changes.insert(member.to_owned(), json);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_containers_members_come_back_as_given() {
        let given = json!({
            "name": "app", "image": "busybox", "command": [], "entryPoint": ["sh"], "privileged": false, "links": [],
            "logConfiguration": {"logDriver": "json-file", "options": {}}, "linuxParameters": {},
            "restartPolicy": {"enabled": false}, "versionConsistency": "disabled",
        });
        let shape: ContainerDefinition = serde_json::from_value(given.clone()).unwrap();
        let kept = of_container(&shape);
        assert!(
            !kept.contains_key("entryPoint") && !kept.contains_key("name"),
            "they are stored by themselves"
        );
        let stored = json!({"name": "app", "image": "busybox", "entryPoint": ["sh"]});
        let answer = into_container(&kept, serde_json::from_value(stored).unwrap());
        assert_eq!(answer, shape);
    }
}
