//! Rejections of the state as ECS's errors.

use trireme_ecs_model::{ErrorCode, Operation};
use trireme_state::Rejection;

use super::{Code, Error, declared, sentence};

pub(crate) fn of_rejection(operation: Operation, rejection: Rejection) -> Error {
    let ecs = Error::ecs;
    match rejection {
        Rejection::ClusterNotFound => Error::cluster_not_found(),
        Rejection::ClusterContainsServices => ecs(
            ErrorCode::ClusterContainsServices,
            "The Cluster cannot be deleted while Services are active.",
        ),
        Rejection::ClusterContainsTasks => {
            ecs(ErrorCode::ClusterContainsTasks, "The Cluster cannot be deleted while Tasks are active.")
        }
        Rejection::ClusterContainsContainerInstances => ecs(
            ErrorCode::ClusterContainsContainerInstances,
            "The Cluster cannot be deleted while Container Instances are active or draining.",
        ),
        Rejection::TaskDefinitionNotFound => Error::client("TaskDefinition not found."),
        Rejection::TaskDefinitionInactive => Error::client("TaskDefinition is inactive"),
        // ECS says nothing here but the type.
        Rejection::ServiceNotFound if operation == Operation::DeleteService => {
            ecs(ErrorCode::ServiceNotFound, "")
        }
        Rejection::ServiceNotFound => Error::service_not_found(),
        Rejection::ServiceNotActive => ecs(ErrorCode::ServiceNotActive, "Service was not ACTIVE."),
        Rejection::ServiceExists => Error::invalid("Creation of service was not idempotent."),
        Rejection::ServiceDraining => Error::invalid("Unable to Start a service that is still Draining."),
        Rejection::ServiceScaledAboveZero => {
            Error::invalid("The service cannot be stopped while it is scaled above 0.")
        }
        Rejection::TaskNotFound => Error::invalid("The referenced task was not found."),
        Rejection::ContainerInstanceNotFound if operation.errors().contains(&ErrorCode::TargetNotFound) => {
            ecs(ErrorCode::TargetNotFound, "The specified target was not found in the cluster.")
        }
        Rejection::ContainerInstanceNotFound => {
            Error::invalid("The referenced container instance was not found.")
        }
        Rejection::ContainerInstanceBusy => Error::invalid("Found running tasks on the instance."),
        Rejection::ResourceNotFound => Error::resource_not_found(),
        Rejection::IdempotencyConflict { resources } => conflict(operation, resources),
        Rejection::Stale { what } => Error::server(format!("{what} changed at the same time. Retry.")),
        Rejection::StaleEpoch => Error::server("The agent's session is over."),
        Rejection::LimitExceeded { what, limit } => of_limit(operation, &what, limit),
        Rejection::Invalid { message } => Error::invalid(message),
        Rejection::SubnetNotFound { subnet } => crate::convert::network::unknown_subnet(&subnet),
        // Clients try again, as they should: an operator may make room or end the upgrade.
        Rejection::FeatureLevel { .. } | Rejection::DiskFull { .. } => Error::server(sentence(&rejection)),
        // The APIs beside ECS have words of their own for them.
        Rejection::ScalingObjectNotFound { .. }
        | Rejection::LogGroupNotFound
        | Rejection::LogGroupExists
        | Rejection::AlarmNotFound
        | Rejection::ScheduleNotFound { .. }
        | Rejection::ScheduleExists { .. } => Error::server(sentence(&rejection)),
        Rejection::Defect { message } => Error::server(format!("Internal error: {message}")),
        other @ (Rejection::TaskDefinitionActive
        | Rejection::CapacityProviderNotFound
        | Rejection::CapacityProviderExists
        | Rejection::CapacityProviderGroupInUse
        | Rejection::CapacityProviderInUse { .. }
        | Rejection::CapacityProviderHasTasks { .. }
        | Rejection::AttributeLimitExceeded { .. }
        | Rejection::ServiceDeploymentNotFound
        | Rejection::ServiceDeploymentOver
        | Rejection::NothingToRollBackTo
        | Rejection::DeploymentDoesNotWait { .. }
        | Rejection::TaskNotOfService) => of_configuration(operation, other),
        other @ (Rejection::TaskSetNotFound
        | Rejection::ServiceHasNoTaskSets
        | Rejection::ServiceHasTaskSets
        | Rejection::TaskSetScaledAboveZero
        | Rejection::PrimaryTaskSet
        | Rejection::TaskSetDraining) => of_task_set(operation, other),
    }
}

