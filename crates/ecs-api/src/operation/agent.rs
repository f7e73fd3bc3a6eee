//! What ECS's own agent asks and says of the machine that it registered. Such a machine has no session, so no task is placed on it,
//! and nothing that is said here changes a task: what a task does is known from the session of the agent that runs it. Calls are
//! checked and acknowledged, so that an agent goes on.

use trireme_ecs_model::shapes::{
    DiscoverPollEndpointRequest, DiscoverPollEndpointResponse, SubmitAttachmentStateChangesRequest,
    SubmitAttachmentStateChangesResponse, SubmitContainerStateChangeRequest,
    SubmitContainerStateChangeResponse, SubmitTaskStateChangeRequest, SubmitTaskStateChangeResponse,
};
use trireme_state::{Rejection, State};

use crate::context::Context;
use crate::error::{Error, Result, of_rejection};
use crate::resolve;

/// ECS API: the statuses that an agent gives a task or a container.
const STATUSES: [&str; 5] = ["PULLED", "CREATED", "PENDING", "RUNNING", "STOPPED"];
const ACKNOWLEDGED: &str = "ACK";

/// The endpoint is the one that was asked.
pub(crate) async fn discover_poll_endpoint(
    cx: Context,
    request: DiscoverPollEndpointRequest,
) -> Result<DiscoverPollEndpointResponse> {
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    if let Some(text) = request.container_instance.as_deref().filter(|text| !text.is_empty()) {
        let found = resolve::instance(&state, &cluster, text)?;
        found.ok_or_else(|| of_rejection(cx.operation, Rejection::ContainerInstanceNotFound))?;
    }
    let host = cx.host.ok_or_else(|| Error::invalid("The request has no Host header."))?;
    let endpoint = Some(format!("http://{host}/"));
    Ok(DiscoverPollEndpointResponse {
        telemetry_endpoint: endpoint.clone(),
        service_connect_endpoint: endpoint.clone(),
        endpoint,
    })
}

pub(crate) async fn submit_task(
    cx: Context,
    request: SubmitTaskStateChangeRequest,
) -> Result<SubmitTaskStateChangeResponse> {
    let state = cx.read().await?;
    check_status(request.status.as_deref())?;
    for container in request.containers.iter().flatten() {
        check_status(container.status.as_deref())?;
    }
    let names = request.containers.iter().flatten().filter_map(|one| one.container_name.as_deref());
    check_task(&cx, &state, (request.cluster.as_deref(), request.task.as_deref()), names)?;
    Ok(SubmitTaskStateChangeResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

pub(crate) async fn submit_container(
    cx: Context,
    request: SubmitContainerStateChangeRequest,
) -> Result<SubmitContainerStateChangeResponse> {
    let state = cx.read().await?;
    check_status(request.status.as_deref())?;
    let names = request.container_name.as_deref().into_iter();
    check_task(&cx, &state, (request.cluster.as_deref(), request.task.as_deref()), names)?;
    Ok(SubmitContainerStateChangeResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

pub(crate) async fn submit_attachments(
    cx: Context,
    request: SubmitAttachmentStateChangesRequest,
) -> Result<SubmitAttachmentStateChangesResponse> {
    let state = cx.read().await?;
    cx.active_cluster(&state, request.cluster.as_deref())?;
    // No task has an attachment: there is none that could have changed.
    if let Some(first) = request.attachments.iter().flatten().next() {
        let arn = first.attachment_arn.as_deref().unwrap_or_default();
        return Err(Error::invalid(format!("The attachment {arn} was not found.")));
    }
    Ok(SubmitAttachmentStateChangesResponse { acknowledgment: Some(ACKNOWLEDGED.to_owned()) })
}

fn check_status(status: Option<&str>) -> Result<()> {
    match status.filter(|status| !status.is_empty() && !STATUSES.contains(status)) {
        None => Ok(()),
        Some(other) => {
            Err(Error::invalid(format!("Unknown status: {other}. It is one of {}.", STATUSES.join(", "))))
        }
    }
}

/// The task, if one is named, must be there, with containers of these names.
fn check_task<'a>(
    cx: &Context,
    state: &State,
    (cluster, task): (Option<&str>, Option<&str>),
    mut names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let cluster = cx.active_cluster(state, cluster)?;
    let Some(text) = task.filter(|text| !text.is_empty()) else { return Ok(()) };
    let found = resolve::task(state, &cluster, text)?;
    let task = found.ok_or_else(|| of_rejection(cx.operation, Rejection::TaskNotFound))?;
    match names.find(|name| task.containers.iter().all(|one| one.name.as_str() != *name)) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!("The task has no container named {name}."))),
    }
}
