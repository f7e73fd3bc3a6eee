//! A service's task sets: each keeps its part of the desired count running, of its own definition and beside the others. When tasks
//! go from one to another, its user says.

use std::sync::Arc;

use trireme_state::Command;
use trireme_state::command::TaskSetProgress;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{
    Deployment, DeploymentStatus, RolloutState, Service, Task, TaskSet, TaskSetStatus, TaskSets,
};

use super::plan::{Found, Judged, Pass};
use super::{Look, text};

/// Judges all sets of a service.
pub fn all(
    look: &mut Look<'_>,
    service: &Service,
    sets: &TaskSets,
    tasks: &[Arc<Task>],
    load: &ServiceLoad,
) -> Judged {
    let (mut judged, mut news) = (Judged::default(), Vec::new());
    for set in &sets.sets {
        let of = |task: &&Arc<Task>| task.deployment() == Some(set.id);
        let tasks: Vec<Arc<Task>> = tasks.iter().filter(of).cloned().collect();
        let (found, progress) = one(look, service, set, &tasks, load);
        judged.extend(found);
        news.extend(progress);
    }
    if !news.is_empty() {
        news.iter().flat_map(|one| &one.events).for_each(|event| judged.say(event.clone()));
        let (service, version) = (service.key.clone(), service.version);
        judged.finish(Command::RecordTaskSets { service, version, sets: news });
    }
    judged
}

fn one(
    look: &mut Look<'_>,
    service: &Service,
    set: &TaskSet,
    tasks: &[Arc<Task>],
    load: &ServiceLoad,
) -> (Judged, Option<TaskSetProgress>) {
    let deployment = deployment(set);
    let mut pass = Pass {
        service,
        primary: &deployment,
        desired: set.computed_desired_count(service.spec.desired_count),
        subject: text::subject(&service.key.name, Some(set.id)),
        tasks,
        health: look.health,
        judged: Judged::default(),
    };
    let nothing =
        TaskSetProgress { id: set.id, back_off: None, steady: None, gone: false, events: Vec::new() };
    let found = pass.step(look, load);
    let mut progress = nothing.clone();
    progress.back_off = found.restart.record;
    progress.events.clone_from(&found.events);
    if set.status == TaskSetStatus::Draining {
        progress.gone = tasks.is_empty();
    } else {
        let steady = is_steady(&found, tasks);
        progress.steady = pass.change_of_steadiness(steady, set.steady, &mut progress.events);
    }
    let news = (progress != nothing).then_some(progress);
    (pass.judged, news)
}

/// A set as a deployment that has nothing to replace.
fn deployment(set: &TaskSet) -> Deployment {
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
