//! Task sets, and services with them.

use std::sync::Arc;

use trireme_ecs_model::shapes::{
    self, CreateTaskSetRequest, CreateTaskSetResponse, DeleteTaskSetRequest, DeleteTaskSetResponse,
    DescribeTaskSetsRequest, DescribeTaskSetsResponse, TaskSetField, UpdateServicePrimaryTaskSetRequest,
    UpdateServicePrimaryTaskSetResponse, UpdateTaskSetRequest, UpdateTaskSetResponse,
};
use trireme_state::object::{Launching, Scale, Service, ServiceKey, ServiceStatus, TaskSetSpec, TaskSets};
use trireme_state::{Command, Outcome, Rejection, State};
use trireme_types::DeploymentId;

use crate::context::Context;
use crate::convert::{self, described, network, service_input, tags, task_set};
use crate::error::{Error, Result, of_rejection};
use crate::{length, resolve, unsupported};

/// ECS API: CreateTaskSet.clientToken.
const TOKEN_LIMIT: usize = 36;
/// Characters of CreateTaskSet.externalId.
const EXTERNAL_ID_LIMIT: usize = 255;
/// Task sets in one DescribeTaskSets.
const DESCRIBE_LIMIT: usize = 100;

/// The service that a call is about, and its sets.
fn service<'a>(
    cx: &Context,
    state: &'a State,
    cluster: Option<&str>,
    text: Option<&str>,
) -> Result<(&'a Service, &'a Arc<TaskSets>)> {
    let cluster = cx.active_cluster(state, cluster)?;
    let found = resolve::service(state, &cluster, text.unwrap_or_default())?;
    let rejected = |rejection| of_rejection(cx.operation, rejection);
    let service = found.ok_or_else(|| rejected(Rejection::ServiceNotFound))?;
    if service.status != ServiceStatus::Active {
        return Err(rejected(Rejection::ServiceNotActive));
    }
    let sets = state.task_sets(&service.key);
    Ok((service, sets.ok_or_else(|| rejected(Rejection::ServiceHasNoTaskSets))?))
}

fn set_named(cx: &Context, service: &ServiceKey, text: Option<&str>) -> Result<DeploymentId> {
    let id = resolve::task_set_id(service, text.unwrap_or_default())?;
    id.ok_or_else(|| of_rejection(cx.operation, Rejection::TaskSetNotFound))
}

/// The set that a write was about, as it is after it.
fn described(cx: &Context, state: &State, outcome: Outcome) -> Result<shapes::TaskSet> {
    let missing = || of_rejection(cx.operation, Rejection::TaskSetNotFound);
    let Outcome::TaskSet(key, id) = outcome else { return Err(missing()) };
    let (service, sets) = (state.service(&key), state.task_sets(&key));
    let set = sets.and_then(|sets| sets.set(id)).ok_or_else(missing)?;
    let described = task_set::describe(state, service.ok_or_else(missing)?, [set], true);
    described.into_iter().next().ok_or_else(missing)
}

pub(crate) async fn create(cx: Context, request: CreateTaskSetRequest) -> Result<CreateTaskSetResponse> {
    unsupported::create_task_set(&request)?;
    length::characters("clientToken", cx.client_token.as_deref(), TOKEN_LIMIT)?;
    length::characters("externalId", request.external_id.as_deref(), EXTERNAL_ID_LIMIT)?;
    let scale = request.scale.as_ref().map_or(Ok(Scale::default()), task_set::scale)?;
    let tags = tags::parse(request.tags.as_deref())?;
    let state = cx.read().await?;
    let (found, _) = service(&cx, &state, request.cluster.as_deref(), request.service.as_deref())?;
    if let Some(Outcome::TaskSet(key, id)) = cx.answered_before(&state)? {
        return Ok(CreateTaskSetResponse { task_set: Some(there_or_gone(&cx, &state, key, *id)) });
    }
    let named = request.task_definition.as_deref().unwrap_or_default();
    let definition = resolve::definition(&state, cx.scope(), named)?;
    let balancers = request.load_balancers.as_deref();
    if balancers.is_some_and(|given| given.len() > 1) {
        return Err(Error::invalid("A task set can have one target group at most."));
    }
    service_input::load_balancers(balancers, definition)?;
    service_input::registries(request.service_registries.as_deref(), definition)?;
    let mode = definition.spec.network_mode;
    network::parse(&state, cx.scope(), request.network_configuration.as_ref(), mode, &Launching::Instances)?;
    let spec = TaskSetSpec {
        task_definition: definition.key.clone(),
        scale,
        external_id: request.external_id.clone(),
        described: described::of_task_set(&request),
    };
    let command = Command::CreateTaskSet { service: found.key.clone(), spec: Box::new(spec), tags };
    let (outcome, state) = cx.write(command).await?;
    Ok(CreateTaskSetResponse { task_set: Some(described(&cx, &state, outcome)?) })
}

