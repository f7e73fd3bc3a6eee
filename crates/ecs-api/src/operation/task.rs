//! Tasks: stop, describe, list.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdSet;
use trireme_ecs_model::shapes::{
    DescribeTasksRequest, DescribeTasksResponse, DesiredStatus as Desired, LaunchType, ListTasksRequest,
    ListTasksResponse, StopTaskRequest, StopTaskResponse, TaskField,
};
use trireme_state::object::{ClusterKey, DesiredStatus, Launch, ServiceKey, Task, WaitingRun};
use trireme_state::{Command, Rejection, State};
use trireme_types::{ContainerInstanceId, Family, TaskId};

use crate::context::Context;
use crate::convert;
use crate::error::{Error, Result, of_rejection};
use crate::length;
use crate::page::Page;
use crate::resolve;

/// ECS API: tasks in one DescribeTasks.
const DESCRIBE_LIMIT: usize = 100;
/// The longest reason that is kept, in characters.
const REASON_LIMIT: usize = 1024;

pub(crate) async fn stop(cx: Context, request: StopTaskRequest) -> Result<StopTaskResponse> {
    let cluster = cx.cluster(request.cluster.as_deref())?;
    let not_found = || of_rejection(cx.operation, Rejection::TaskNotFound);
    let task = resolve::task_id(&cluster, request.task.as_deref().unwrap_or_default())?;
    let reason = request.reason.filter(|reason| !reason.is_empty());
    length::characters("reason", reason.as_deref(), REASON_LIMIT)?;
    // No such id: an unknown cluster is still the first thing to say.
    let Some(task) = task else {
        cx.active_cluster(&*cx.read().await?, request.cluster.as_deref())?;
        return Err(not_found());
    };
    let (_, state) = cx.write(Command::StopTask { cluster, task, reason }).await?;
    let task = convert::waiting_run::describe_any(&state, task, false).ok_or_else(not_found)?;
    Ok(StopTaskResponse { task: Some(task) })
}

