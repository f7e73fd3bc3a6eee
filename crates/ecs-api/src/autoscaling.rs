//! Application Auto Scaling on the same port: awsJson1.1 with the target `AnyScaleFrontendService.OPERATION`, signed for
//! `application-autoscaling`. Of all that it can scale there are services' desired counts here.
//!
//! Reading order: `shape` (requests and answers) · `name` (what they are about) · `target` · `policy` · `action` · `activity` · `tag`.

mod action;
mod activity;
mod name;
mod policy;
mod shape;
mod tag;
mod target;

use trireme_state::object::ServiceKey;
use trireme_state::{Command, Rejection, command::AutoscalingCommand};

use crate::companion::{Context, Service, operations};
use crate::error::{Code, Error, Result, sentence};
use crate::http::JSON;

pub(crate) const SERVICE: Service = Service {
    signing_name: "application-autoscaling",
    target: "AnyScaleFrontendService.",
    content_type: JSON,
    of_rejection,
    unavailable,
};

operations! {
    SERVICE;
    RegisterScalableTarget => target::register,
    DeregisterScalableTarget => target::deregister,
    DescribeScalableTargets => target::describe,
    PutScalingPolicy => policy::put,
    DeleteScalingPolicy => policy::delete,
    DescribeScalingPolicies => policy::describe,
    GetPredictiveScalingForecast => policy::forecast,
    PutScheduledAction => action::put,
    DeleteScheduledAction => action::delete,
    DescribeScheduledActions => action::describe,
    DescribeScalingActivities => activity::describe,
    TagResource => tag::add,
    UntagResource => tag::remove,
    ListTagsForResource => tag::list,
}

async fn write(cx: &Context, command: AutoscalingCommand) -> Result<()> {
    cx.write(Command::Autoscaling(Box::new(command))).await
}

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::ScalingObjectNotFound { what } => not_found(format!("There is no {what}.")),
        Rejection::ServiceNotFound | Rejection::ServiceNotActive => {
            invalid("The ECS service is not there or not active.")
        }
        Rejection::LimitExceeded { what, limit } if what.starts_with("tags") => {
            common("TooManyTagsException", format!("Too many {what}: at most {limit}."))
        }
        Rejection::LimitExceeded { what, limit } => {
            common("LimitExceededException", format!("Resource limit exceeded: {what}, at most {limit}."))
        }
        Rejection::Stale { what } => common(
            "ConcurrentUpdateException",
            format!("There is already a pending update to {what}. Retry."),
        ),
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn common(name: &'static str, message: impl Into<String>) -> Error {
    Error::new(Code::Common(name, 400), message)
}

fn invalid(message: impl Into<String>) -> Error {
    common("ValidationException", message)
}

fn not_found(message: impl Into<String>) -> Error {
    common("ObjectNotFoundException", message)
}

/// Nothing of that sort is known of the service.
fn missing(what: &str, service: &ServiceKey) -> Error {
    not_found(format!(
        "No {what} found for service namespace: ecs, resource ID: {}, scalable dimension: {}",
        name::resource_id(service),
        name::DIMENSION,
    ))
}

fn unavailable(message: String) -> Error {
    Error::new(Code::Common("InternalServiceException", 500), message)
}
