//! Capacity providers: create, update, delete, describe. Their pools are scaled by a controller (`trireme_controllers::capacity`).

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    CapacityProviderField, CreateCapacityProviderRequest, CreateCapacityProviderResponse,
    DeleteCapacityProviderRequest, DeleteCapacityProviderResponse, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse, ManagedDraining, ManagedScaling, ManagedScalingStatus,
    ManagedTerminationProtection, UpdateCapacityProviderRequest, UpdateCapacityProviderResponse,
};
use trireme_state::command::AutoScalingGroupChange;
use trireme_state::object::{self, AutoScalingGroup, CapacityProviderKey};
use trireme_state::{Command, Rejection, State};
use trireme_types::CapacityProviderName;

use crate::context::Context;
use crate::convert::{self, capacity_provider, tags};
use crate::error::{Error, Result, of_rejection};
use crate::length;
use crate::page::Page;
use crate::resolve;

/// ECS API: providers that one DescribeCapacityProviders may name.
const DESCRIBE_LIMIT: usize = 100;
/// ECS API: DescribeCapacityProviders.maxResults, which is smaller than the other lists'.
const PAGE: usize = 10;
/// ECS's own.
const BUILT_IN: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

pub(crate) async fn create(
    cx: Context,
    request: CreateCapacityProviderRequest,
) -> Result<CreateCapacityProviderResponse> {
    check_managed(cx.operation, request.managed_instances_provider.is_some(), request.cluster.as_deref())?;
    let name = new_name(request.name.as_deref().unwrap_or_default())?;
    let key = CapacityProviderKey { scope: cx.scope().clone(), name };
    let given = request.auto_scaling_group_provider.ok_or_else(|| {
        Error::invalid(
            "The capacity provider must have an autoScalingGroupProvider. Specify one and try again.",
        )
    })?;
    let group_arn = given.auto_scaling_group_arn.unwrap_or_default();
    if group_arn.is_empty() {
        return Err(Error::invalid("autoScalingGroupProvider.autoScalingGroupArn must not be empty."));
    }
    let change = change(
        given.managed_scaling.as_ref(),
        given.managed_termination_protection.as_ref(),
        given.managed_draining.as_ref(),
    )?;
    let tags = tags::parse(request.tags.as_deref())?;
    let group = Box::new(with_defaults(group_arn, &change));
    let (_, state) = cx.write(Command::CreateCapacityProvider { key: key.clone(), group, tags }).await?;
    let capacity_provider = Some(described(&cx, &state, &key)?);
    Ok(CreateCapacityProviderResponse { capacity_provider })
}

/// ECS API: AutoScalingGroupProvider's defaults.
fn with_defaults(arn: String, change: &AutoScalingGroupChange) -> AutoScalingGroup {
    let default = object::ManagedScaling::default();
    AutoScalingGroup {
        arn,
        managed_scaling: object::ManagedScaling {
            enabled: change.scaling.unwrap_or(default.enabled),
            target_capacity: change.target_capacity.unwrap_or(default.target_capacity),
            minimum_step: change.minimum_step.unwrap_or(default.minimum_step),
            maximum_step: change.maximum_step.unwrap_or(default.maximum_step),
            warmup_seconds: change.warmup_seconds.unwrap_or(default.warmup_seconds),
        },
        managed_termination_protection: change.termination_protection.unwrap_or(false),
        managed_draining: change.draining.unwrap_or(true),
    }
}

fn described(
    cx: &Context,
    state: &State,
    key: &CapacityProviderKey,
) -> Result<trireme_ecs_model::shapes::CapacityProvider> {
    let provider = state.capacity_provider(key).ok_or_else(|| not_found(cx))?;
    Ok(capacity_provider::describe(provider, true))
}

fn not_found(cx: &Context) -> Error {
    of_rejection(cx.operation, Rejection::CapacityProviderNotFound)
}

/// Managed instances are AWS's own machines; only their providers belong to a cluster.
fn check_managed(operation: Operation, managed: bool, cluster: Option<&str>) -> Result<()> {
    if managed {
        return Err(Error::unsupported(operation, "managedInstancesProvider"));
    }
    if cluster.is_some_and(|cluster| !cluster.is_empty()) {
        return Err(Error::invalid("cluster can only be specified with a managedInstancesProvider."));
    }
    Ok(())
}

