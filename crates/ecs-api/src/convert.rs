//! The state as ECS's shapes. What ECS leaves out stays out; what it answers as an empty list is an empty list.

pub(crate) mod capacity_provider;
pub(crate) mod cluster;
pub(crate) mod cluster_input;
pub(crate) mod container_instance;
pub(crate) mod container_order;
pub(crate) mod container_settings;
pub(crate) mod definition_input;
pub(crate) mod deployment_input;
pub(crate) mod described;
pub(crate) mod fargate;
pub(crate) mod health_check;
pub(crate) mod instance_input;
pub(crate) mod log_configuration;
mod namespaces;
pub(crate) mod network;
pub(crate) mod overrides;
pub(crate) mod placement;
mod port_range;
pub(crate) mod role;
pub(crate) mod scheduling;
pub(crate) mod service;
pub(crate) mod service_deployment;
pub(crate) mod service_input;
pub(crate) mod tags;
pub(crate) mod target;
pub(crate) mod task;
pub(crate) mod task_definition;
pub(crate) mod task_set;
pub(crate) mod volumes;
pub(crate) mod waiting_run;

use trireme_ecs_model::EpochSeconds;
use trireme_ecs_model::shapes::Failure;
use trireme_types::{Arn, Scope, Timestamp};

/// A point in time.
pub(crate) fn time(at: Timestamp) -> EpochSeconds {
    EpochSeconds::from_millis(i64::try_from(at.millis()).unwrap_or(i64::MAX))
}

/// A number; ECS's are 32 bits wide with a sign.
pub(crate) fn number(value: impl TryInto<i32>) -> i32 {
    value.try_into().unwrap_or(i32::MAX)
}

/// The ARN that a failure names: what was asked for, as an ARN.
pub(crate) fn arn_of(scope: &Scope, kind: &str, text: &str) -> String {
    if Arn::looks_like(text) {
        return text.to_owned();
    }
    format!("arn:aws:ecs:{}:{}:{kind}/{text}", scope.region, scope.account)
}

/// What was asked for is not there.
pub(crate) fn missing(arn: String) -> Failure {
    Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}
