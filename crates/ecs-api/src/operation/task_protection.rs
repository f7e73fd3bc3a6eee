//! Task protection: which of a service's tasks are not to be stopped by it, and until when.

use trireme_ecs_model::shapes::{
    Failure, GetTaskProtectionRequest, GetTaskProtectionResponse, ProtectedTask, UpdateTaskProtectionRequest,
    UpdateTaskProtectionResponse,
};
use trireme_state::limits::{PROTECTION_MINUTES, PROTECTION_MINUTES_DEFAULT};
use trireme_state::object::{ClusterKey, Task, TaskStatus};
use trireme_state::store::ProposeError;
use trireme_state::{Command, Rejection, State};
use trireme_types::Timestamp;

use crate::context::Context;
use crate::convert;
use crate::error::{Error, Result, of_propose};
use crate::length;
use crate::resolve;

/// ECS API: tasks in one UpdateTaskProtection.
const UPDATE_LIMIT: usize = 10;
/// ECS API: tasks in one GetTaskProtection.
const GET_LIMIT: usize = 100;

fn protected(task: &Task, until: Option<Timestamp>) -> ProtectedTask {
    ProtectedTask {
        task_arn: Some(convert::task::arn(&task.cluster, task.id)),
        protection_enabled: Some(until.is_some()),
        expiration_date: until.map(convert::time),
    }
}

fn failure(cluster: &ClusterKey, text: &str, reason: &str) -> Failure {
    let arn = convert::arn_of(&cluster.scope, &format!("task/{}", cluster.name), text);
    Failure { arn: Some(arn), reason: Some(reason.to_owned()), detail: None }
}

/// Why a task has no protection, as `failures[]` says it.
fn refusal(task: &Task) -> Option<&'static str> {
    // Only a service stops tasks by itself.
    let stopped = task.last_status == TaskStatus::Stopped;
    (stopped || task.service().is_none()).then_some("TASK_NOT_VALID")
}

pub(crate) async fn get(cx: Context, request: GetTaskProtectionRequest) -> Result<GetTaskProtectionResponse> {
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let mut named = request.tasks.unwrap_or_default();
    length::items("tasks", &named, GET_LIMIT)?;
    length::not_empty("Tasks", &named)?;
    // Each once, where it is named first.
    let mut seen = std::collections::BTreeSet::new();
    named.retain(|text| seen.insert(text.clone()));
    let now = cx.api.clock.now();
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for text in &named {
        match resolve::task(&state, &cluster, text)? {
            None => failures.push(failure(&cluster, text, "MISSING")),
            Some(task) => match refusal(task) {
                Some(reason) => failures.push(failure(&cluster, text, reason)),
                None => tasks.push(protected(task, state.task_protection(task.id, now))),
            },
        }
    }
    Ok(GetTaskProtectionResponse { protected_tasks: Some(tasks), failures: Some(failures) })
}

pub(crate) async fn update(
    cx: Context,
    request: UpdateTaskProtectionRequest,
) -> Result<UpdateTaskProtectionResponse> {
    let named = request.tasks.unwrap_or_default();
    length::not_empty("Tasks", &named)?;
    length::items("tasks", &named, UPDATE_LIMIT)?;
    let minutes = minutes(request.protection_enabled.unwrap_or(false), request.expires_in_minutes)?;
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    // All are read before the first one is changed.
    let found: Vec<(&String, Option<&Task>)> =
        named.iter().map(|text| Ok((text, resolve::task(&state, &cluster, text)?))).collect::<Result<_>>()?;
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for (text, task) in found {
        match protect(&cx, &cluster, task, minutes).await? {
            Ok(task) => tasks.push(task),
            Err(reason) => failures.push(failure(&cluster, text, reason)),
        }
    }
    Ok(UpdateTaskProtectionResponse { protected_tasks: Some(tasks), failures: Some(failures) })
}

/// For how long; `None` ends it.
fn minutes(enabled: bool, given: Option<i32>) -> Result<Option<u32>> {
    if !enabled {
        return Ok(None);
    }
    let minutes = given.map_or(Ok(PROTECTION_MINUTES_DEFAULT), u32::try_from);
    match minutes {
        Ok(minutes) if PROTECTION_MINUTES.contains(&minutes) => Ok(Some(minutes)),
        _ => Err(Error::invalid("expiresInMinutes must be between 1 and 2880.")),
    }
}

/// One task: what it has then, or why not.
async fn protect(
    cx: &Context,
    cluster: &ClusterKey,
    task: Option<&Task>,
    minutes: Option<u32>,
) -> Result<std::result::Result<ProtectedTask, &'static str>> {
    let Some(task) = task else { return Ok(Err("MISSING")) };
    let command = Command::ProtectTask { cluster: cluster.clone(), task: task.id, minutes };
    match cx.propose(&task.id.to_string(), command).await {
        Ok((_, state)) => Ok(Ok(protected(task, until(&state, task)))),
        Err(ProposeError::Rejected(Rejection::TaskNotOfService | Rejection::TaskNotFound)) => {
            Ok(Err("TASK_NOT_VALID"))
        }
        Err(error) => Err(of_propose(cx.operation, error)),
    }
}

/// Whatever the clock here says: the leader's has just set it.
fn until(state: &State, task: &Task) -> Option<Timestamp> {
    state.task_protection(task.id, Timestamp::EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protection_lasts_a_minute_to_two_days() {
        assert_eq!(minutes(true, None), Ok(Some(120)));
        assert_eq!(minutes(true, Some(2_880)), Ok(Some(2_880)));
        assert_eq!(minutes(false, Some(7)), Ok(None));
        assert!(minutes(true, Some(0)).is_err());
        assert!(minutes(true, Some(2_881)).is_err());
    }
}