pub(crate) async fn describe(cx: Context, request: DescribeTasksRequest) -> Result<DescribeTasksResponse> {
    let named = request.tasks.unwrap_or_default();
    length::not_empty("Tasks", &named)?;
    length::items("tasks", &named, DESCRIBE_LIMIT)?;
    let with_tags = request.include.iter().flatten().any(|field| *field == TaskField::Tags);
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for text in &named {
        let found = match resolve::task(&state, &cluster, text)? {
            Some(task) => Some(convert::task::describe(&state, task, with_tags)),
            None => {
                let run = resolve::waiting_run(&state, &cluster, text)?;
                run.and_then(|run| convert::waiting_run::describe(&state, run, with_tags))
            }
        };
        match found {
            Some(task) => tasks.push(task),
            None => {
                let kind = format!("task/{}", cluster.name);
                failures.push(convert::missing(convert::arn_of(cx.scope(), &kind, text)));
            }
        }
    }
    Ok(DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

pub(crate) async fn list(cx: Context, request: ListTasksRequest) -> Result<ListTasksResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    check_filters(&cx, &request)?;
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let instance = request.container_instance.as_deref().filter(|text| !text.is_empty());
    let instance = match instance {
        None => None,
        Some(text) => Some(
            resolve::instance_id(&cluster, text)?
                .ok_or_else(|| of_rejection(cx.operation, Rejection::ContainerInstanceNotFound))?,
        ),
    };
    let Some(desired) = desired(request.desired_status.as_ref()) else {
        return Ok(ListTasksResponse { task_arns: Some(Vec::new()), next_token: None });
    };
    let service = match request.service_name.as_deref().filter(|name| !name.is_empty()) {
        None => None,
        Some(name) => {
            Some(resolve::service(&state, &cluster, name)?.ok_or_else(Error::service_not_found)?.key.clone())
        }
    };
    let ids = candidates(&state, &cluster, &request, (desired, instance, service.as_ref()));
    let wanted = |task: &Task| {
        let family = request.family.as_deref().is_none_or(|family| task.definition.family.as_str() == family);
        let started_by = request.started_by.as_deref();
        family
            && task.desired_status == desired
            && request.launch_type.as_ref().is_none_or(|asked| *asked == launch_type(state.launch(task.id)))
            && started_by.is_none_or(|by| task.started_by.as_deref() == Some(by))
            && instance.is_none_or(|instance| task.instance == instance)
            && (service.is_none() || task.service() == service)
    };
    let waits = |run: &&Arc<WaitingRun>| {
        let family = request.family.as_deref().is_none_or(|family| run.definition.family.as_str() == family);
        let started_by = request.started_by.as_deref();
        family
            && run.end.is_some() == (desired == DesiredStatus::Stopped)
            && request.launch_type.as_ref().is_none_or(|asked| *asked == launch_type(Some(&run.launch)))
            && started_by.is_none_or(|by| run.started_by.as_deref() == Some(by))
            && instance.is_none()
            && service.is_none()
    };
    let waiting: OrdSet<TaskId> = state.waiting_runs_of(&cluster).filter(waits).map(|run| run.id).collect();
    let ids = ids.union(waiting.clone());
    let from = page.after::<TaskId>().map_or(Bound::Unbounded, Bound::Excluded);
    let rest = ids.range((from, Bound::Unbounded)).copied();
    let found = rest.filter(|id| state.task(*id).map_or(waiting.contains(id), |task| wanted(task)));
    let (tasks, next_token) = page.take(found, false, ToString::to_string);
    let arns = tasks.into_iter().map(|id| convert::task::arn(&cluster, id)).collect();
    Ok(ListTasksResponse { task_arns: Some(arns), next_token })
}

/// What ECS calls what a task is launched on.
fn launch_type(launch: Option<&Launch>) -> LaunchType {
    if launch.is_some_and(Launch::is_fargate) { LaunchType::Fargate } else { LaunchType::Ec2 }
}

fn check_filters(cx: &Context, request: &ListTasksRequest) -> Result<()> {
    if request.daemon_name.is_some() {
        return Err(Error::unsupported(cx.operation, "daemonName"));
    }
    let others = request.family.is_some() || request.service_name.is_some();
    if request.started_by.is_some() && others {
        return Err(Error::invalid("startedBy cannot be combined with family or serviceName."));
    }
    Ok(())
}

/// The tasks that can match, by id: the smallest set that is kept by something that is asked for. Each is looked at again.
fn candidates(
    state: &State,
    cluster: &ClusterKey,
    request: &ListTasksRequest,
    (desired, instance, service): (DesiredStatus, Option<ContainerInstanceId>, Option<&ServiceKey>),
) -> OrdSet<TaskId> {
    let listing = state.index().listing();
    let mut sets = vec![listing.of_desired(cluster, desired)];
    if let Some(service) = service {
        let load = state.index().service_load(service);
        sets.push(match desired {
            DesiredStatus::Running => load.tasks.clone(),
            DesiredStatus::Stopped => {
                load.tasks.iter().copied().chain(load.stopped.iter().map(|(_, _, id)| *id)).collect()
            }
        });
    }
    if let (Some(instance), DesiredStatus::Running) = (instance, desired) {
        sets.push(state.index().instance_load(instance).tasks.clone());
    }
    if let Some(by) = request.started_by.as_deref() {
        sets.push(listing.started_by(cluster, by));
    }
    if let Some(family) = request.family.as_deref() {
        let family = Family::new(family).map(|family| listing.of_family(cluster, &family));
        sets.push(family.unwrap_or_default());
    }
    sets.into_iter().min_by_key(OrdSet::len).unwrap_or_default()
}

/// ECS never has PENDING as a desired status: asking for it finds nothing.
fn desired(asked: Option<&Desired>) -> Option<DesiredStatus> {
    match asked {
        None | Some(Desired::Running) => Some(DesiredStatus::Running),
        Some(Desired::Stopped) => Some(DesiredStatus::Stopped),
        Some(_) => None,
    }
}
