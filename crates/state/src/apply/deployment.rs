//! What happens to the lives of deployments.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_types::{DeploymentId, Timestamp};

use super::{alarm, deployment_history, service};
use crate::State;
use crate::event::DeploymentEvent;
use crate::object::{Lifecycle, RolloutState, ServiceKey};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &DeploymentEvent) {
    match event {
        DeploymentEvent::LifecycleStageEntered { key, deployment, stage, hooks } => {
            with(state, key, *deployment, |life| {
                life.stage = Some((*stage, at));
                life.hooks.clone_from(hooks);
            });
        }
        DeploymentEvent::LifecycleHookEnded { key, deployment, hook, status } => {
            with(state, key, *deployment, |life| {
                for one in life.hooks.iter_mut().filter(|one| one.id == *hook) {
                    one.status = *status;
                }
            });
        }
        DeploymentEvent::TaskFailuresCounted { key, deployment, failures } => {
            with(state, key, *deployment, |life| life.failures = *failures);
        }
        DeploymentEvent::DeploymentFailed { key, deployment, cause, record } => {
            with(state, key, *deployment, |life| life.cause = Some(*cause));
            service::rolled_out(state, at, key, *deployment, RolloutState::Failed);
            if let Some((status, reason)) = record {
                deployment_history::ended(state, at, key, *deployment, (*status, reason));
            }
        }
    }
}

fn with(state: &mut State, key: &ServiceKey, id: DeploymentId, change: impl FnOnce(&mut Lifecycle)) {
    let known = state.services.get(key).is_some_and(|one| one.deployments.iter().any(|one| one.id == id));
    if !known {
        return;
    }
    let all = state.lifecycles.entry(key.clone()).or_default();
    change(Arc::make_mut(all).deployments.entry(id).or_default());
    service::moved(state, key);
}

/// Lives go with the records of their deployments.
pub(super) fn forget(state: &mut State, key: &ServiceKey) {
    if !state.lifecycles.contains_key(key) && !state.triggered_alarms.contains_key(key) {
        return;
    }
    let history = state.deployment_history(key);
    let recorded = history.deployments.iter().flat_map(|one| {
        let back = one.rollback.iter().map(|rollback| rollback.deployment);
        back.chain([one.id])
    });
    let running = state.services.get(key).into_iter().flat_map(|service| &service.deployments);
    let kept: BTreeSet<DeploymentId> = recorded.chain(running.map(|one| one.id)).collect();
    alarm::forget(state, key, |id| kept.contains(&id));
    let Some(all) = state.lifecycles.get(key) else { return };
    if all.deployments.keys().all(|id| kept.contains(id)) {
        return;
    }
    let mut all = (**all).clone();
    all.deployments.retain(|id, _| kept.contains(id));
    if all.deployments.is_empty() {
        state.lifecycles.remove(key);
    } else {
        state.lifecycles.insert(key.clone(), Arc::new(all));
    }
}
