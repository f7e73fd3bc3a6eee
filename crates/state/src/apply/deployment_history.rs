//! What happens to a service's deployment history. A service from before the second feature level has none until its next
//! deployment.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_types::{DeploymentId, ServiceRevisionId, Timestamp};

use super::{deployment, image_pin};
use crate::limits::DEPLOYMENTS_PER_SERVICE;
use crate::object::{
    DeploymentHistory, Rollback, RolloutState, ServiceDeployment, ServiceDeploymentStatus, ServiceKey,
    ServiceRevision,
};
use crate::{Event, FeatureLevel, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::ServiceDeploymentStarted { key, deployment, revision, sources } => {
            started(state, at, key, *deployment, *revision, sources);
        }
        Event::ServiceDeploymentRolledBack { key, deployment, by, revision, reason } => {
            rolled_back(state, at, key, *deployment, (*by, *revision, reason));
        }
        _ => {}
    }
}

/// A deployment of the service's spec begins; those that were under way are over.
fn started(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    revision: ServiceRevisionId,
    sources: &[ServiceRevisionId],
) {
    let Some(service) = state.services.get(key) else { return };
    let new = ServiceRevision { id: revision, spec: service.spec.clone(), created_at: at };
    let mut history = (*state.deployment_history(key)).clone();
    stop_all(&mut history, at, "A newer deployment took its place.");
    history.revisions.push_front(new);
    history.deployments.push_front(ServiceDeployment {
        id,
        target: revision,
        sources: sources.to_vec(),
        status: ServiceDeploymentStatus::InProgress,
        reason: None,
        created_at: at,
        updated_at: at,
        stopped_at: None,
        finished_at: None,
        rollback: None,
    });
    let running = running(state, key);
    shorten(&mut history, DEPLOYMENTS_PER_SERVICE, &running);
    state.deployment_histories.insert(key.clone(), Arc::new(history));
    deployment::forget(state, key);
    image_pin::revisions_went(state, key);
}

/// The deployments whose tasks run still: without their records nobody knows which revision those are of. Nodes of earlier levels do
/// not keep them.
fn running(state: &State, key: &ServiceKey) -> BTreeSet<DeploymentId> {
    if state.level < FeatureLevel::SERVICES {
        return BTreeSet::new();
    }
    state.index.service_load(key).counts_by_deployment().map(|(id, _)| id).collect()
}

/// Keeps the newest, as many again of those that `running` names, and the last successful one, without which there is no way back; and the revisions
/// that they name.
fn shorten(history: &mut DeploymentHistory, kept: usize, running: &BTreeSet<DeploymentId>) {
    let successful = |one: &ServiceDeployment| {
        matches!(
            one.status,
            ServiceDeploymentStatus::Successful | ServiceDeploymentStatus::RollbackSuccessful
        )
    };
    let last = history.deployments.iter().position(successful).filter(|at| *at >= kept);
    let last = last.and_then(|at| history.deployments.get(at).cloned());
    // The last successful one takes a place among the newest.
    let newest = if last.is_some() { kept.saturating_sub(1) } else { kept };
    let old = history.deployments.iter().skip(newest).filter(|one| {
        let back = one.rollback.as_ref().map(|rollback| rollback.deployment);
        let is_last = last.as_ref().is_some_and(|last| last.id == one.id);
        !is_last && (running.contains(&one.id) || back.is_some_and(|id| running.contains(&id)))
    });
    let old: Vec<ServiceDeployment> = old.take(kept).cloned().collect();
    history.deployments.truncate(kept);
    if let Some(last) = last {
        history.deployments.pop_back();
        history.deployments.push_back(last);
    }
    history.deployments.extend(old);
    let named: BTreeSet<ServiceRevisionId> = history
        .deployments
        .iter()
        .flat_map(|one| {
            let back = one.rollback.iter().map(|rollback| rollback.revision);
            one.sources.iter().copied().chain([one.target]).chain(back)
        })
        .collect();
    history.revisions.retain(|one| named.contains(&one.id));
}

/// A deployment turns back; `by` is the service's deployment that goes there.
fn rolled_back(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    rollback: (DeploymentId, ServiceRevisionId, &str),
) {
    let (by, revision, reason) = rollback;
    with(state, key, |history| {
        if let Some(one) = history.deployments.iter_mut().find(|one| one.id == id) {
            one.status = ServiceDeploymentStatus::RollbackInProgress;
            one.updated_at = at;
            one.stopped_at = Some(at);
            one.rollback =
                Some(Rollback { reason: reason.to_owned(), started_at: at, revision, deployment: by });
        }
    });
}

/// The service's deployment `id` went on.
pub(super) fn progressed(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    rollout: RolloutState,
) {
    with(state, key, |history| {
        let Some(one) = history.deployments.iter_mut().find(|one| one.rolls_out() == id) else { return };
        if !one.status.is_under_way() {
            return;
        }
        one.status = match (rollout, one.rollback.is_some()) {
            (RolloutState::InProgress, _) => return,
            (RolloutState::Completed, false) => ServiceDeploymentStatus::Successful,
            (RolloutState::Completed, true) => ServiceDeploymentStatus::RollbackSuccessful,
            (RolloutState::Failed, false) => ServiceDeploymentStatus::Stopped,
            (RolloutState::Failed, true) => ServiceDeploymentStatus::RollbackFailed,
        };
        one.updated_at = at;
        one.finished_at = Some(at);
    });
}

/// The service's deployment `id` is over, and this is what it comes to.
pub(super) fn ended(
    state: &mut State,
    at: Timestamp,
    key: &ServiceKey,
    id: DeploymentId,
    (status, reason): (ServiceDeploymentStatus, &str),
) {
    with(state, key, |history| {
        let found = history.deployments.iter_mut().find(|one| one.rolls_out() == id);
        let Some(one) = found.filter(|one| one.status.is_under_way()) else { return };
        one.status = status;
        one.reason = Some(reason.to_owned());
        one.updated_at = at;
        one.stopped_at = one.stopped_at.or(Some(at));
        one.finished_at = Some(at);
    });
}

/// The service is being deleted.
pub(super) fn service_is_gone(state: &mut State, at: Timestamp, key: &ServiceKey) {
    with(state, key, |history| stop_all(history, at, "The service was deleted."));
}

/// The service is inactive: of what it was, the last deployment is left.
pub(super) fn service_is_inactive(state: &mut State, key: &ServiceKey) {
    with(state, key, |history| {
        history.deployments.truncate(1);
        shorten(history, 1, &BTreeSet::new());
    });
}

fn stop_all(history: &mut DeploymentHistory, at: Timestamp, reason: &str) {
    for one in history.deployments.iter_mut().filter(|one| one.status.is_under_way()) {
        one.status = ServiceDeploymentStatus::Stopped;
        one.reason = Some(reason.to_owned());
        one.updated_at = at;
        one.stopped_at = one.stopped_at.or(Some(at));
        one.finished_at = Some(at);
    }
}

fn with(state: &mut State, key: &ServiceKey, change: impl FnOnce(&mut DeploymentHistory)) {
    if let Some(history) = state.deployment_histories.get_mut(key) {
        change(Arc::make_mut(history));
    }
}
