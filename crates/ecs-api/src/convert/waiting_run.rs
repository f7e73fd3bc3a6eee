//! Tasks that wait for a machine, as ECS shows them: in PROVISIONING, on no container instance.

use trireme_ecs_model::shapes;
use trireme_state::State;
use trireme_state::object::{
    ContainerReport, DesiredStatus, Task, TaskOrigin, TaskStatus, TaskTimes, WaitingRun,
};
use trireme_state::query::reservation;
use trireme_types::{ContainerInstanceId, TaskId, Zone};

use super::task;

/// A task by its id, whether it runs or waits.
pub(crate) fn describe_any(state: &State, id: TaskId, with_tags: bool) -> Option<shapes::Task> {
    match state.task(id) {
        Some(found) => Some(task::describe(state, found, with_tags)),
        None => state.waiting_run(id).and_then(|run| describe(state, run, with_tags)),
    }
}

/// One that waits, or waited in vain. `None` if what it is made from is gone.
pub(crate) fn describe(state: &State, run: &WaitingRun, with_tags: bool) -> Option<shapes::Task> {
    let task = as_task(state, run)?;
    let described = task::describe(state, &task, with_tags);
    Some(shapes::Task {
        availability_zone: None,
        container_instance_arn: None,
        connectivity: None,
        connectivity_at: None,
        attachments: Some(Vec::new()),
        capacity_provider_name: run.launch.provider().map(ToString::to_string),
        enable_execute_command: Some(run.allows_commands),
        ..described
    })
}

/// The task that it would be, on no machine.
fn as_task(state: &State, run: &WaitingRun) -> Option<Task> {
    let spec = &state.task_definition(&run.definition)?.spec;
    let (last_status, desired_status) = match run.end {
        None => (TaskStatus::Provisioning, DesiredStatus::Running),
        Some(_) => (TaskStatus::Stopped, DesiredStatus::Stopped),
    };
    let ended = run.end.as_ref();
    let container = |name: &trireme_types::ContainerName| ContainerReport {
        name: name.clone(),
        runtime_id: None,
        image_digest: None,
        status: last_status,
        exit_code: None,
        reason: None,
        network_bindings: Vec::new(),
    };
    Some(Task {
        id: run.id,
        cluster: run.cluster.clone(),
        definition: run.definition.clone(),
        origin: TaskOrigin::Standalone,
        instance: ContainerInstanceId::from_bits(0),
        zone: Zone::new("none").ok()?,
        reservation: reservation(spec, &run.overrides),
        overrides: run.overrides.clone(),
        group: run.group.clone(),
        started_by: run.started_by.clone(),
        tags: run.tags.clone(),
        desired_status,
        last_status,
        times: TaskTimes {
            created_at: run.created_at,
            stopping_at: ended.map(|end| end.at),
            stopped_at: ended.map(|end| end.at),
            ..TaskTimes::default()
        },
        stop_code: ended.map(|end| end.code),
        stopped_reason: ended.map(|end| end.reason.clone()),
        containers: spec.containers.iter().map(|one| container(&one.name)).collect(),
        version: if ended.is_some() { 2 } else { 1 },
    })
}
