//! Deployments of a service as records: begun with the service's spec, turned back on request or because they fail.

use trireme_types::{DeploymentId, ServiceRevisionId};

use super::{Decided, Decision};
use crate::command::Outcome;
use crate::event::{AlarmEvent, DeploymentEvent};
use crate::object::{
    CircuitBreaker, Deployment, DeploymentHistory, FailureCause, RolloutState, Service,
    ServiceDeploymentStatus, ServiceKey, ServiceRevision, ServiceStatus, roll_out,
};
use crate::query::DeploymentAlarms;
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
    // A definition that was deleted meanwhile starts no task.
    state.task_definition(&target.spec.task_definition).ok_or(Rejection::TaskDefinitionNotFound)?;
    let events = turned_back(state, service, deployment, (target, reason), stamp);
    Ok(Decision { events, outcome: Outcome::Service(key.clone()) })
}

/// A deployment turns back. Those that run the revision to which it goes are gone at once: their tasks are kept, as the new one's.
fn turned_back(
    state: &State,
    service: &Service,
    deployment: DeploymentId,
    (target, reason): (&ServiceRevision, &str),
    stamp: &mut Stamp,
) -> Vec<Event> {
    let key = &service.key;
    let mut spec = service.spec.clone();
    spec.task_definition = target.spec.task_definition.clone();
    roll_out(&mut spec.described, &target.spec.described);
    let by = stamp.ids.deployment();
    let mut events = vec![
        Event::ServiceUpdated { key: key.clone(), spec, deployment: Some(by) },
        Event::ServiceDeploymentRolledBack {
            key: key.clone(),
            deployment,
            by,
            revision: target.id,
            reason: reason.to_owned(),
        },
    ];
    if state.level() >= FeatureLevel::SERVICES {
        let same = service.deployments.iter().filter(|one| state.revision_of(key, one.id) == target.id);
        events.extend(same.map(|one| Event::DeploymentRetired { key: key.clone(), deployment: one.id }));
    }
    events
}

/// A service's primary deployment fails: it turns back, or it starts nothing more.
pub(super) fn failed(state: &State, service: &Service, cause: FailureCause, stamp: &mut Stamp) -> Vec<Event> {
    let Some(primary) = service.deployments.first().filter(|one| one.rollout == RolloutState::InProgress)
    else {
        return Vec::new();
    };
    let key = &service.key;
    let history = state.deployment_history(key);
    let turns_back = match cause {
        FailureCause::Tasks => CircuitBreaker::of(&service.spec.described).rollback,
        FailureCause::Alarm => DeploymentAlarms::of(&service.spec.described).rollback,
        FailureCause::HookTimedOut(_) | FailureCause::HookFailed(_) => true,
    };
    let triggered =
        if cause == FailureCause::Alarm { triggered(state, service, primary) } else { Vec::new() };
    let is_way_back = history.is_way_back(primary.id);
    let there = |target: &&ServiceRevision| state.task_definition(&target.spec.task_definition).is_some();
    let target = history.last_successful().filter(there).filter(|_| turns_back && !is_way_back);
    let told = |message: String, stamp: &mut Stamp| Event::ServiceEventRecorded {
        key: key.clone(),
        id: stamp.ids.bits(),
        message,
    };
    let subject = format!("(service {}) (deployment {})", key.name, primary.id);
    let mut events = vec![told(format!("{subject} deployment failed: {}.", in_short(cause)), stamp)];
    let because = at_length(cause, &triggered);
    if !triggered.is_empty() {
        let (key, deployment, alarms) = (key.clone(), primary.id, triggered);
        events.push(Event::Alarm(AlarmEvent::DeploymentAlarmsTriggered { key, deployment, alarms }));
    }
    let fails = |record| {
        let (key, deployment) = (key.clone(), primary.id);
        Event::Deployment(DeploymentEvent::DeploymentFailed { key, deployment, cause, record })
    };
    match target {
        Some(target) => {
            let back = history.last_completed().unwrap_or(primary.id);
            events.push(told(format!("(service {}) rolling back to deployment {back}.", key.name), stamp));
            let reason = format!("Service deployment rolled back because {because}");
            events.extend(turned_back(state, service, primary.id, (target, &reason), stamp));
            events.push(fails(None));
        }
        None => events.push(fails(ended(&history, primary.id, turns_back, &because))),
    }
    events
}

/// The alarms that say that a deployment fails, by name.
fn triggered(state: &State, service: &Service, deployment: &Deployment) -> Vec<String> {
    if state.level() < FeatureLevel::SCALING {
        return Vec::new();
    }
    let heard = state.alarms_of_deployment(service, deployment).into_iter();
    let ringing = heard.filter(|alarm| alarm.has_rung_since(deployment.created_at));
    ringing.map(|alarm| alarm.key.name.clone()).collect()
}

/// What the record of a deployment that fails, and has no way back, comes to.
fn ended(
    history: &DeploymentHistory,
    id: DeploymentId,
    turns_back: bool,
    because: &str,
) -> Option<(ServiceDeploymentStatus, String)> {
    history.record_of(id)?;
    Some(if history.is_way_back(id) {
        let reason = format!("Service deployment rollback failed because {because}");
        (ServiceDeploymentStatus::RollbackFailed, reason)
    } else if turns_back {
        let reason = "No rollback candidate was found to run the rollback.".to_owned();
        (ServiceDeploymentStatus::RollbackFailed, reason)
    } else {
        (ServiceDeploymentStatus::Stopped, format!("Service deployment stopped because {because}"))
    })
}

/// A cause as service events have it.
fn in_short(cause: FailureCause) -> String {
    match cause {
        FailureCause::Tasks => "tasks failed to start".to_owned(),
        FailureCause::HookTimedOut(stage) | FailureCause::HookFailed(stage) => {
            format!("{} lifecycle hook(s) failed", stage.name())
        }
        FailureCause::Alarm => "alarm detected".to_owned(),
    }
}

/// A cause as service deployments have it (ECS API: ServiceDeployment.statusReason).
fn at_length(cause: FailureCause, alarms: &[String]) -> String {
    match cause {
        FailureCause::Tasks => "the circuit breaker threshold was exceeded.".to_owned(),
        FailureCause::HookTimedOut(stage) => {
            format!("{} lifecycle hook(s) failed. A hook timed out.", stage.name())
        }
        FailureCause::HookFailed(stage) => {
            format!("{} lifecycle hook(s) failed. A hook was answered with ROLLBACK.", stage.name())
        }
        FailureCause::Alarm if alarms.is_empty() => "alarm(s) detected.".to_owned(),
        FailureCause::Alarm => format!("alarm(s) detected: {}.", alarms.join(", ")),
    }
}