/// ECS API: CreateCapacityProvider.name.
fn new_name(text: &str) -> Result<CapacityProviderName> {
    let lower = text.to_ascii_lowercase();
    let reserved = ["aws", "ecs", "fargate"].iter().any(|prefix| lower.starts_with(prefix));
    CapacityProviderName::new(text).ok().filter(|_| !reserved).ok_or_else(|| {
        Error::invalid(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters \
             (upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with \"aws\", \
             \"ecs\", or \"fargate\". Specify a valid name and try again.",
        )
    })
}

fn change(
    scaling: Option<&ManagedScaling>,
    protection: Option<&ManagedTerminationProtection>,
    draining: Option<&ManagedDraining>,
) -> Result<AutoScalingGroupChange> {
    let mut change = AutoScalingGroupChange {
        termination_protection: protection.map(|given| *given == ManagedTerminationProtection::Enabled),
        draining: draining.map(|given| *given == ManagedDraining::Enabled),
        ..AutoScalingGroupChange::default()
    };
    if let Some(given) = scaling {
        change.scaling = given.status.as_ref().map(|status| *status == ManagedScalingStatus::Enabled);
        change.target_capacity = within("targetCapacity", given.target_capacity, 1, 100)?;
        change.minimum_step = within("minimumScalingStepSize", given.minimum_scaling_step_size, 1, 10_000)?;
        change.maximum_step = within("maximumScalingStepSize", given.maximum_scaling_step_size, 1, 10_000)?;
        change.warmup_seconds = within("instanceWarmupPeriod", given.instance_warmup_period, 0, 10_000)?;
    }
    Ok(change)
}

fn within(member: &str, value: Option<i32>, min: i32, max: i32) -> Result<Option<u32>> {
    let Some(value) = value else { return Ok(None) };
    let fits = u32::try_from(value).ok().filter(|_| (min..=max).contains(&value));
    fits.map(Some).ok_or_else(|| {
        Error::invalid(format!("managedScaling.{member} must be between {min} and {max}, not {value}."))
    })
}

pub(crate) async fn update(
    cx: Context,
    request: UpdateCapacityProviderRequest,
) -> Result<UpdateCapacityProviderResponse> {
    check_managed(cx.operation, request.managed_instances_provider.is_some(), request.cluster.as_deref())?;
    let name = request.name.as_deref().unwrap_or_default();
    let key = resolve::capacity_provider(cx.scope(), name).ok_or_else(|| not_found(&cx))?;
    if key.is_built_in() {
        return Err(Error::invalid(format!("The capacity provider {} cannot be updated.", key.name)));
    }
    let given = request.auto_scaling_group_provider.unwrap_or_default();
    let change = change(
        given.managed_scaling.as_ref(),
        given.managed_termination_protection.as_ref(),
        given.managed_draining.as_ref(),
    )?;
    if change == AutoScalingGroupChange::default() {
        return Err(Error::invalid("autoScalingGroupProvider must say what to update."));
    }
    let (_, state) = cx.write(Command::UpdateCapacityProvider { key: key.clone(), change }).await?;
    let capacity_provider = Some(described(&cx, &state, &key)?);
    Ok(UpdateCapacityProviderResponse { capacity_provider })
}

pub(crate) async fn delete(
    cx: Context,
    request: DeleteCapacityProviderRequest,
) -> Result<DeleteCapacityProviderResponse> {
    use trireme_ecs_model::shapes::{CapacityProviderStatus, CapacityProviderUpdateStatus};
    let name = request.capacity_provider.as_deref().unwrap_or_default();
    let key = resolve::capacity_provider(cx.scope(), name).ok_or_else(|| not_found(&cx))?;
    if key.is_built_in() {
        return Err(Error::invalid(format!(
            "The capacity provider {} is reserved and cannot be deleted. Remove it from a cluster with \
             PutClusterCapacityProviders.",
            key.name
        )));
    }
    let state = cx.read().await?;
    let found = state.capacity_provider(&key);
    // A repeat of a call that was done finds nothing, and is done all the same.
    cx.write(Command::DeleteCapacityProvider { key: key.clone() }).await?;
    // It is gone from the state; what it was is what was read before.
    let described = found.map(|found| capacity_provider::describe(found, true));
    let mut described = described.unwrap_or_else(|| capacity_provider::named(&key));
    described.status = Some(CapacityProviderStatus::Inactive);
    described.update_status = Some(CapacityProviderUpdateStatus::DeleteComplete);
    Ok(DeleteCapacityProviderResponse { capacity_provider: Some(described) })
}

/// ECS's own come first, then the others by name.
pub(crate) async fn describe(
    cx: Context,
    request: DescribeCapacityProvidersRequest,
) -> Result<DescribeCapacityProvidersResponse> {
    let named = request.capacity_providers.unwrap_or_default();
    length::items("capacityProviders", &named, DESCRIBE_LIMIT)?;
    let with_tags = request.include.iter().flatten().any(|field| *field == CapacityProviderField::Tags);
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, PAGE)?;
    let state = cx.read().await?;
    let only = match request.cluster.as_deref().filter(|cluster| !cluster.is_empty()) {
        None => None,
        Some(cluster) => {
            let key = cx.active_cluster(&state, Some(cluster))?;
            Some(state.cluster_configuration(&key).capacity_providers.clone())
        }
    };
    let wanted = |key: &CapacityProviderKey| only.as_ref().is_none_or(|names| names.contains(&key.name));
    let mut response = DescribeCapacityProvidersResponse {
        capacity_providers: Some(Vec::new()),
        failures: Some(Vec::new()),
        next_token: None,
    };
    if named.is_empty() {
        let all: Vec<CapacityProviderKey> = every(&cx, &state).filter(wanted).collect();
        let (keys, next_token) = page.take(all.into_iter(), false, page_key);
        let found = keys.iter().filter_map(|key| find(&state, key, with_tags));
        response.capacity_providers = Some(found.collect());
        response.next_token = next_token;
        return Ok(response);
    }
    for text in named {
        let key = resolve::capacity_provider(cx.scope(), &text).filter(|key| wanted(key));
        match key.and_then(|key| find(&state, &key, with_tags)) {
            Some(found) => response.capacity_providers.get_or_insert_default().push(found),
            None => {
                let arn = convert::arn_of(cx.scope(), "capacity-provider", &text);
                response.failures.get_or_insert_default().push(convert::missing(arn));
            }
        }
    }
    Ok(response)
}

