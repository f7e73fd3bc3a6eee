//! Services.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    CreateServiceRequest, CreateTaskSetRequest, DeploymentConfiguration, DeploymentController,
    DeploymentControllerType, DeploymentStrategy, UpdateServiceRequest,
};

use super::Refuse;
use crate::error::Result;

pub(crate) fn create_service(request: &CreateServiceRequest) -> Result<()> {
    let refuse = Refuse(Operation::CreateService);
    deployment_configuration(refuse, request.deployment_configuration.as_ref())?;
    deployment_controller(refuse, request.deployment_controller.as_ref())?;
    refuse.filled("volumeConfigurations", &request.volume_configurations)?;
    refuse.filled("vpcLatticeConfigurations", &request.vpc_lattice_configurations)?;
    refuse.filled("gatewayConnectors", &request.gateway_connectors)?;
    refuse.given("monitoring", &request.monitoring)
}

pub(crate) fn create_task_set(request: &CreateTaskSetRequest) -> Result<()> {
    let refuse = Refuse(Operation::CreateTaskSet);
    refuse.launch_type(request.launch_type.as_ref())?;
    refuse.filled("capacityProviderStrategy", &request.capacity_provider_strategy)?;
    refuse.given("platformVersion", &request.platform_version)
}

pub(crate) fn update_service(request: &UpdateServiceRequest) -> Result<()> {
    let refuse = Refuse(Operation::UpdateService);
    deployment_configuration(refuse, request.deployment_configuration.as_ref())?;
    deployment_controller(refuse, request.deployment_controller.as_ref())?;
    refuse.filled("volumeConfigurations", &request.volume_configurations)?;
    refuse.filled("vpcLatticeConfigurations", &request.vpc_lattice_configurations)?;
    refuse.filled("gatewayConnectors", &request.gateway_connectors)?;
    refuse.given("monitoring", &request.monitoring)
}

fn deployment_controller(refuse: Refuse, value: Option<&DeploymentController>) -> Result<()> {
    match value.and_then(|controller| controller.r#type.as_ref()) {
        None | Some(DeploymentControllerType::Ecs | DeploymentControllerType::External) => Ok(()),
        Some(other) => Err(refuse.error(&format!("deploymentController {other}"))),
    }
}

fn deployment_configuration(refuse: Refuse, value: Option<&DeploymentConfiguration>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    if let Some(strategy) = &value.strategy {
        let is_there = matches!(strategy, DeploymentStrategy::Rolling | DeploymentStrategy::BlueGreen);
        refuse.when(&format!("deploymentConfiguration.strategy {strategy}"), !is_there)?;
    }
    refuse.given("deploymentConfiguration.linearConfiguration", &value.linear_configuration)?;
    refuse.given("deploymentConfiguration.canaryConfiguration", &value.canary_configuration)
}
