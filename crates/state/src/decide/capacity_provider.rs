//! Capacity providers: create, update, delete, and which ones a cluster may name.

use trireme_types::{CapacityProviderName, ContainerInstanceId, Scope};

use super::{Decided, Decision, Stamp};
use crate::command::AutoScalingGroupChange;
use crate::event::CapacityEvent;
use crate::limits::{CAPACITY_PROVIDERS, CAPACITY_PROVIDERS_PER_CLUSTER};
use crate::object::{
    AutoScalingGroup, CapacityProviderKey, ClusterConfiguration, ClusterKey, ClusterStatus,
    ContainerInstance, PoolSize, Tags, WaitingRun,
};
use crate::{Event, Rejection, State};

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::Invalid { message: message.into() }
}

pub(super) fn create(
    state: &State,
    key: &CapacityProviderKey,
    group: &AutoScalingGroup,
    tags: &Tags,
) -> Decided {
    if let Some(known) = state.capacity_provider(key) {
        // ECS takes the same call twice; the model calls it idempotent.
        let same = known.group == *group && known.tags == *tags;
        return if same { Ok(Decision::nothing()) } else { Err(Rejection::CapacityProviderExists) };
    }
    super::tag::check_limit(tags)?;
    check_group(group)?;
    check_pool(group)?;
    // Two that size one pool would pull it to and fro.
    if state.capacity_providers_of(&key.scope).any(|known| known.group.pool() == group.pool()) {
        return Err(Rejection::CapacityProviderGroupInUse);
    }
    if state.capacity_providers_of(&key.scope).count() >= CAPACITY_PROVIDERS {
        return Err(Rejection::LimitExceeded {
            what: "capacity providers".to_owned(),
            limit: CAPACITY_PROVIDERS as u64,
        });
    }
    Ok(Decision::one(Event::CapacityProviderCreated {
        key: key.clone(),
        group: Box::new(group.clone()),
        tags: tags.clone(),
    }))
}

/// ECS API: CreateCapacityProvider, UpdateCapacityProvider. The ranges are the caller's to check.
fn check_group(group: &AutoScalingGroup) -> Result<(), Rejection> {
    let scaling = &group.managed_scaling;
    if group.managed_termination_protection && !scaling.enabled {
        return Err(invalid(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed \
             termination protection for a capacity provider, enable managed scaling for the capacity provider.",
        ));
    }
    if scaling.minimum_step > scaling.maximum_step {
        return Err(invalid("minimumScalingStepSize must not be greater than maximumScalingStepSize."));
    }
    Ok(())
}

/// One of an older version may have any name, as long as nothing scales its pool.
fn check_pool(group: &AutoScalingGroup) -> Result<(), Rejection> {
    if group.names_a_pool() {
        return Ok(());
    }
    Err(invalid(
        "The name of the Auto Scaling group in autoScalingGroupProvider.autoScalingGroupArn is invalid. 1 to 255 characters are \
         allowed: letters, numbers, periods, underscores, and hyphens. It cannot be \"managed\", \".\", or \"..\".",
    ))
}

pub(super) fn update(
    state: &State,
    key: &CapacityProviderKey,
    change: &AutoScalingGroupChange,
    stamp: &mut Stamp,
) -> Decided {
    let known = state.capacity_provider(key).ok_or(Rejection::CapacityProviderNotFound)?;
    let mut group = known.group.clone();
    let scaling = &mut group.managed_scaling;
    scaling.enabled = change.scaling.unwrap_or(scaling.enabled);
    scaling.target_capacity = change.target_capacity.unwrap_or(scaling.target_capacity);
    scaling.minimum_step = change.minimum_step.unwrap_or(scaling.minimum_step);
    scaling.maximum_step = change.maximum_step.unwrap_or(scaling.maximum_step);
    scaling.warmup_seconds = change.warmup_seconds.unwrap_or(scaling.warmup_seconds);
    group.managed_termination_protection =
        change.termination_protection.unwrap_or(group.managed_termination_protection);
    group.managed_draining = change.draining.unwrap_or(group.managed_draining);
    check_group(&group)?;
    if group.managed_scaling.enabled {
        check_pool(&group)?;
    }
    let ends = known.group.managed_scaling.enabled && !group.managed_scaling.enabled;
    let mut events = vec![Event::CapacityProviderUpdated { key: key.clone(), group: Box::new(group) }];
    if ends {
        events.extend(nobody_leaves(state, key, |_| true, stamp));
    }
    Ok(Decision::of(events))
}

