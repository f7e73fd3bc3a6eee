//! What may be asked of a service whose deployments are task sets: what is the task sets' own is not the service's (ECS developer
//! guide: external deployment).

use trireme_ecs_model::shapes::{
    CreateServiceRequest, DeploymentConfiguration, DeploymentController, DeploymentControllerType,
    UpdateServiceRequest,
};

use crate::error::{Error, Result};

/// Whether a request names the deployment controller EXTERNAL.
pub(super) fn is_external(controller: Option<&DeploymentController>) -> bool {
    let named = controller.and_then(|controller| controller.r#type.as_ref());
    named == Some(&DeploymentControllerType::External)
}

fn filled<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// ECS API: DeploymentConfiguration: with this controller its percents are not to be chosen.
fn check_percents(given: Option<&DeploymentConfiguration>) -> Result<()> {
    let other = |value: Option<i32>, usual: i32| value.is_some_and(|value| value != usual);
    if given
        .is_some_and(|given| other(given.maximum_percent, 200) || other(given.minimum_healthy_percent, 100))
    {
        return Err(Error::invalid(
            "A custom maximumPercent or minimumHealthyPercent cannot be specified for services with an EXTERNAL \
             deployment controller.",
        ));
    }
    Ok(())
}

pub(super) fn check_create(request: &CreateServiceRequest) -> Result<()> {
    check_percents(request.deployment_configuration.as_ref())?;
    let of_task_sets = [
        ("taskDefinition", request.task_definition.is_some()),
        ("loadBalancers", filled(request.load_balancers.as_ref())),
        ("serviceRegistries", filled(request.service_registries.as_ref())),
        ("serviceConnectConfiguration", request.service_connect_configuration.is_some()),
        ("launchType", request.launch_type.is_some()),
        ("capacityProviderStrategy", filled(request.capacity_provider_strategy.as_ref())),
        ("platformVersion", request.platform_version.is_some()),
        ("networkConfiguration", request.network_configuration.is_some()),
    ];
    match of_task_sets.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((member, _)) => Err(Error::invalid(format!(
            "{member} cannot be specified for a service with an EXTERNAL deployment controller. Specify it for its task \
             sets.",
        ))),
    }
}

pub(super) fn check_update(request: &UpdateServiceRequest) -> Result<()> {
    check_percents(request.deployment_configuration.as_ref())?;
    if request.force_new_deployment == Some(true) {
        return Err(Error::invalid(
            "Cannot force a new deployment on services with an EXTERNAL deployment controller. Create a task set.",
        ));
    }
    let of_task_sets = [
        ("task definition", request.task_definition.is_some()),
        ("load balancers", filled(request.load_balancers.as_ref())),
        ("service registries", filled(request.service_registries.as_ref())),
        ("service connect configuration", request.service_connect_configuration.is_some()),
        ("capacity provider strategy", filled(request.capacity_provider_strategy.as_ref())),
        ("platform version", request.platform_version.is_some()),
        ("network configuration", request.network_configuration.is_some()),
    ];
    match of_task_sets.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((what, _)) => Err(Error::invalid(format!(
            "Unable to update {what} on services with an EXTERNAL deployment controller. Create a task set."
        ))),
    }
}
