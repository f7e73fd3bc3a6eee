//! What no pass may break: the minimum and the maximum of a service, of a daemon, and of a task set.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trireme_state::object::*;
use trireme_state::query::Checked;
use trireme_state::*;
use trireme_types::*;

const HEALTHY_AFTER: Duration = Duration::from_secs(40);

/// ECS: by its health check, else RUNNING for 40 seconds.
fn is_healthy(state: &State, task: &Task, now: Timestamp) -> bool {
    let runs = task.wanted() && task.last_status == TaskStatus::Running;
    let started_at = task.times.started_at.unwrap_or(now);
    runs && state.checked(task).map_or(now.since(started_at) >= HEALTHY_AFTER, |one| one == Checked::Healthy)
}

/// No daemon has more tasks than its part of the instances by our starts, and none of one deployment twice on one.
fn check_daemon(service: &Service, after: &State, command: &Command) {
    let Command::StartServiceTasks { deployment, .. } = command else { return };
    let tasks = after.tasks_of_service(&service.key);
    let instances = after.instances().count() as u32;
    let maximum = service.spec.deployment_configuration.maximum(instances) as usize;
    assert!(tasks.iter().filter(|task| task.wanted()).count() <= maximum, "above the maximum: {command:?}");
    let ours = || tasks.iter().filter(|task| task.wanted() && task.deployment() == Some(*deployment));
    let places: BTreeSet<ContainerInstanceId> = ours().map(|task| task.instance).collect();
    assert_eq!(ours().count(), places.len(), "twice on one instance: {command:?}");
}

/// No task set is above its own maximum by our starts.
fn check_sets(service: &Service, sets: &TaskSets, tasks: &[Arc<Task>], command: &Command) {
    let Command::StartServiceTasks { deployment, .. } = command else { return };
    let desired = sets.set(*deployment).unwrap().computed_desired_count(service.spec.desired_count);
    let ours = |task: &&Arc<Task>| task.wanted() && task.deployment() == Some(*deployment);
    let maximum = service.spec.deployment_configuration.maximum(desired) as usize;
    assert!(tasks.iter().filter(ours).count() <= maximum, "above the maximum: {command:?}");
}

/// Never above the maximum by our starts; never below the minimum by our stops, of running tasks and of healthy ones.
pub fn check_limits(before: &State, after: &State, command: &Command, now: Timestamp) {
    let (Command::StartServiceTasks { service: key, .. } | Command::StopServiceTasks { service: key, .. }) =
        command
    else {
        return;
    };
    let service = after.service(key).unwrap();
    if service.status != ServiceStatus::Active {
        return;
    }
    let (desired, limits) = (service.spec.desired_count, service.spec.deployment_configuration);
    if SchedulingStrategy::of(&service.spec.described) == SchedulingStrategy::Daemon {
        return check_daemon(service, after, command);
    }
    if let Some(sets) = after.task_sets(key) {
        return check_sets(service, sets, &after.tasks_of_service(key), command);
    }
    let wanted = |state: &State| state.tasks_of_service(key).iter().filter(|task| task.wanted()).count();
    // Nobody counts on one whose health check fails.
    let running = |state: &State| {
        let sick = |task: &Task| before.checked(task) == Some(Checked::Unhealthy);
        let runs =
            |task: &&Arc<Task>| task.wanted() && task.last_status == TaskStatus::Running && !sick(task);
        state.tasks_of_service(key).iter().filter(runs).count()
    };
    if let Command::StartServiceTasks { deployment, .. } = command {
        let side = |task: &&Arc<Task>| task.wanted() && after.runs(key, task, *deployment);
        let beside = after.is_beside(service);
        let tasks = after.tasks_of_service(key);
        let count = if beside { tasks.iter().filter(side).count() } else { wanted(after) };
        assert!(count <= limits.maximum(desired) as usize, "above the maximum: {command:?}");
    } else {
        let floor = (limits.minimum(desired).min(desired) as usize).min(running(before));
        assert!(running(after) >= floor, "below the minimum: {command:?}");
        let healthy = |state: &State| {
            let counts = |task: &&Arc<Task>| is_healthy(before, task, now);
            state.tasks_of_service(key).iter().filter(counts).count()
        };
        let floor = (limits.minimum(desired).min(desired) as usize).min(healthy(before));
        assert!(healthy(after) >= floor, "fewer healthy than the minimum: {command:?}");
    }
}
