//! Scalable targets.

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_state::State;
use trireme_state::command::{AutoscalingCommand, ScalableTargetChange};
use trireme_state::object::{ScalableTarget, ServiceKey, SuspendedScaling, Tags};

use trireme_types::Scope;

use super::name::{self, DIMENSION, NAMESPACE, resource_id};
use super::shape::{
    self, DescribeTargets, Empty, OfTarget, Register, Registered, Suspended, Target, Targets, count,
};
use super::{invalid, missing, unavailable, write};
use crate::companion::Context;
use crate::error::Result;

/// Application Auto Scaling API: RoleARN.
const ROLE_LENGTH: usize = 1_600;

pub(super) async fn register(cx: Context, request: Register) -> Result<Registered> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let state = cx.read().await?;
    let there = |key: &ServiceKey| {
        state.service(key).is_some_and(|one| one.status == trireme_state::object::ServiceStatus::Active)
    };
    if !there(&service) {
        return Err(invalid(format!("ECS service doesn't exist: {}", resource_id(&service))));
    }
    if request.role_arn.as_ref().is_some_and(|role| role.is_empty() || role.chars().count() > ROLE_LENGTH) {
        return Err(invalid(format!("RoleARN has 1 to {ROLE_LENGTH} characters.")));
    }
    let known = state.scalable_target(&service).map(|target| target.spec.suspended).unwrap_or_default();
    let change = ScalableTargetChange {
        min: count(request.min_capacity, "MinCapacity")?,
        max: count(request.max_capacity, "MaxCapacity")?,
        suspended: request.suspended_state.map(|asked| suspended(&asked, known)),
        role_arn: request.role_arn,
    };
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    write(&cx, AutoscalingCommand::Register { service: service.clone(), change, tags }).await?;
    let state = cx.read().await?;
    let target = state.scalable_target(&service);
    let target =
        target.ok_or_else(|| unavailable("The scalable target was deregistered meanwhile.".to_owned()))?;
    Ok(Registered { scalable_target_arn: Some(name::target_arn(cx.scope(), target.id)) })
}

/// What is not said stays.
fn suspended(asked: &Suspended, known: SuspendedScaling) -> SuspendedScaling {
    SuspendedScaling {
        scale_in: asked.dynamic_scaling_in_suspended.unwrap_or(known.scale_in),
        scale_out: asked.dynamic_scaling_out_suspended.unwrap_or(known.scale_out),
        scheduled: asked.scheduled_scaling_suspended.unwrap_or(known.scheduled),
    }
}

/// Application Auto Scaling API: TagKey, TagValue.
pub(super) fn check_tags(tags: &Tags) -> Result<()> {
    let wrong = |(key, value): (&String, &String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 || key.starts_with("aws:")
    };
    if tags.iter().any(wrong) {
        return Err(invalid(
            "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.",
        ));
    }
    Ok(())
}

pub(super) async fn deregister(cx: Context, request: OfTarget) -> Result<Empty> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let state = cx.read().await?;
    if state.scalable_target(&service).is_none() && !cx.was_done(&state) {
        return Err(missing("scalable target", &service));
    }
    write(&cx, AutoscalingCommand::Deregister { service }).await?;
    Ok(Empty {})
}

pub(super) async fn describe(cx: Context, request: DescribeTargets) -> Result<Targets> {
    name::check_namespace(request.service_namespace.as_deref())?;
    request
        .scalable_dimension
        .as_deref()
        .map_or(Ok(()), |dimension| name::check_dimension(Some(dimension)))?;
    let asked = request.resource_ids.unwrap_or_default();
    let state = cx.read().await?;
    let all = state.scalable_targets_of(cx.scope()).map(|(key, target)| (resource_id(key), (key, target)));
    let found = all.filter(|(id, _)| asked.is_empty() || asked.contains(id)).collect();
    let page = (request.max_results, request.next_token.as_deref());
    let show = |(key, target): (&ServiceKey, &Arc<ScalableTarget>)| shown(key, target);
    let (targets, next_token) = shape::page("DescribeScalableTargets", found, page, show)?;
    Ok(Targets { scalable_targets: Some(targets), next_token })
}

fn shown(key: &ServiceKey, target: &ScalableTarget) -> Target {
    let spec = &target.spec;
    let scope = &key.cluster.scope;
    let linked = || {
        format!(
            "arn:aws:iam::{}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/\
             AWSServiceRoleForApplicationAutoScaling_ECSService",
            scope.account
        )
    };
    Target {
        service_namespace: Some(NAMESPACE.to_owned()),
        resource_id: Some(resource_id(key)),
        scalable_dimension: Some(DIMENSION.to_owned()),
        min_capacity: Some(spec.min),
        max_capacity: Some(spec.max),
        role_arn: Some(spec.role_arn.clone().unwrap_or_else(linked)),
        creation_time: Some(target.created_at.epoch_seconds()),
        suspended_state: Some(Suspended {
            dynamic_scaling_in_suspended: Some(spec.suspended.scale_in),
            dynamic_scaling_out_suspended: Some(spec.suspended.scale_out),
            scheduled_scaling_suspended: Some(spec.suspended.scheduled),
        }),
        scalable_target_arn: Some(name::target_arn(scope, target.id)),
    }
}

/// A policy or an action, with its service and its name.
type Part<'a, T> = (&'a ServiceKey, &'a String, &'a Arc<T>);

/// What the targets of an account and region have of one sort, of a resource and of names if they are asked for.
pub(super) fn parts<'a, T>(
    state: &'a State,
    scope: &'a Scope,
    (resource, names): (Option<&String>, &[String]),
    of: impl Fn(&'a ScalableTarget) -> &'a BTreeMap<String, Arc<T>>,
) -> Vec<(String, Part<'a, T>)> {
    let mut found = Vec::new();
    for (key, target) in state.scalable_targets_of(scope) {
        let id = resource_id(key);
        if resource.is_some_and(|asked| *asked != id) {
            continue;
        }
        let named = of(target).iter().filter(|(name, _)| names.is_empty() || names.contains(name));
        found.extend(named.map(|(name, part)| (format!("{id} {name}"), (key, name, part))));
    }
    found
}
