//! What agents ask for their tasks beside the session: tags, and protection against their service.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Status;
use trireme_rpc::agent as wire;
use trireme_state::object::{ContainerInstance, Task};
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, Proposal, Rejection, State, limits};
use trireme_types::{SessionEpoch, TaskId, Timestamp};

use crate::{Shared, convert, request_id};

/// How long a change may take: the agent asks for no longer.
const LIMIT: Duration = Duration::from_secs(5);

/// The tags of a task, and of the instance that asks.
pub(crate) fn tags(shared: &Shared, question: &wire::TaskQuestion) -> Result<wire::TagsResponse, Status> {
    let state = shared.store.view();
    let (instance, task) = asked(&state, question)?;
    let map = |tags: &trireme_state::object::Tags| {
        tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    };
    Ok(wire::TagsResponse { task: map(&task.tags), container_instance: map(&instance.tags) })
}

/// What protects a task, after a change if there is one.
pub(crate) async fn protection(
    shared: &Shared,
    request: wire::ProtectionRequest,
) -> Result<wire::ProtectionResponse, Status> {
    let question = request.task.unwrap_or_default();
    let minutes = request.change.map(minutes).transpose()?;
    // What was acknowledged to the task before must be seen.
    let read = timeout(LIMIT, shared.store.read()).await;
    let state = match read {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => return Err(Status::unavailable(error.to_string())),
        Err(_) => return Err(Status::unavailable("the control plane has no leader")),
    };
    let (instance, task) = asked(&state, &question)?;
    if task.service().is_none() || task.last_status == trireme_state::object::TaskStatus::Stopped {
        return Ok(wire::ProtectionResponse { not_valid: true, until_millis: None });
    }
    let Some(minutes) = minutes else { return Ok(told(&state, task.id)) };
    let command = Command::ProtectTask { cluster: task.cluster.clone(), task: task.id, minutes };
    let proposal =
        Proposal { actor: Actor::Agent(instance.id), request_id: request_id(), key: None, command };
    match timeout(LIMIT, shared.store.propose(proposal)).await {
        Ok(Ok(_)) => Ok(told(&shared.store.view(), task.id)),
        Ok(Err(ProposeError::Rejected(Rejection::TaskNotFound | Rejection::TaskNotOfService))) => {
            Ok(wire::ProtectionResponse { not_valid: true, until_millis: None })
        }
        Ok(Err(ProposeError::Rejected(rejection))) => Err(Status::failed_precondition(rejection.to_string())),
        Ok(Err(error)) => Err(Status::unavailable(error.to_string())),
        Err(_) => Err(Status::unavailable("the control plane does not decide in time; it may be done")),
    }
}

/// For how long; `None` ends it.
fn minutes(change: wire::ProtectionChange) -> Result<Option<u32>, Status> {
    let wanted = change.minutes.unwrap_or(limits::PROTECTION_MINUTES_DEFAULT);
    match change.enabled {
        false => Ok(None),
        true if limits::PROTECTION_MINUTES.contains(&wanted) => Ok(Some(wanted)),
        true => Err(Status::invalid_argument("expiresInMinutes must be between 1 and 2880.")),
    }
}

/// Whatever this node's clock says: an agent whose clock is elsewhere must not see it expired before it is.
fn told(state: &State, task: TaskId) -> wire::ProtectionResponse {
    let until = state.task_protection(task, state.clock());
    wire::ProtectionResponse { not_valid: false, until_millis: until.map(Timestamp::millis) }
}

/// The instance that asks, under its session's epoch, and a task of its own.
fn asked<'a>(
    state: &'a State,
    question: &wire::TaskQuestion,
) -> Result<(&'a ContainerInstance, &'a Task), Status> {
    let invalid = |error: crate::Error| Status::invalid_argument(error.describe());
    let id =
        convert::optional_id("container instance id", &question.container_instance_id).map_err(invalid)?;
    let task = convert::optional_id("task id", &question.task_id).map_err(invalid)?;
    let instance =
        id.and_then(|id| state.instance(id)).filter(|one| one.epoch == SessionEpoch::new(question.epoch));
    let instance = instance.ok_or_else(|| Status::failed_precondition("the session's epoch is over"))?;
    let task = task.and_then(|task| state.task(task)).filter(|task| task.instance == instance.id);
    let task = task.ok_or_else(|| Status::not_found("this container instance has no such task"))?;
    Ok((instance, task))
}
