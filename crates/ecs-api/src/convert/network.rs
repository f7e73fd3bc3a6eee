//! Networks of tasks of their own (ECS API: NetworkMode awsvpc): where requests ask for interfaces, and what tasks have. Security groups
//! are stored and described, and nothing enforces them.

use trireme_ecs_model::shapes::{
    AssignPublicIp, Attachment, AwsVpcConfiguration, KeyValuePair, NetworkConfiguration, NetworkInterface,
};
use trireme_state::State;
use trireme_state::object::{
    self, Interface, Launching, NETWORK_CONFIGURATION, NetworkMode, Task, TaskStatus,
};
use trireme_state::query::uuid;
use trireme_types::{Scope, SubnetId};

use super::described;
use super::task_definition::pair;
use crate::error::{Error, Result};
use crate::length;

/// ECS API: AwsVpcConfiguration.subnets.
const SUBNETS: usize = 16;
/// ECS API: AwsVpcConfiguration.securityGroups.
const SECURITY_GROUPS: usize = 5;

/// What is asked for, with the defaults that ECS describes: who asks for the same asks for no change.
pub(crate) fn with_defaults(given: Option<&NetworkConfiguration>) -> Option<NetworkConfiguration> {
    let given = given?.awsvpc_configuration.clone()?;
    Some(NetworkConfiguration {
        awsvpc_configuration: Some(AwsVpcConfiguration {
            subnets: Some(given.subnets.unwrap_or_default()),
            security_groups: Some(given.security_groups.unwrap_or_default()),
            assign_public_ip: Some(given.assign_public_ip.unwrap_or(AssignPublicIp::Disabled)),
        }),
    })
}

/// Where tasks of a definition with this network mode get their interfaces; `None` in the modes without.
pub(crate) fn parse(
    state: &State,
    scope: &Scope,
    given: Option<&NetworkConfiguration>,
    mode: Option<NetworkMode>,
    launching: &Launching,
) -> Result<Option<object::NetworkConfiguration>> {
    let given = given.and_then(|given| given.awsvpc_configuration.as_ref());
    let given = match (given, mode == Some(NetworkMode::Awsvpc)) {
        (None, false) => return Ok(None),
        (Some(_), false) => {
            return Err(Error::invalid(
                "Network Configuration is not valid for the given networkMode of this task definition.",
            ));
        }
        (None, true) => {
            return Err(Error::invalid(
                "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
            ));
        }
        (Some(given), true) => given,
    };
    let subnets = given.subnets.as_deref().unwrap_or_default();
    let groups = given.security_groups.as_deref().unwrap_or_default();
    if subnets.is_empty() {
        return Err(Error::invalid("subnets can not be empty."));
    }
    // ECS API: AwsVpcConfiguration.assignPublicIp: for Fargate only. There it is described, and gives no address: such tasks reach out by
    // their machine's.
    if given.assign_public_ip == Some(AssignPublicIp::Enabled) && !launching.is_fargate() {
        return Err(Error::invalid("Assign public IP is not supported for this launch type."));
    }
    length::items("subnets", subnets, SUBNETS)?;
    length::items("securityGroups", groups, SECURITY_GROUPS)?;
    let known = |text: &String| {
        let id = text.parse::<SubnetId>().ok().filter(|id| state.subnet_of(scope, *id).is_some());
        id.ok_or_else(|| unknown_subnet(text))
    };
    Ok(Some(object::NetworkConfiguration {
        subnets: subnets.iter().map(known).collect::<Result<_>>()?,
        security_groups: groups.to_vec(),
    }))
}

/// As ECS passes on what EC2 says.
pub(crate) fn unknown_subnet(id: &str) -> Error {
    Error::invalid(format!(
        "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: \
         InvalidSubnetID.NotFound)"
    ))
}

/// What was kept of a service's or a task set's configuration.
pub(crate) fn read(kept: &object::Described) -> Option<NetworkConfiguration> {
    described::read(kept, NETWORK_CONFIGURATION)
}

/// A network interface's id: 17 hexadecimal digits, as EC2 has it.
fn interface_id(interface: &Interface) -> String {
    format!("eni-{:017x}", interface.id >> 60)
}

/// A task's attachments: its network interface, if it has one of its own.
pub(crate) fn attachments(task: &Task, interface: Option<&Interface>) -> Vec<Attachment> {
    let Some(interface) = interface else { return Vec::new() };
    let status = match task.last_status {
        TaskStatus::Provisioning => "PRECREATED",
        TaskStatus::Deprovisioning => "DETACHING",
        TaskStatus::Stopped => "DELETED",
        _ => "ATTACHED",
    };
    let details: [KeyValuePair; 5] = [
        ("subnetId", interface.subnet.to_string()),
        ("networkInterfaceId", interface_id(interface)),
        ("macAddress", interface.mac_address()),
        ("privateDnsName", interface.private_dns_name(&task.cluster.scope.region)),
        ("privateIPv4Address", interface.address.to_string()),
    ]
    .map(|(name, value)| pair(name, &value));
    vec![Attachment {
        id: Some(uuid(interface.id)),
        r#type: Some("ElasticNetworkInterface".to_owned()),
        status: Some(status.to_owned()),
        details: Some(details.to_vec()),
    }]
}

/// The same of one of the task's containers, which share it.
pub(crate) fn interfaces(interface: Option<&Interface>) -> Vec<NetworkInterface> {
    let of = |interface: &Interface| NetworkInterface {
        attachment_id: Some(uuid(interface.id)),
        private_ipv4_address: Some(interface.address.to_string()),
        ..Default::default()
    };
    interface.map(of).into_iter().collect()
}
