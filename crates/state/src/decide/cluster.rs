//! Clusters: create, update, delete.

use super::capacity_provider::{check_capacity, check_removed, removed};
use super::{Decided, Decision, Stamp};
use crate::command::ClusterChange;
use crate::limits::{LOST_AFTER_MILLIS_MAX, LOST_AFTER_MILLIS_MIN};
use crate::object::{ClusterConfiguration, ClusterKey, ServiceStatus, Tags, TaskStatus};
use crate::{Actor, Event, Rejection, State};

pub(super) fn create(
    state: &State,
    cluster: &ClusterKey,
    tags: &Tags,
    given: &ClusterChange,
    actor: &Actor,
) -> Decided {
    if state.active_cluster(cluster).is_some() {
        return Ok(Decision::nothing());
    }
    super::tag::check_limit(tags)?;
    created(state, cluster, tags, given, actor).map(Decision::of)
}

/// What happens when a cluster is created, by a call or with its first instance.
pub(super) fn created(
    state: &State,
    cluster: &ClusterKey,
    tags: &Tags,
    given: &ClusterChange,
    actor: &Actor,
) -> Result<Vec<Event>, Rejection> {
    let container_insights = super::account_setting::container_insights(state, &cluster.scope, actor);
    let mut configuration = ClusterConfiguration { container_insights, ..ClusterConfiguration::default() };
    merge(&mut configuration, given);
    check_capacity(state, &cluster.scope, &configuration)?;
    let mut events = vec![Event::ClusterCreated { cluster: cluster.clone(), tags: tags.clone() }];
    if configuration != ClusterConfiguration::default() {
        events.push(configured(cluster, configuration));
    }
    Ok(events)
}

fn merge(configuration: &mut ClusterConfiguration, change: &ClusterChange) {
    if let Some(insights) = change.container_insights {
        configuration.container_insights = insights;
    }
    if let Some((providers, strategy)) = &change.capacity {
        configuration.capacity_providers.clone_from(providers);
        configuration.default_strategy.clone_from(strategy);
    }
    for (member, value) in &change.described {
        match value {
            Some(json) => configuration.described.insert(member.clone(), json.clone()),
            None => configuration.described.remove(member),
        };
    }
}

fn configured(cluster: &ClusterKey, configuration: ClusterConfiguration) -> Event {
    Event::ClusterConfigured { cluster: cluster.clone(), configuration: Box::new(configuration) }
}

pub(super) fn update(
    state: &State,
    cluster: &ClusterKey,
    change: &ClusterChange,
    stamp: &mut Stamp,
) -> Decided {
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    let before = state.cluster_configuration(cluster);
    let mut configuration = (*before).clone();
    merge(&mut configuration, change);
    if configuration == *before {
        return Ok(Decision::nothing());
    }
    check_capacity(state, &cluster.scope, &configuration)?;
    check_removed(state, cluster, &before, &configuration)?;
    let mut events = removed(state, cluster, &before, &configuration, stamp);
    events.push(configured(cluster, configuration));
    Ok(Decision::of(events))
}

/// After how much silence its container instances are lost.
pub(super) fn set_lost_after(state: &State, cluster: &ClusterKey, millis: Option<u64>) -> Decided {
    state.active_cluster(cluster).ok_or(Rejection::ClusterNotFound)?;
    if millis.is_some_and(|millis| !(LOST_AFTER_MILLIS_MIN..=LOST_AFTER_MILLIS_MAX).contains(&millis)) {
        return Err(Rejection::Invalid {
            message: format!(
                "an agent may be silent for {} to {} seconds before it is lost",
                LOST_AFTER_MILLIS_MIN / 1_000,
                LOST_AFTER_MILLIS_MAX / 1_000
            ),
        });
    }
    if millis == state.lost_after.get(cluster).copied() {
        return Ok(Decision::nothing());
    }
    Ok(Decision::one(Event::ClusterLostAfterSet { cluster: cluster.clone(), millis }))
}

pub(super) fn delete(state: &State, cluster: &ClusterKey) -> Decided {
    let Some(found) = state.cluster(cluster) else { return Err(Rejection::ClusterNotFound) };
    if state.active_cluster(cluster).is_none() {
        // ECS answers a repeated DeleteCluster with the inactive cluster.
        debug_assert_eq!(found.key, *cluster);
        return Ok(Decision::nothing());
    }
    if !state.index().instances_of_cluster(cluster).is_empty() {
        return Err(Rejection::ClusterContainsContainerInstances);
    }
    if state.services_of_cluster(cluster).any(|service| service.status != ServiceStatus::Inactive) {
        return Err(Rejection::ClusterContainsServices);
    }
    let live = |id| state.task(id).is_some_and(|task| task.last_status != TaskStatus::Stopped);
    let waits = state.waiting_runs_of(cluster).any(|run| run.end.is_none());
    if waits || state.index().tasks_of_cluster(cluster).iter().any(|id| live(*id)) {
        return Err(Rejection::ClusterContainsTasks);
    }
    Ok(Decision::one(Event::ClusterDeleted { cluster: cluster.clone() }))
}
