//! Container definitions.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{ContainerDefinition, PortMapping};

use super::Refuse;
use crate::error::Result;

pub(crate) fn container_definition(container: &ContainerDefinition) -> Result<()> {
    let refuse = Refuse(Operation::RegisterTaskDefinition);
    refuse.on("disableNetworking", container.disable_networking)?;
    refuse.filled("credentialSpecs", &container.credential_specs)?;
    for requirement in container.resource_requirements.iter().flatten() {
        refuse.given("resourceRequirements.sharingStrategy", &requirement.sharing_strategy)?;
        let all = requirement.value.as_deref() == Some("ALL");
        refuse.when("resourceRequirements.value ALL", all)?;
    }
    container.port_mappings.iter().flatten().try_for_each(|mapping| port_mapping(refuse, mapping))
}

fn port_mapping(refuse: Refuse, mapping: &PortMapping) -> Result<()> {
    refuse.given("portMappings.appProtocol", &mapping.app_protocol)
}
