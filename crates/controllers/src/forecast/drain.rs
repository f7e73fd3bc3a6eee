//! Draining container instances: what moves where, and whether they become empty.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::object::{InstanceStatus, ServiceKey, Task};
use trireme_state::{Actor, Command, Rejection, State};
use trireme_types::{ContainerInstanceId, Timestamp};

use super::course::{Bounds, Course};
use super::outlook::{Outlook, Verdict};
use super::room;

/// What draining comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// What comes of the services.
    pub outlook: Outlook,
    /// Tasks that stay in the end, each with whether it is a service's. Standalone ones stay until somebody stops them.
    pub left: Vec<Arc<Task>>,
    /// Whether all tasks of services run elsewhere in the end.
    pub verdict: Verdict,
}

/// What happens if these container instances are drained, and nothing else.
///
/// # Errors
/// One of them is not there.
pub fn drain(
    state: &State,
    instances: &BTreeSet<ContainerInstanceId>,
    now: Timestamp,
    bounds: Bounds,
) -> Result<Drain, Rejection> {
    let mut course = Course::new(state, now, bounds);
    for id in instances {
        let known = state.instance(*id).ok_or(Rejection::ContainerInstanceNotFound)?;
        let cluster = known.registration.cluster.clone();
        let command = Command::SetInstanceStatus { cluster, instance: *id, status: InstanceStatus::Draining };
        course.propose(Actor::Operator, command)?;
    }
    let doubtful = room::doubtful(course.state(), course.now());
    course.run();
    let left: Vec<Arc<Task>> =
        instances.iter().flat_map(|id| course.state().tasks_of_instance(*id)).collect();
    // One that was not whole before and is not touched is another matter.
    let on_them =
        |id: &ContainerInstanceId| state.tasks_of_instance(*id).into_iter().filter_map(|task| task.service());
    let concerned: BTreeSet<ServiceKey> = instances.iter().flat_map(on_them).collect();
    let without = Course::undisturbed(state, now, bounds);
    let outlook = Outlook::of(state, &course, &doubtful).of_touched(&without, |key| concerned.contains(key));
    let verdict = outlook.verdict(|_| true);
    Ok(Drain { outlook, left, verdict })
}
