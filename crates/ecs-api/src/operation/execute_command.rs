//! ExecuteCommand. Session Manager's channel to the client is not there yet: `trireme exec` is.

use trireme_ecs_model::shapes::{ExecuteCommandRequest, ExecuteCommandResponse};
use trireme_state::Rejection;
use trireme_state::object::TaskStatus;

use crate::context::Context;
use crate::error::{Error, Result, of_rejection};
use crate::resolve;

/// ECS API: ExecuteCommand, in ECS's words.
const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the task was run or the execute \
                           command agent isn\u{2019}t running. Wait and try again or run a new task with execute command enabled and \
                           try again.";

/// The first sentence in ECS's words.
const NOT_CONNECTED: &str = "The execute command failed due to an internal error. Sessions of Session Manager are not offered; use \
                             `trireme exec`.";

pub(crate) async fn execute(cx: Context, request: ExecuteCommandRequest) -> Result<ExecuteCommandResponse> {
    if request.interactive != Some(true) {
        return Err(Error::invalid("Interactive is the only mode supported currently."));
    }
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let found = resolve::task(&state, &cluster, request.task.as_deref().unwrap_or_default())?;
    let task = found.ok_or_else(|| of_rejection(cx.operation, Rejection::TaskNotFound))?;
    if task.last_status == TaskStatus::Stopped {
        return Err(Error::invalid("The execute command failed because the task is stopped."));
    }
    match request.container.as_deref().filter(|name| !name.is_empty()) {
        None if task.containers.len() > 1 => {
            return Err(Error::invalid("Container name is required when the task has multiple containers."));
        }
        Some(name) if task.containers.iter().all(|one| one.name.as_str() != name) => {
            return Err(Error::invalid(format!("The task has no container named {name}.")));
        }
        _ => {}
    }
    if !state.allows_commands(task.id) || task.last_status != TaskStatus::Running {
        return Err(Error::invalid(NOT_ENABLED));
    }
    Err(Error::not_connected(NOT_CONNECTED))
}