/// Of a pool that is not scaled any more, or not in a cluster: nobody is about to leave it, now or when it is scaled again. What is drained
/// already is so until somebody has it otherwise, as a machine that an operator drained: the hook may just be removing it.
fn nobody_leaves(
    state: &State,
    key: &CapacityProviderKey,
    of: impl Fn(&ContainerInstance) -> bool,
    stamp: &mut Stamp,
) -> Option<Event> {
    let known = state.pool_size(key)?;
    let stays = |id: &ContainerInstanceId| state.instance(*id).is_none_or(|instance| of(instance));
    let (stay, leaving): (Vec<_>, Vec<_>) = known.leaving.iter().copied().partition(stays);
    if stay.is_empty() {
        return None;
    }
    // Under another number: what was planned on the size as it was is refused.
    let size = PoolSize { leaving, request: stamp.ids.bits(), ..(**known).clone() };
    Some(Event::Capacity(CapacityEvent::PoolSized { key: key.clone(), size: Box::new(size) }))
}

/// What happens to the pools of those providers that a cluster has no longer.
pub(super) fn removed(
    state: &State,
    cluster: &ClusterKey,
    before: &ClusterConfiguration,
    after: &ClusterConfiguration,
    stamp: &mut Stamp,
) -> Vec<Event> {
    let gone = before.capacity_providers.iter().filter(|name| !after.capacity_providers.contains(name));
    let of_cluster = |instance: &ContainerInstance| instance.registration.cluster == *cluster;
    gone.filter_map(|name| nobody_leaves(state, &key(&cluster.scope, name), of_cluster, stamp)).collect()
}

pub(super) fn delete(state: &State, key: &CapacityProviderKey) -> Decided {
    state.capacity_provider(key).ok_or(Rejection::CapacityProviderNotFound)?;
    let uses = |cluster: &ClusterKey| {
        cluster.scope == key.scope
            && state.cluster_configuration(cluster).capacity_providers.contains(&key.name)
    };
    let active = state.clusters().filter(|cluster| cluster.status == ClusterStatus::Active);
    if let Some(user) = active.map(|cluster| &cluster.key).find(|cluster| uses(cluster)) {
        return Err(Rejection::CapacityProviderInUse { cluster: user.name.to_string() });
    }
    Ok(Decision::one(Event::CapacityProviderDeleted { key: key.clone() }))
}

/// That a cluster's capacity providers are there, and that its default strategy is made of them (ECS API: CreateCluster,
/// PutClusterCapacityProviders).
pub(super) fn check_capacity(
    state: &State,
    scope: &Scope,
    configuration: &ClusterConfiguration,
) -> Result<(), Rejection> {
    super::check_described(&configuration.described)?;
    let (providers, strategy) = (&configuration.capacity_providers, &configuration.default_strategy);
    if providers.len() > CAPACITY_PROVIDERS_PER_CLUSTER {
        return Err(Rejection::LimitExceeded {
            what: "capacity providers of a cluster".to_owned(),
            limit: CAPACITY_PROVIDERS_PER_CLUSTER as u64,
        });
    }
    for name in providers {
        let key = key(scope, name);
        if !key.is_built_in() && state.capacity_provider(&key).is_none() {
            return Err(invalid(format!(
                "The specified capacity provider {name} was not found. Specify a valid name or ARN and try again."
            )));
        }
    }
    if strategy.iter().any(|item| !providers.contains(&item.provider)) {
        return Err(invalid(
            "The specified capacity provider strategy contains a capacity provider that is not associated with the \
             cluster. Associate the capacity provider with the cluster and try again.",
        ));
    }
    let built_in = strategy.iter().filter(|item| key(scope, &item.provider).is_built_in()).count();
    if built_in > 0 && built_in < strategy.len() {
        return Err(invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and \
             Fargate providers. Specify one or the other and try again.",
        ));
    }
    Ok(())
}

/// ECS API: PutClusterCapacityProviders: what services are launched by stays.
pub(super) fn check_removed(
    state: &State,
    cluster: &ClusterKey,
    before: &ClusterConfiguration,
    after: &ClusterConfiguration,
) -> Result<(), Rejection> {
    let gone = before.capacity_providers.iter().filter(|name| !after.capacity_providers.contains(name));
    for name in gone {
        let waits = |run: &WaitingRun| run.end.is_none() && run.launch.provider() == Some(name);
        let used = state.waiting_runs_of(cluster).any(|run| waits(run));
        if used || state.service_of_provider(cluster, name).is_some() {
            return Err(Rejection::CapacityProviderHasTasks { provider: name.to_string() });
        }
    }
    Ok(())
}

fn key(scope: &Scope, name: &CapacityProviderName) -> CapacityProviderKey {
    CapacityProviderKey { scope: scope.clone(), name: name.clone() }
}
