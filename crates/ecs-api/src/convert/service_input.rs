//! What requests say of a service's traffic, checked against its task definition (ECS API: CreateService, UpdateService). Load
//! balancers, registries and Service Connect are stored and described; nothing routes yet.

use trireme_ecs_model::shapes::{
    LoadBalancer, ServiceConnectClientAlias, ServiceConnectConfiguration, ServiceConnectService,
    ServiceRegistry,
};
use trireme_state::object::{ContainerDefinition, TaskDefinition};

use crate::error::{Error, Result};
use crate::length;

/// ECS API: target groups of a service.
const LOAD_BALANCERS: usize = 5;
/// ECS API: registries of a service.
const REGISTRIES: usize = 1;

fn container<'a>(definition: &'a TaskDefinition, name: &str) -> Result<&'a ContainerDefinition> {
    definition
        .spec
        .containers
        .iter()
        .find(|one| one.name.as_str() == name)
        .ok_or_else(|| Error::invalid(format!("The container {name} does not exist in the task definition.")))
}

/// ECS: a port that traffic goes to is one that its container maps.
fn check_port(definition: &TaskDefinition, name: &str, port: i32) -> Result<()> {
    let container = container(definition, name)?;
    let mapped = |port: i32| {
        container.port_mappings.iter().any(|mapping| i32::from(mapping.container_port.get()) == port)
    };
    if mapped(port) {
        return Ok(());
    }
    Err(Error::invalid(format!("The container {name} did not have a container port {port} defined.")))
}

pub(crate) fn load_balancers(given: Option<&[LoadBalancer]>, definition: &TaskDefinition) -> Result<()> {
    let given = given.unwrap_or_default();
    length::items("loadBalancers", given, LOAD_BALANCERS)?;
    for one in given {
        let group = one.target_group_arn.as_deref().unwrap_or_default();
        let name = one.load_balancer_name.as_deref().unwrap_or_default();
        if group.is_empty() == name.is_empty() {
            return Err(Error::invalid(
                "Exactly one of targetGroupArn and loadBalancerName must be specified.",
            ));
        }
        if !group.is_empty() && !group.starts_with("arn:") {
            return Err(Error::invalid(format!("Invalid target group ARN: {group}")));
        }
        if one.advanced_configuration.is_some() {
            return Err(Error::invalid(
                "advancedConfiguration is only valid with a deployment strategy that shifts traffic.",
            ));
        }
        let container = one.container_name.as_deref().unwrap_or_default();
        let port = one.container_port.ok_or_else(|| Error::invalid("containerPort must be specified."))?;
        check_port(definition, container, port)?;
    }
    Ok(())
}

pub(crate) fn registries(given: Option<&[ServiceRegistry]>, definition: &TaskDefinition) -> Result<()> {
    let given = given.unwrap_or_default();
    if given.len() > REGISTRIES {
        return Err(Error::invalid("A service can have one service registry at most."));
    }
    for one in given {
        let arn = one.registry_arn.as_deref().unwrap_or_default();
        if !arn.starts_with("arn:") {
            return Err(Error::invalid(format!("Invalid registry ARN: {arn}")));
        }
        if one.port.is_some() && (one.container_name.is_some() || one.container_port.is_some()) {
            return Err(Error::invalid(
                "Either port, or containerName and containerPort can be specified for a service registry.",
            ));
        }
        match (one.container_name.as_deref(), one.container_port) {
            (None, None) => {}
            (Some(container), Some(port)) => check_port(definition, container, port)?,
            _ => {
                return Err(Error::invalid("containerName and containerPort must be specified together."));
            }
        }
    }
    Ok(())
}

/// `default` is the cluster's namespace.
pub(crate) fn connect(
    given: Option<&ServiceConnectConfiguration>,
    definition: &TaskDefinition,
    default: bool,
) -> Result<()> {
    let Some(given) = given.filter(|given| given.enabled == Some(true)) else { return Ok(()) };
    if given.namespace.as_ref().is_none_or(String::is_empty) && !default {
        return Err(Error::invalid(
            "Service Connect needs a namespace: specify one, or set the cluster's serviceConnectDefaults.",
        ));
    }
    given.services.iter().flatten().try_for_each(|one| connect_service(one, definition))
}

fn connect_service(given: &ServiceConnectService, definition: &TaskDefinition) -> Result<()> {
    let name = given.port_name.as_deref().unwrap_or_default();
    let mappings = definition.spec.containers.iter().flat_map(|container| &container.port_mappings);
    let mut names = mappings.filter_map(|mapping| mapping.name.as_deref());
    if name.is_empty() || !names.any(|known| known == name) {
        return Err(Error::invalid(format!(
            "The Service Connect port name {name} was not found among the task definition's port mappings."
        )));
    }
    let ports = given.client_aliases.iter().flatten().map(|alias: &ServiceConnectClientAlias| alias.port);
    for port in ports.chain([given.ingress_port_override]).flatten() {
        if !(1..=65_535).contains(&port) {
            return Err(Error::invalid(format!(
                "A port of Service Connect is between 1 and 65535, not {port}."
            )));
        }
    }
    Ok(())
}
