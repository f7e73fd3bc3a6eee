//! What requests are about: a service's desired count, by resource id or ARN.

use trireme_state::object::{ClusterKey, ServiceKey};
use trireme_types::{ClusterName, Scope, ServiceName};

use super::invalid;
use crate::companion::Context;
use crate::error::Result;

/// The one service namespace that is served.
pub(super) const NAMESPACE: &str = "ecs";
/// The one dimension.
pub(super) const DIMENSION: &str = "ecs:service:DesiredCount";

/// Of a request's namespace. It is required.
pub(super) fn check_namespace(namespace: Option<&str>) -> Result<()> {
    match namespace {
        Some(NAMESPACE) => Ok(()),
        Some(other) => Err(invalid(format!(
            "The service namespace {} is not supported: only {NAMESPACE} is.",
            other.escape_debug()
        ))),
        None => Err(null("serviceNamespace")),
    }
}

pub(super) fn check_dimension(dimension: Option<&str>) -> Result<()> {
    match dimension {
        Some(DIMENSION) => Ok(()),
        Some(other) => Err(invalid(format!(
            "Unsupported service namespace, resource type or scalable dimension: {}; only {DIMENSION} is supported.",
            other.escape_debug()
        ))),
        None => Err(null("scalableDimension")),
    }
}

/// A member that must be given is not.
pub(super) fn null(member: &str) -> crate::error::Error {
    invalid(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

/// The service of a request: namespace, dimension and resource id must be given.
pub(super) fn service(
    cx: &Context,
    (namespace, dimension, resource): (&Option<String>, &Option<String>, &Option<String>),
) -> Result<ServiceKey> {
    check_namespace(namespace.as_deref())?;
    check_dimension(dimension.as_deref())?;
    of_resource(cx.scope(), resource.as_deref().ok_or_else(|| null("resourceId"))?)
}

/// `service/CLUSTER/NAME`.
pub(super) fn of_resource(scope: &Scope, resource: &str) -> Result<ServiceKey> {
    let parts: Vec<&str> = resource.split('/').collect();
    let names = match parts[..] {
        ["service", cluster, service] => ClusterName::new(cluster).ok().zip(ServiceName::new(service).ok()),
        _ => None,
    };
    let (cluster, name) = names.ok_or_else(|| {
        invalid(format!(
            "The resource ID {} is not valid: it must be service/CLUSTER/SERVICE.",
            resource.escape_debug()
        ))
    })?;
    Ok(ServiceKey { cluster: ClusterKey { scope: scope.clone(), name: cluster }, name })
}

pub(super) fn resource_id(service: &ServiceKey) -> String {
    format!("service/{}/{}", service.cluster.name, service.name)
}

fn prefix(scope: &Scope, of: &str) -> String {
    format!("arn:aws:{of}:{}:{}:", scope.region, scope.account)
}

/// A scalable target's ARN.
pub(super) fn target_arn(scope: &Scope, id: u128) -> String {
    format!("{}scalable-target/{id:032x}", prefix(scope, "application-autoscaling"))
}

/// The id in a scalable target's ARN of this account and region.
pub(super) fn of_target_arn(scope: &Scope, arn: &str) -> Option<u128> {
    let id = arn.strip_prefix(&format!("{}scalable-target/", prefix(scope, "application-autoscaling")))?;
    u128::from_str_radix(id, 16).ok().filter(|id| format!("{id:032x}") == arn[arn.len() - 32..])
}

/// A policy's ARN, which alarms name among their actions.
pub(super) fn policy_arn(service: &ServiceKey, name: &str, id: u128) -> String {
    trireme_state::query::scaling_policy_arn(service, name, id)
}

/// A scheduled action's ARN.
pub(super) fn action_arn(service: &ServiceKey, name: &str, id: u128) -> String {
    let prefix = prefix(&service.cluster.scope, "autoscaling");
    let (id, resource) = (uuid(id), resource_id(service));
    format!("{prefix}scheduledAction:{id}:resource/{NAMESPACE}/{resource}:scheduledActionName/{name}")
}

/// As it is written in ARNs and activities.
pub(super) fn uuid(id: u128) -> String {
    trireme_state::query::uuid(id)
}