fn every<'a>(cx: &'a Context, state: &'a State) -> impl Iterator<Item = CapacityProviderKey> + 'a {
    let built_in = BUILT_IN.iter().filter_map(|name| resolve::capacity_provider(cx.scope(), name));
    built_in.chain(state.capacity_providers_of(cx.scope()).map(|one| one.key.clone()))
}

/// The order of the pages: a digit before the name keeps ECS's own in front.
fn page_key(key: &CapacityProviderKey) -> String {
    format!("{}{}", u8::from(!key.is_built_in()), key.name)
}

fn find(
    state: &State,
    key: &CapacityProviderKey,
    with_tags: bool,
) -> Option<trireme_ecs_model::shapes::CapacityProvider> {
    if BUILT_IN.contains(&key.name.as_str()) {
        return Some(capacity_provider::describe_built_in(key));
    }
    state.capacity_provider(key).map(|found| capacity_provider::describe(found, with_tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_awss() {
        assert!(new_name("web_1-a").is_ok());
        for refused in ["", "aws-a", "ecsx", "Fargate", "a b", &"x".repeat(256)] {
            assert!(
                new_name(refused).unwrap_err().message.starts_with("The specified capacity provider name")
            );
        }
    }

    #[test]
    fn managed_scaling_has_ranges() {
        let scaling = |target| ManagedScaling { target_capacity: Some(target), ..Default::default() };
        assert_eq!(change(Some(&scaling(100)), None, None).unwrap().target_capacity, Some(100));
        assert!(change(Some(&scaling(0)), None, None).is_err());
        assert!(change(Some(&scaling(101)), None, None).is_err());
    }
}
