//! An update of a service: what would start and stop, in which order, and whether it all fits.

use std::sync::Arc;

use trireme_scheduler::Request;
use trireme_state::command::ServiceChange;
use trireme_state::object::{InstanceStatus, ServiceKey, ServiceStatus, Task, is_rebalanced};
use trireme_state::{Actor, Command, Rejection, State};
use trireme_types::Timestamp;

use super::course::{Bounds, Course};
use super::outlook::{Outlook, Verdict};
use super::room;
use crate::unit::{self, Unit};

/// What an update comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// It changes something of the service.
    pub changes: bool,
    /// It begins a deployment.
    pub deploys: bool,
    /// What comes of the services.
    pub outlook: Outlook,
    /// Whether the service is whole in the end, and every other one that it could get in the way of.
    pub verdict: Verdict,
}

/// What happens if a service is updated so, and nothing else.
///
/// # Errors
/// The update would be refused.
pub fn update(
    state: &State,
    key: &ServiceKey,
    change: ServiceChange,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Update, Rejection> {
    let mut course = Course::new(state, now, bounds);
    let before = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    course.propose(Actor::Operator, Command::UpdateService { key: key.clone(), change })?;
    let after = course.state().service(key).ok_or(Rejection::ServiceNotFound)?;
    let changes = after.version != before.version;
    let deploys = after.deployments.first().map(|one| one.id) != before.deployments.first().map(|one| one.id);
    let mut doubtful = room::doubtful(course.state(), course.now());
    if doubtful.contains(key) && in_their_places(course.state(), key, course.now()) {
        doubtful.remove(key);
    }
    course.run();
    let without = Course::undisturbed(state, now, bounds);
    let outlook = Outlook::of(state, &course, &doubtful).of_touched(&without, |touched| touched == key);
    let verdict = outlook.verdict(|_| true);
    Ok(Update { changes, deploys, outlook, verdict })
}

/// Whether the service's new tasks may take the places of its old ones, whichever of them goes first: no other service has tasks
/// to place or to move, each old task leaves room for a new one where it was, and all new ones find places when all old ones are gone.
fn in_their_places(state: &State, key: &ServiceKey, now: Timestamp) -> bool {
    let Some(service) = state.service(key) else { return false };
    let units = Unit::of_service(state, service);
    let [unit] = &units[..] else { return false };
    let Some(request) = unit.request(state, std::iter::empty(), 1, now) else { return false };
    let tasks = state.tasks_of_service(key);
    let old: Vec<&Arc<Task>> = tasks.iter().filter(|task| !unit.holds(state, task)).collect();
    if !old.iter().all(|task| leaves_room(state, task, &request)) || !others_rest(state, key) {
        return false;
    }
    let mut without = state.clone();
    room::take_away(&mut without, old.into_iter(), now);
    !room::doubtful(&without, now).contains(key)
}

/// Whether a new task may be where an old one was. One that asks more of its machine than to be large enough may not.
fn leaves_room(state: &State, task: &Task, request: &Request) -> bool {
    let Some(instance) = state.instance(task.instance) else { return false };
    let (held, asked) = (&task.reservation, &request.wanted.reservation);
    let gpus: usize = state.task_gpus(task.id).values().map(Vec::len).sum();
    instance.status == InstanceStatus::Active
        && state.is_present(instance)
        && request.rules.constraints.is_empty()
        && request.wanted.addresses.is_none()
        && asked.cpu <= held.cpu
        && asked.memory <= held.memory
        && request.wanted.gpus as usize <= gpus
        && asked.ports.iter().all(|port| held.ports.contains(port))
        && request.wanted.requirements.iter().all(|requirement| requirement.is_met(instance))
}

/// No other service of the cluster has tasks to place, or has its zones made even.
fn others_rest(state: &State, key: &ServiceKey) -> bool {
    let others = state.services_of_cluster(&key.cluster).filter(|service| service.key != *key);
    others
        .filter(|service| service.status == ServiceStatus::Active)
        .all(|service| unit::is_whole(state, service) && !is_rebalanced(&service.spec.described))
}
