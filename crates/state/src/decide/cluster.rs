//! Clusters: create, delete.

use super::{Decided, Decision};
use crate::object::{ClusterKey, ServiceStatus, Tags, TaskStatus};
use crate::{Event, Rejection, State};

pub(super) fn create(state: &State, cluster: &ClusterKey, tags: &Tags) -> Decided {
    if state.active_cluster(cluster).is_some() {
        return Ok(Decision::nothing());
    }
    super::tag::check_limit(tags)?;
    Ok(Decision::one(Event::ClusterCreated { cluster: cluster.clone(), tags: tags.clone() }))
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
    if state.index().tasks_of_cluster(cluster).iter().any(|id| live(*id)) {
        return Err(Rejection::ClusterContainsTasks);
    }
    Ok(Decision::one(Event::ClusterDeleted { cluster: cluster.clone() }))
}
