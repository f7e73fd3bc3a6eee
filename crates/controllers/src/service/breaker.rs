//! The circuit breaker: how many tasks of a deployment have failed, and whether that is too many (ECS API: DeploymentCircuitBreaker).
//!
//! A task fails when it stops by itself, or for its health check, before it was healthy: it did not start, or it exited. One that
//! found no place has not failed. What is counted already is kept in the state, with how far: tasks are forgotten an hour after they
//! stopped. A task that becomes healthy ends the count, unless that is not wanted.

use trireme_state::object::{CircuitBreaker, TaskFailures};
use trireme_types::Timestamp;

use super::health::failed_checks;
use super::restart::{LOOK_BACK, Scene, failed_by_itself};

/// What the breaker says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The count, if it changes.
    pub record: Option<TaskFailures>,
    /// There are too many.
    pub trips: bool,
}

/// Judges a deployment of a service of `desired` tasks; `known` is what was counted before.
pub fn judge(scene: &Scene<'_>, breaker: CircuitBreaker, known: TaskFailures, desired: u32) -> Verdict {
    if !breaker.enable {
        return Verdict::default();
    }
    let healthy = if breaker.reset_on_healthy_task { became_healthy(scene, known) } else { None };
    let failures = match healthy {
        Some(Healthy { at, .. }) => anew(scene, at),
        None => since(scene, known),
    };
    let news = failures.count != known.count || (failures.count > 0 && failures != known);
    let record = (news || healthy.is_some_and(|healthy| healthy.seen_now)).then_some(failures);
    Verdict { record, trips: failures.count >= breaker.threshold.of(desired) }
}

/// A task became healthy.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Healthy {
    at: Timestamp,
    /// Nobody knows when, but that it is seen now: the next look must know that it was.
    seen_now: bool,
}

/// The last task that became healthy since the count last began anew. Of a task with a health check nobody knows when it did.
fn became_healthy(scene: &Scene<'_>, known: TaskFailures) -> Option<Healthy> {
    let Scene { view, deployment, tasks, load, health } = scene;
    let last = known.healthy_at.unwrap_or_default();
    let ours = tasks.iter().filter(|task| task.deployment() == Some(deployment.id)).cloned();
    let stopped = load.stopped_since(deployment.id, last.max(deployment.created_at)).take(LOOK_BACK);
    let stopped = stopped.filter_map(|(_, id)| view.task(id)).cloned();
    let new = ours.chain(stopped).filter(|task| !failed_checks(task)).filter_map(|task| {
        let at = health.proven(&task).filter(|at| *at > last)?;
        let end = task.times.stopped_at.unwrap_or(health.now).min(health.now);
        let checked = view.checked(&task).is_some();
        Some(Healthy { at: if checked { end } else { at }, seen_now: checked })
    });
    new.max()
}

/// `known`, and the failures since then.
fn since(scene: &Scene<'_>, known: TaskFailures) -> TaskFailures {
    let (then, later) = failures(scene, known.seen_to);
    let late = then.saturating_sub(known.seen_then);
    let count = known.count.saturating_add(late).saturating_add(later.count);
    if later.count == 0 {
        return TaskFailures { count, seen_then: known.seen_then.saturating_add(late), ..known };
    }
    TaskFailures { count, healthy_at: known.healthy_at, ..later }
}

/// The failures since a task became healthy.
fn anew(scene: &Scene<'_>, at: Timestamp) -> TaskFailures {
    let (seen_then, later) = failures(scene, at);
    let healthy_at = Some(at);
    if later.count == 0 {
        return TaskFailures { count: 0, seen_to: at, seen_then, healthy_at };
    }
    TaskFailures { healthy_at, ..later }
}

/// How many tasks failed at this very instant, and those that failed later.
fn failures(scene: &Scene<'_>, from: Timestamp) -> (u32, TaskFailures) {
    let Scene { view, deployment, load, health, .. } = scene;
    let (mut then, mut later) = (0_u32, TaskFailures::default());
    for (at, id) in load.stopped_since(deployment.id, from.max(deployment.created_at)).take(LOOK_BACK) {
        let Some(task) = view.task(id) else { continue };
        if !failed_by_itself(task) || (!failed_checks(task) && health.proven_at(task).is_some()) {
            continue;
        }
        if at == from {
            then = then.saturating_add(1);
            continue;
        }
        // The latest come first.
        later.seen_to = later.seen_to.max(at);
        later.seen_then = later.seen_then.saturating_add(u32::from(at == later.seen_to));
        later.count = later.count.saturating_add(1);
    }
    (then, later)
}
