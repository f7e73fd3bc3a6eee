//! Tasks: stop, describe, list.

use trireme_ecs_model::shapes::{
    DescribeTasksRequest, DescribeTasksResponse, DesiredStatus as Desired, LaunchType, ListTasksRequest,
    ListTasksResponse, StopTaskRequest, StopTaskResponse, TaskField,
};
use trireme_state::object::{ClusterKey, DesiredStatus, Task};
use trireme_state::{Command, Rejection, State};
use trireme_types::TaskId;

use crate::context::Context;
use crate::convert;
use crate::error::{Error, Result, of_rejection};
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
    if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_LIMIT) {
        return Err(Error::invalid(format!("reason can have at most {REASON_LIMIT} characters.")));
    }
    // No such id: an unknown cluster is still the first thing to say.
    let Some(task) = task else {
        cx.active_cluster(&*cx.read().await?, request.cluster.as_deref())?;
        return Err(not_found());
    };
    let (_, state) = cx.write(Command::StopTask { cluster, task, reason }).await?;
    let task = state.task(task).ok_or_else(not_found)?;
    Ok(StopTaskResponse { task: Some(convert::task::describe(&state, task, false)) })
}

pub(crate) async fn describe(cx: Context, request: DescribeTasksRequest) -> Result<DescribeTasksResponse> {
    let named = request.tasks.unwrap_or_default();
    if named.is_empty() {
        return Err(Error::invalid("Tasks cannot be empty."));
    }
    if named.len() > DESCRIBE_LIMIT {
        return Err(Error::invalid(format!("tasks can have at most {DESCRIBE_LIMIT} items.")));
    }
    let with_tags = request.include.iter().flatten().any(|field| *field == TaskField::Tags);
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for text in &named {
        match resolve::task(&state, &cluster, text)? {
            Some(task) => tasks.push(convert::task::describe(&state, task, with_tags)),
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
    let ids = candidates(&state, &cluster, &request)?;
    let instance = request.container_instance.as_deref().filter(|text| !text.is_empty());
    let instance = match instance {
        None => None,
        Some(text) => Some(
            resolve::instance_id(&cluster, text)?
                .ok_or_else(|| of_rejection(cx.operation, Rejection::ContainerInstanceNotFound))?,
        ),
    };
    let wanted = |task: &Task| {
        let family = request.family.as_deref().is_none_or(|family| task.definition.family.as_str() == family);
        let started_by = request.started_by.as_deref();
        family
            && matches_status(task, request.desired_status.as_ref())
            && request.launch_type.as_ref().is_none_or(|launch| *launch == LaunchType::Ec2)
            && started_by.is_none_or(|by| task.started_by.as_deref() == Some(by))
            && instance.is_none_or(|instance| task.instance == instance)
    };
    let found = ids.into_iter().filter_map(|id| state.task(id)).filter(|task| wanted(task));
    let (tasks, next_token) = page.take(found, false, |task| task.id.to_string());
    let arns = tasks.into_iter().map(|task| convert::task::arn(&task.cluster, task.id)).collect();
    Ok(ListTasksResponse { task_arns: Some(arns), next_token })
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

/// The tasks that can match, by id: a service's, or the cluster's.
fn candidates(state: &State, cluster: &ClusterKey, request: &ListTasksRequest) -> Result<Vec<TaskId>> {
    let Some(name) = request.service_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(state.index().tasks_of_cluster(cluster).iter().copied().collect());
    };
    let service = resolve::service(state, cluster, name)?.ok_or_else(Error::service_not_found)?;
    let load = state.index().service_load(&service.key);
    let mut ids: Vec<TaskId> =
        load.tasks.iter().copied().chain(load.stopped.iter().map(|(_, id)| *id)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// ECS never has PENDING as a desired status: asking for it finds nothing.
fn matches_status(task: &Task, asked: Option<&Desired>) -> bool {
    match asked {
        None | Some(Desired::Running) => task.desired_status == DesiredStatus::Running,
        Some(Desired::Stopped) => task.desired_status == DesiredStatus::Stopped,
        Some(_) => false,
    }
}
