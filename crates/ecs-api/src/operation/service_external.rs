//! What may be asked of a service whose deployments are task sets: what is the task sets' own is not the service's (ECS developer
//! guide: external deployment).

use trireme_ecs_model::shapes::{
    CreateServiceRequest, DeploymentController, DeploymentControllerType, UpdateServiceRequest,
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

pub(super) fn check_create(request: &CreateServiceRequest) -> Result<()> {
    let of_task_sets = [
        ("taskDefinition", request.task_definition.is_some()),
        ("loadBalancers", filled(request.load_balancers.as_ref())),
        ("serviceRegistries", filled(request.service_registries.as_ref())),
        ("serviceConnectConfiguration", request.service_connect_configuration.is_some()),
        ("launchType", request.launch_type.is_some()),
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
    if request.force_new_deployment == Some(true) {
        return Err(Error::invalid(
            "Cannot force a new deployment on services with an EXTERNAL deployment controller. Create a task set.",
        ));
    }
    let of_task_sets = [
        ("task definition", request.task_definition.is_some()),
        ("load balancers", request.load_balancers.is_some()),
        ("service registries", request.service_registries.is_some()),
        ("service connect configuration", request.service_connect_configuration.is_some()),
    ];
    match of_task_sets.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((what, _)) => Err(Error::invalid(format!(
            "Unable to update {what} on services with an EXTERNAL deployment controller. Create a task set."
        ))),
    }
}