pub(crate) async fn update(cx: Context, request: UpdateTaskSetRequest) -> Result<UpdateTaskSetResponse> {
    let scale = task_set::scale(request.scale.as_ref().unwrap_or(&shapes::Scale::default()))?;
    let state = cx.read().await?;
    let (found, _) = service(&cx, &state, request.cluster.as_deref(), request.service.as_deref())?;
    let id = set_named(&cx, &found.key, request.task_set.as_deref())?;
    let command = Command::ScaleTaskSet { service: found.key.clone(), id, scale };
    let (outcome, state) = cx.write(command).await?;
    Ok(UpdateTaskSetResponse { task_set: Some(described(&cx, &state, outcome)?) })
}

pub(crate) async fn delete(cx: Context, request: DeleteTaskSetRequest) -> Result<DeleteTaskSetResponse> {
    let state = cx.read().await?;
    let (found, _) = service(&cx, &state, request.cluster.as_deref(), request.service.as_deref())?;
    let id = set_named(&cx, &found.key, request.task_set.as_deref())?;
    let key = found.key.clone();
    let force = request.force.unwrap_or(false);
    let (_, state) = cx.write(Command::DeleteTaskSet { service: key.clone(), id, force }).await?;
    // One without tasks is gone at once, and so is one whose deletion is asked for again.
    Ok(DeleteTaskSetResponse { task_set: Some(there_or_gone(&cx, &state, &key, id)) })
}

/// A set as it is, or as one that is gone.
fn there_or_gone(cx: &Context, state: &State, key: &ServiceKey, id: DeploymentId) -> shapes::TaskSet {
    let there = described(cx, state, Outcome::TaskSet(key.clone(), id));
    there.unwrap_or_else(|_| task_set::describe_gone(key, id))
}

pub(crate) async fn set_primary(
    cx: Context,
    request: UpdateServicePrimaryTaskSetRequest,
) -> Result<UpdateServicePrimaryTaskSetResponse> {
    let state = cx.read().await?;
    let (found, _) = service(&cx, &state, request.cluster.as_deref(), request.service.as_deref())?;
    let id = set_named(&cx, &found.key, request.primary_task_set.as_deref())?;
    let command = Command::SetPrimaryTaskSet { service: found.key.clone(), id };
    let (outcome, state) = cx.write(command).await?;
    Ok(UpdateServicePrimaryTaskSetResponse { task_set: Some(described(&cx, &state, outcome)?) })
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeTaskSetsRequest,
) -> Result<DescribeTaskSetsResponse> {
    let state = cx.read().await?;
    let (found, all) = service(&cx, &state, request.cluster.as_deref(), request.service.as_deref())?;
    let with_tags = request.include.iter().flatten().any(|field| *field == TaskSetField::Tags);
    let named = request.task_sets.unwrap_or_default();
    length::items("taskSets", &named, DESCRIBE_LIMIT)?;
    let (mut sets, mut failures) = (Vec::new(), Vec::new());
    if named.is_empty() {
        sets.extend(&all.sets);
    }
    for text in &named {
        match resolve::task_set_id(&found.key, text)?.and_then(|id| all.set(id)) {
            Some(set) => sets.push(set),
            None => {
                let kind = format!("task-set/{}/{}", found.key.cluster.name, found.key.name);
                failures.push(convert::missing(convert::arn_of(cx.scope(), &kind, text)));
            }
        }
    }
    let sets = task_set::describe(&state, found, sets, with_tags);
    Ok(DescribeTaskSetsResponse { task_sets: Some(sets), failures: Some(failures) })
}
