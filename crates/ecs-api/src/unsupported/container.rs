//! Container definitions.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    ContainerDefinition, LinuxParameters, LogConfiguration, LogDriver, PortMapping, VersionConsistency,
};

use super::Refuse;
use crate::error::Result;

pub(crate) fn container_definition(container: &ContainerDefinition) -> Result<()> {
    let refuse = Refuse(Operation::RegisterTaskDefinition);
    refuse.given("repositoryCredentials", &container.repository_credentials)?;
    refuse.filled("links", &container.links)?;
    refuse.on("restartPolicy", container.restart_policy.as_ref().and_then(|policy| policy.enabled))?;
    refuse.filled("environmentFiles", &container.environment_files)?;
    refuse.filled("mountPoints", &container.mount_points)?;
    refuse.filled("volumesFrom", &container.volumes_from)?;
    refuse.when(
        "linuxParameters",
        container.linux_parameters.as_ref().is_some_and(|given| *given != LinuxParameters::default()),
    )?;
    refuse.filled("secrets", &container.secrets)?;
    refuse.filled("dependsOn", &container.depends_on)?;
    refuse.given("startTimeout", &container.start_timeout)?;
    refuse.when(
        "versionConsistency enabled",
        container.version_consistency == Some(VersionConsistency::Enabled),
    )?;
    refuse.on("disableNetworking", container.disable_networking)?;
    refuse.on("privileged", container.privileged)?;
    refuse.filled("dnsServers", &container.dns_servers)?;
    refuse.filled("dnsSearchDomains", &container.dns_search_domains)?;
    refuse.filled("extraHosts", &container.extra_hosts)?;
    refuse.filled("dockerSecurityOptions", &container.docker_security_options)?;
    refuse.filled("ulimits", &container.ulimits)?;
    refuse.when("logConfiguration", !container.log_configuration.as_ref().is_none_or(is_dockers_own))?;
    refuse.given("healthCheck", &container.health_check)?;
    refuse.filled("systemControls", &container.system_controls)?;
    refuse.filled("resourceRequirements", &container.resource_requirements)?;
    refuse.given("firelensConfiguration", &container.firelens_configuration)?;
    refuse.filled("credentialSpecs", &container.credential_specs)?;
    container.port_mappings.iter().flatten().try_for_each(|mapping| port_mapping(refuse, mapping))
}

/// What Docker does unless told otherwise.
fn is_dockers_own(log: &LogConfiguration) -> bool {
    log.log_driver == Some(LogDriver::JsonFile)
        && log.options.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
        && log.secret_options.as_ref().is_none_or(Vec::is_empty)
}

fn port_mapping(refuse: Refuse, mapping: &PortMapping) -> Result<()> {
    refuse.given("portMappings.appProtocol", &mapping.app_protocol)?;
    refuse.given("portMappings.containerPortRange", &mapping.container_port_range)
}