fn of_limit(operation: Operation, what: &str, limit: u64) -> Error {
    let code = match operation {
        Operation::RegisterTaskDefinition => ErrorCode::Client,
        _ => declared(operation, ErrorCode::LimitExceeded, ErrorCode::InvalidParameter),
    };
    Error::ecs(code, format!("Limit exceeded: {what}, at most {limit}."))
}

fn of_task_set(operation: Operation, rejection: Rejection) -> Error {
    match rejection {
        Rejection::TaskSetNotFound => Error::ecs(
            declared(operation, ErrorCode::TaskSetNotFound, ErrorCode::InvalidParameter),
            "The specified task set was not found.",
        ),
        Rejection::ServiceHasNoTaskSets => Error::invalid(
            "Amazon ECS only supports task set management on services configured to use external deployment \
                 controllers.",
        ),
        Rejection::ServiceHasTaskSets => Error::invalid(
            "The service has an EXTERNAL deployment controller: what is to be rolled out is for its task sets to say.",
        ),
        Rejection::TaskSetScaledAboveZero => {
            Error::invalid("The task set cannot be deleted while it is scaled above 0.")
        }
        Rejection::PrimaryTaskSet => Error::invalid("Primary TaskSet cannot be deleted."),
        Rejection::TaskSetDraining => Error::invalid("The task set is DRAINING."),
        other => Error::server(format!("Internal error: {other}")),
    }
}

/// Of what is configured, and of deployments' records.
fn of_configuration(operation: Operation, rejection: Rejection) -> Error {
    match rejection {
        Rejection::TaskDefinitionActive => Error::client(
            "The specified task definition is still in ACTIVE status. Deregister it and try again.",
        ),
        Rejection::CapacityProviderNotFound => Error::client(
            "The specified capacity provider does not exist. Specify a valid name or ARN and try again.",
        ),
        Rejection::CapacityProviderExists => Error::client(
            "The specified capacity provider already exists. To change the configuration of an existing capacity \
             provider, update the capacity provider.",
        ),
        Rejection::CapacityProviderGroupInUse => Error::client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique \
             Auto Scaling group ARN and try again.",
        ),
        Rejection::CapacityProviderInUse { cluster } => Error::client(format!(
            "The capacity provider cannot be deleted because it is associated with cluster: {cluster}. Remove the \
             capacity provider from the cluster and try again.",
        )),
        Rejection::CapacityProviderHasTasks { .. } => Error::ecs(
            declared(operation, ErrorCode::ResourceInUse, ErrorCode::InvalidParameter),
            "The specified capacity provider is in use and cannot be removed.",
        ),
        Rejection::AttributeLimitExceeded { limit } => Error::ecs(
            declared(operation, ErrorCode::AttributeLimitExceeded, ErrorCode::InvalidParameter),
            format!("A container instance can have at most {limit} custom attributes."),
        ),
        Rejection::ServiceDeploymentNotFound => {
            Error::ecs(ErrorCode::ServiceDeploymentNotFound, "The service deployment was not found.")
        }
        Rejection::ServiceDeploymentOver => Error::ecs(
            declared(operation, ErrorCode::Conflict, ErrorCode::InvalidParameter),
            "The service deployment is not in a state in which it can be stopped.",
        ),
        Rejection::NothingToRollBackTo => Error::invalid(
            "The service deployment cannot be rolled back: no deployment of the service has been successful yet.",
        ),
        Rejection::DeploymentDoesNotWait { hook } => {
            Error::invalid(format!("The service deployment does not wait at a lifecycle hook {hook}."))
        }
        Rejection::TaskNotOfService => Error::invalid("The referenced task belongs to no service."),
        other => Error::server(format!("Internal error: {other}")),
    }
}

fn conflict(operation: Operation, resource_ids: Vec<String>) -> Error {
    if operation == Operation::CreateService {
        return Error::invalid("Creation of service was not idempotent.");
    }
    let code = declared(operation, ErrorCode::Conflict, ErrorCode::InvalidParameter);
    let message = "The client token was used before with other parameters.";
    Error { code: Code::Ecs(code), message: message.to_owned(), resource_ids }
}
