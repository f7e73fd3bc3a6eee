//! Names of scaling policies, as alarms have them among their actions.

use crate::object::ServiceKey;

/// A number as a UUID is written.
pub fn uuid(id: u128) -> String {
    let hex = format!("{id:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A scaling policy's ARN (Application Auto Scaling API: PolicyARN).
pub fn scaling_policy_arn(service: &ServiceKey, name: &str, id: u128) -> String {
    let scope = &service.cluster.scope;
    format!(
        "arn:aws:autoscaling:{}:{}:scalingPolicy:{}:resource/ecs/service/{}/{}:policyName/{name}",
        scope.region,
        scope.account,
        uuid(id),
        service.cluster.name,
        service.name
    )
}
