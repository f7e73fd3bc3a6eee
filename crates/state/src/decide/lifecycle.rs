//! How deployments go, as the service controller moves them and their users answer at hooks.

use trireme_types::DeploymentId;

use super::{Decided, Decision, deployment, progress, stale};
use crate::command::{ContinueDeployment, Outcome, RecordDeployment};
use crate::event::DeploymentEvent;
use crate::object::{
    Deployment, FailureCause, HookAction, HookStatus, Lifecycle, LifecycleHook, LifecycleStage, RolloutState,
    Service, ServiceDeploymentStatus, ServiceKey, ServiceStatus, pauses_at,
};
use crate::{Event, Rejection, Stamp, State};

/// What a stage's hooks and the controller say against a deployment is a failure of it; it fails once, for the first that is said.
pub(super) fn record(state: &State, news: &RecordDeployment, stamp: &mut Stamp) -> Decided {
    let RecordDeployment { service: key, version, progress, lifecycle: life } = news;
    let service = progress::seen(state, key, *version)?;
    let id = life.deployment;
    let is_it = |one: &&Deployment| one.id == id && one.rollout == RolloutState::InProgress;
    if service.deployments.first().filter(is_it).is_none() {
        return Err(stale(format!("deployment {id}")));
    }
    let mut events = progress::record(state, key, *version, progress, stamp)?.events;
    if let Some(failures) = life.failures {
        let (key, deployment) = (key.clone(), id);
        events.push(Event::Deployment(DeploymentEvent::TaskFailuresCounted { key, deployment, failures }));
    }
    let now = state.lifecycles(key).of(id);
    let (ended, late) = end_late_hooks(key, id, &now, stamp);
    events.extend(ended);
    let cause = life.failed.or(late);
    if let Some(cause) = cause {
        events.extend(deployment::failed(state, service, cause, stamp));
        return Ok(Decision::of(events));
    }
    if let Some(stage) = life.stage {
        events.push(Event::Deployment(enter(service, id, stage, stamp)));
    }
    Ok(Decision::of(events))
}

/// A deployment reaches a stage, and waits there for what is to be waited for.
fn enter(
    service: &Service,
    deployment: DeploymentId,
    stage: LifecycleStage,
    stamp: &mut Stamp,
) -> DeploymentEvent {
    let pauses = pauses_at(&service.spec.described, stage);
    let hooks = pauses.into_iter().map(|pause| LifecycleHook {
        id: stamp.ids.bits(),
        status: HookStatus::AwaitingAction,
        expires_at: stamp.now.plus(pause.after),
        timeout_action: pause.action,
    });
    let hooks = hooks.collect();
    DeploymentEvent::LifecycleStageEntered { key: service.key.clone(), deployment, stage, hooks }
}

/// Hooks whose time is over, and what follows from it.
fn end_late_hooks(
    key: &ServiceKey,
    deployment: DeploymentId,
    life: &Lifecycle,
    stamp: &Stamp,
) -> (Vec<Event>, Option<FailureCause>) {
    let Some((stage, _)) = life.stage else { return (Vec::new(), None) };
    let late: Vec<&LifecycleHook> = life.hooks.iter().filter(|hook| hook.is_late(stamp.now)).collect();
    let turns_back = late.iter().any(|hook| hook.timeout_action == HookAction::Rollback);
    let ended = late.iter().map(|hook| ended(key, deployment, hook.id, HookStatus::TimedOut));
    (ended.collect(), turns_back.then_some(FailureCause::HookTimedOut(stage)))
}

fn ended(key: &ServiceKey, deployment: DeploymentId, hook: u128, status: HookStatus) -> Event {
    Event::Deployment(DeploymentEvent::LifecycleHookEnded { key: key.clone(), deployment, hook, status })
}

/// ECS API: ContinueServiceDeployment.
pub(super) fn go_on(state: &State, word: &ContinueDeployment, stamp: &mut Stamp) -> Decided {
    let ContinueDeployment { service: key, deployment, hook: name, action } = word;
    let deployment = *deployment;
    let service = state.service(key).ok_or(Rejection::ServiceDeploymentNotFound)?;
    let history = state.deployment_history(key);
    let found = history.deployment(deployment).ok_or(Rejection::ServiceDeploymentNotFound)?;
    let under_way =
        found.status == ServiceDeploymentStatus::InProgress && service.status == ServiceStatus::Active;
    let life = state.lifecycles(key).of(deployment);
    let waits = |hook: &&LifecycleHook| hook.name() == *name && hook.status == HookStatus::AwaitingAction;
    let (Some((stage, _)), Some(hook)) = (life.stage.filter(|_| under_way), life.hooks.iter().find(waits))
    else {
        return Err(Rejection::DeploymentDoesNotWait { hook: name.clone() });
    };
    let events = match action {
        HookAction::Continue => vec![ended(key, deployment, hook.id, HookStatus::Succeeded)],
        HookAction::Rollback => {
            let mut events = vec![ended(key, deployment, hook.id, HookStatus::Failed)];
            events.extend(deployment::failed(state, service, FailureCause::HookFailed(stage), stamp));
            events
        }
    };
    Ok(Decision { events, outcome: Outcome::Service(key.clone()) })
}
