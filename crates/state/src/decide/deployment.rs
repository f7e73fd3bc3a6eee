//! Deployments of a service as records: begun with the service's spec, turned back on request.

use trireme_types::{DeploymentId, ServiceRevisionId};

use super::{Decided, Decision};
use crate::command::Outcome;
use crate::object::{Service, ServiceKey, ServiceStatus, roll_out};
use crate::{Event, FeatureLevel, Rejection, Stamp, State};

/// What is recorded when a deployment begins; nothing while nodes of the first level are there.
pub(super) fn begun(
    state: &State,
    key: &ServiceKey,
    before: Option<&Service>,
    deployment: DeploymentId,
) -> Option<Event> {
    if state.level() < FeatureLevel::CONFIGURATION {
        return None;
    }
    let history = state.deployment_history(key);
    let running = before.into_iter().flat_map(|service| &service.deployments);
    let sources: Vec<ServiceRevisionId> = running.filter_map(|one| history.revision_of(one.id)).collect();
    let revision = ServiceRevisionId::of(deployment);
    Some(Event::ServiceDeploymentStarted { key: key.clone(), deployment, revision, sources })
}

/// ECS API: StopServiceDeployment with ROLLBACK: a deployment of the last successful revision takes its place. Only what a deployment
/// rolls out goes back; the number of tasks and the limits stay what they are now.
pub(super) fn roll_back(
    state: &State,
    key: &ServiceKey,
    deployment: DeploymentId,
    reason: &str,
    stamp: &mut Stamp,
) -> Decided {
    let service = state.service(key).ok_or(Rejection::ServiceDeploymentNotFound)?;
    let history = state.deployment_history(key);
    let found = history.deployment(deployment).ok_or(Rejection::ServiceDeploymentNotFound)?;
    if found.rollback.is_some() && found.status.is_under_way() {
        // It is on its way back already.
        return Ok(Decision::nothing());
    }
    if !found.status.is_under_way() || service.status != ServiceStatus::Active {
        return Err(Rejection::ServiceDeploymentOver);
    }
    let target = history.last_successful().ok_or(Rejection::NothingToRollBackTo)?;
    let mut spec = service.spec.clone();
    spec.task_definition = target.spec.task_definition.clone();
    roll_out(&mut spec.described, &target.spec.described);
    // A definition that was deleted meanwhile starts no task.
    state.task_definition(&spec.task_definition).ok_or(Rejection::TaskDefinitionNotFound)?;
    let by = stamp.ids.deployment();
    let events = vec![
        Event::ServiceUpdated { key: key.clone(), spec, deployment: Some(by) },
        Event::ServiceDeploymentRolledBack {
            key: key.clone(),
            deployment,
            by,
            revision: target.id,
            reason: reason.to_owned(),
        },
    ];
    Ok(Decision { events, outcome: Outcome::Service(key.clone()) })
}
