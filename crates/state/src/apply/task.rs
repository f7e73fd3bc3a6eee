//! What happens to tasks.

use std::sync::Arc;

use trireme_types::{TaskId, Timestamp};

use super::{request, subnet};
use crate::command::TaskReport;
use crate::object::{DesiredStatus, StopCode, Task, TaskStatus};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::TaskCreated { task } => {
            state.index.listing.add(task);
            state.index.add_task(task, None);
            state.tasks.insert(task.id, Arc::new((**task).clone()));
        }
        Event::TaskStopRequested { task, code, reason } => with(state, *task, |task| {
            wish_stopped(task, at);
            set_reason(task, *code, reason);
        }),
        Event::TaskProgressed { report } => {
            with(state, report.task, |task| progress(task, report, at));
            subnet::let_go(state, report.task, false);
        }
        Event::TaskLost { task, code, reason } => {
            with(state, *task, |task| {
                wish_stopped(task, at);
                set_reason(task, *code, reason);
                stop(task, at);
            });
            subnet::let_go(state, *task, true);
        }
        Event::TaskProtectionChanged { task, until } => protect(state, *task, *until),
        Event::TaskHealthChanged { task, health } => {
            if health.is_empty() || !state.tasks.contains_key(task) {
                state.task_health.remove(task);
            } else {
                state.task_health.insert(*task, Arc::new(health.clone()));
            }
            // It is a change of the task to whoever looks at its version.
            with(state, *task, |_| {});
        }
        Event::TaskReaped { task } => {
            state.task_protections.remove(task);
            state.tasks_allowing_commands.remove(task);
            state.task_health.remove(task);
            state.placement_rules.remove(task);
            state.launches.remove(task);
            subnet::forget(state, *task);
            let gpus = state.task_gpus.remove(task);
            if let Some(gone) = state.tasks.remove(task) {
                state.index.listing.remove(&gone);
                state.index.remove_task(&gone, gpus.as_deref());
            }
            request::task_is_gone(state, *task);
        }
        _ => {}
    }
}

fn protect(state: &mut State, id: TaskId, until: Option<Timestamp>) {
    match (until, state.tasks.get(&id)) {
        (Some(until), Some(_)) => state.task_protections.insert(id, until),
        _ => state.task_protections.remove(&id),
    };
    // The task is as it was, but what may be done with it is not.
    if let Some(service) = state.tasks.get(&id).and_then(|task| task.service()) {
        state.index.renew_service_load(&service);
    }
}

fn with(state: &mut State, id: TaskId, change: impl FnOnce(&mut Task)) {
    if let Some(task) = state.tasks.get_mut(&id) {
        let gpus = state.task_gpus.get(&id).map(|gpus| &**gpus);
        state.index.remove_task(task, gpus);
        let before = task.desired_status;
        let changed = Arc::make_mut(task);
        change(changed);
        changed.version = changed.version.saturating_add(1);
        state.index.listing.wanted(changed, before);
        state.index.add_task(changed, gpus);
    }
}

/// What an agent's report does to its task. `decide` has already taken out what would go back.
pub(crate) fn progress(task: &mut Task, report: &TaskReport, at: Timestamp) {
    task.last_status = task.last_status.max(report.status);
    task.containers.clone_from(&report.containers);
    let times = &mut task.times;
    times.pull_started_at = times.pull_started_at.or(report.pull_started_at);
    times.pull_stopped_at = times.pull_stopped_at.or(report.pull_stopped_at);
    times.execution_stopped_at = times.execution_stopped_at.or(report.execution_stopped_at);
    // A task that was over before it could be reported RUNNING ran all the same: a container has an exit code.
    let ran = report.containers.iter().any(|container| container.exit_code.is_some());
    if task.last_status == TaskStatus::Running || ran {
        times.started_at = times.started_at.or(Some(at));
    }
    if let (None, Some(code)) = (task.stop_code, report.stop_code) {
        task.stop_code = Some(code);
    }
    if task.stopped_reason.is_none() {
        task.stopped_reason.clone_from(&report.stopped_reason);
    }
    if task.last_status > TaskStatus::Running {
        wish_stopped(task, at);
    }
    if task.last_status == TaskStatus::Stopped {
        stop(task, at);
    }
}

fn wish_stopped(task: &mut Task, at: Timestamp) {
    task.desired_status = DesiredStatus::Stopped;
    task.times.stopping_at = task.times.stopping_at.or(Some(at));
}

fn set_reason(task: &mut Task, code: StopCode, reason: &str) {
    if task.stop_code.is_none() {
        task.stop_code = Some(code);
        task.stopped_reason = Some(reason.to_owned());
    }
}

fn stop(task: &mut Task, at: Timestamp) {
    task.last_status = TaskStatus::Stopped;
    task.times.stopped_at = task.times.stopped_at.or(Some(at));
    for container in &mut task.containers {
        container.status = TaskStatus::Stopped;
    }
}

/// Tasks allow commands.
pub(super) fn allow_commands(state: &mut State, tasks: &[TaskId]) {
    for task in tasks {
        if state.tasks.contains_key(task) {
            state.tasks_allowing_commands.insert(*task, ());
        }
    }
}
