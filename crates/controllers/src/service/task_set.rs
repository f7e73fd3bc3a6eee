//! A service's task sets: each keeps its part of the desired count running, of its own definition and beside the others. When tasks
//! go from one to another, its user says.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_state::Command;
use trireme_state::command::TaskSetProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{
    Deployment, DeploymentStatus, RolloutState, Service, Task, TaskSet, TaskSetStatus, TaskSets,
};

use super::judged::Judged;
use super::pass::{Found, Pass};
use super::{Look, stored, text};

/// Judges all sets of a service.
pub fn all(
    look: &mut Look<'_>,
    service: &Service,
    sets: &TaskSets,
    tasks: &[Arc<Task>],
    load: &ServiceLoad,
) -> Judged {
    let (mut judged, mut news, mut all_steady) = (Judged::default(), Vec::new(), true);
    for set in in_order(sets) {
        let of = |task: &&Arc<Task>| task.deployment() == Some(set.id);
        let tasks: Vec<Arc<Task>> = tasks.iter().filter(of).cloned().collect();
        let (found, progress, steady) = one(look, service, set, &tasks, load);
        judged.extend(found);
        news.extend(progress);
        all_steady &= steady;
    }
    let steady = all_steady && !sets.sets.is_empty();
    let steady = (steady != service.steady).then_some(steady);
    let due = steady == Some(true) && text::steady_is_due(service, look.health);
    let events: Vec<String> = due.then(|| text::steady(&service.key.name)).into_iter().collect();
    if !news.is_empty() || steady.is_some() {
        let told: Vec<String> = news.iter().flat_map(|one| &one.events).chain(&events).cloned().collect();
        let (service, version) = (service.key.clone(), service.version);
        judged.record(Command::RecordTaskSets { service, version, sets: news, steady, events }, &told);
    }
    judged
}

/// Who comes first has first choice of the places: what stops needs none; then what serves, then what is to serve, the oldest first.
fn in_order(sets: &TaskSets) -> Vec<&TaskSet> {
    let mut order: Vec<&TaskSet> = sets.sets.iter().rev().collect();
    order.sort_by_key(|set| match set.status {
        TaskSetStatus::Draining => 0,
        TaskSetStatus::Primary => 1,
        TaskSetStatus::Active => 2,
    });
    order
}

/// One set: what it needs, what is to be recorded of it, and whether it is steady. One that drains is not.
fn one(
    look: &mut Look<'_>,
    service: &Service,
    set: &TaskSet,
    tasks: &[Arc<Task>],
    load: &ServiceLoad,
) -> (Judged, Option<TaskSetProgress>, bool) {
    let deployment = deployment(set);
    let name = &service.key.name;
    let mut pass = Pass {
        service,
        primary: &deployment,
        ours: BTreeSet::from([set.id]),
        desired: set.computed_desired_count(service.spec.desired_count),
        described: &set.spec.described,
        subject: format!("service {name}, taskSet {}", set.id),
        tasks,
        health: look.health.of_service(service),
        starts: true,
        clears: false,
        judged: Judged::default(),
        extra: 0,
        seats: None,
    };
    let nothing =
        TaskSetProgress { id: set.id, back_off: None, steady: None, gone: false, events: Vec::new() };
    let found = pass.step(look, load);
    let mut progress = nothing.clone();
    progress.back_off = found.restart.record;
    progress.events.clone_from(&found.events);
    let draining = set.status == TaskSetStatus::Draining;
    if !draining {
        let subject = format!("(service {name}, taskSet {})", set.id);
        progress.events.extend(stored::event(look.view, service, &deployment, &set.spec.described, &subject));
    }
    let steady = !draining && is_steady(&found, tasks);
    if draining {
        progress.gone = tasks.is_empty();
    } else if steady != set.steady {
        progress.steady = Some(steady);
        let text = text::set_is_steady(name, set.id);
        let due = steady && text::told_until(service, &text, look.health.now).is_none();
        progress.events.extend(due.then_some(text));
    }
    let news = (progress != nothing).then_some(progress);
    (pass.judged, news, steady)
}

/// A set as a deployment that has nothing to replace.
pub fn deployment(set: &TaskSet) -> Deployment {
    Deployment {
        id: set.id,
        status: DeploymentStatus::Primary,
        task_definition: set.spec.task_definition.clone(),
        rollout: if set.completed { RolloutState::Completed } else { RolloutState::InProgress },
        created_at: set.created_at,
        updated_at: set.updated_at,
        failed_tasks: set.failed_tasks,
        back_off: set.back_off,
    }
}

/// ECS API: TaskSet.stabilityStatus: as many run as are wanted, and none of them on a draining instance. RUNNING is healthy here, for
/// nothing is stopped for it; but not while its tasks fail again and again.
fn is_steady(found: &Found<'_>, tasks: &[Arc<Task>]) -> bool {
    let counts = &found.counts;
    let whole = counts.fresh_running == counts.desired && tasks.len() == counts.desired;
    let healthy = counts.fresh_healthy == counts.desired;
    whole && (healthy || !found.restart.failing)
}
