//! Container instances.

use std::ops::Bound;

use trireme_ecs_model::shapes::{
    self, ContainerInstanceField, ContainerInstanceStatus, DeregisterContainerInstanceRequest,
    DeregisterContainerInstanceResponse, DescribeContainerInstancesRequest,
    DescribeContainerInstancesResponse, ListContainerInstancesRequest, ListContainerInstancesResponse,
    RegisterContainerInstanceRequest, RegisterContainerInstanceResponse, UpdateContainerAgentRequest,
    UpdateContainerAgentResponse, UpdateContainerInstancesStateRequest,
    UpdateContainerInstancesStateResponse,
};
use trireme_scheduler::Expression;
use trireme_state::object::{ClusterKey, ContainerInstance, InstanceStatus};
use trireme_state::store::ProposeError;
use trireme_state::{Command, Outcome, Rejection, State};
use trireme_types::ContainerInstanceId;

use crate::context::Context;
use crate::convert::{self, container_instance, instance_input, tags};
use crate::error::{Error, Result, of_propose, of_rejection};
use crate::length;
use crate::page::Page;
use crate::resolve;

/// ECS API: instances in one DescribeContainerInstances.
const DESCRIBE_LIMIT: usize = 100;
/// ECS API: instances in one UpdateContainerInstancesState.
const UPDATE_LIMIT: usize = 10;

fn missing(cluster: &ClusterKey, text: &str) -> shapes::Failure {
    let kind = format!("container-instance/{}", cluster.name);
    convert::missing(convert::arn_of(&cluster.scope, &kind, text))
}

fn check_length(named: &[String], limit: usize) -> Result<()> {
    length::not_empty("Container instances", named)?;
    length::items("containerInstances", named, limit)
}

/// ECS API: ListContainerInstances.filter, in the cluster query language.
fn filter(text: Option<&str>) -> Result<Option<Expression>> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let parsed = Expression::parse(text);
    parsed.map(Some).map_err(|error| Error::invalid(format!("Invalid filter expression: {error}.")))
}

pub(crate) async fn list(
    cx: Context,
    request: ListContainerInstancesRequest,
) -> Result<ListContainerInstancesResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    let filter = filter(request.filter.as_deref())?;
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let wanted = |status: InstanceStatus| match &request.status {
        None => true,
        Some(ContainerInstanceStatus::Active) => status == InstanceStatus::Active,
        Some(ContainerInstanceStatus::Draining) => status == InstanceStatus::Draining,
        Some(_) => false,
    };
    let ids = state.index().instances_of_cluster(&cluster);
    let now = cx.api.clock.now();
    let fits = |one: &ContainerInstance| {
        wanted(one.status) && filter.as_ref().is_none_or(|filter| filter.holds(&state, one, now))
    };
    let from = page.after::<ContainerInstanceId>().map_or(Bound::Unbounded, Bound::Excluded);
    let rest = ids.range((from, Bound::Unbounded));
    let found = rest.filter_map(|id| state.instance(*id)).filter(|instance| fits(instance));
    let (instances, next_token) = page.take(found, false, |instance| instance.id.to_string());
    let arns = instances.into_iter().map(|instance| container_instance::arn(&cluster, instance.id)).collect();
    Ok(ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token })
}

pub(crate) async fn describe(
    cx: Context,
    request: DescribeContainerInstancesRequest,
) -> Result<DescribeContainerInstancesResponse> {
    let named = request.container_instances.unwrap_or_default();
    check_length(&named, DESCRIBE_LIMIT)?;
    let with_tags = request.include.iter().flatten().any(|field| *field == ContainerInstanceField::Tags);
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for text in &named {
        match resolve::instance(&state, &cluster, text)? {
            Some(instance) => instances.push(container_instance::describe(&state, instance, with_tags)),
            None => failures.push(missing(&cluster, text)),
        }
    }
    Ok(DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

pub(crate) async fn update_state(
    cx: Context,
    request: UpdateContainerInstancesStateRequest,
) -> Result<UpdateContainerInstancesStateResponse> {
    let named = request.container_instances.unwrap_or_default();
    check_length(&named, UPDATE_LIMIT)?;
    let status = match request.status {
        Some(ContainerInstanceStatus::Active) => InstanceStatus::Active,
        Some(ContainerInstanceStatus::Draining) => InstanceStatus::Draining,
        _ => {
            return Err(Error::invalid("Container instance status should be one of [ACTIVE,DRAINING]"));
        }
    };
    let cluster = cx.active_cluster(&*cx.read().await?, request.cluster.as_deref())?;
    // All are read before the first one is changed.
    let named: Vec<(&String, Option<ContainerInstanceId>)> =
        named.iter().map(|text| Ok((text, resolve::instance_id(&cluster, text)?))).collect::<Result<_>>()?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for (text, instance) in named {
        let Some(instance) = instance else {
            failures.push(missing(&cluster, text));
            continue;
        };
        let command = Command::SetInstanceStatus { cluster: cluster.clone(), instance, status };
        match cx.propose(&instance.to_string(), command).await {
            Ok((_, state)) => {
                let found = state.instance(instance);
                instances.extend(found.map(|found| container_instance::describe(&state, found, false)));
            }
            Err(ProposeError::Rejected(Rejection::ContainerInstanceNotFound)) => {
                failures.push(missing(&cluster, text));
            }
            Err(error) => return Err(of_propose(cx.operation, error)),
        }
    }
    Ok(UpdateContainerInstancesStateResponse {
        container_instances: Some(instances),
        failures: Some(failures),
    })
}

pub(crate) async fn deregister(
    cx: Context,
    request: DeregisterContainerInstanceRequest,
) -> Result<DeregisterContainerInstanceResponse> {
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let text = request.container_instance.as_deref().unwrap_or_default();
    let Some(found) = resolve::instance(&state, &cluster, text)? else {
        return deregistered_before(&cx, &state, &cluster, text);
    };
    let (instance, force) = (found.id, request.force.unwrap_or(false));
    cx.write(Command::DeregisterInstance { cluster, instance, force }).await?;
    // It is gone from the state; what it was is what was read before.
    let mut described = container_instance::describe(&state, found, true);
    described.status = Some("INACTIVE".to_owned());
    Ok(DeregisterContainerInstanceResponse { container_instance: Some(described) })
}

/// The answer to a repeat of a call whose first answer was lost: the instance is gone, and what else it was with it.
fn deregistered_before(
    cx: &Context,
    state: &State,
    cluster: &ClusterKey,
    text: &str,
) -> Result<DeregisterContainerInstanceResponse> {
    let not_found = || of_rejection(cx.operation, Rejection::ContainerInstanceNotFound);
    let instance = resolve::instance_id(cluster, text)?.ok_or_else(not_found)?;
    let key = cx.idempotency_key("");
    let first = state.recorded_request(&key).filter(|first| first.parameters == key.parameters);
    first.ok_or_else(not_found)?;
    let gone = shapes::ContainerInstance {
        container_instance_arn: Some(container_instance::arn(cluster, instance)),
        status: Some("INACTIVE".to_owned()),
        agent_connected: Some(false),
        ..Default::default()
    };
    Ok(DeregisterContainerInstanceResponse { container_instance: Some(gone) })
}

/// What an ECS agent says of its machine. It is stored and described; without the agents' own protocol the instance is never
/// connected, and takes no task.
pub(crate) async fn register(
    cx: Context,
    request: RegisterContainerInstanceRequest,
) -> Result<RegisterContainerInstanceResponse> {
    let cluster = cx.cluster(request.cluster.as_deref())?;
    let registration = instance_input::registration(&cluster, &request)?;
    let tags = tags::parse(request.tags.as_deref())?;
    let instance = match request.container_instance_arn.as_deref().filter(|arn| !arn.is_empty()) {
        None => None,
        Some(text) => {
            let id = resolve::instance_id(&cluster, text)?;
            Some(id.ok_or_else(|| of_rejection(cx.operation, Rejection::ContainerInstanceNotFound))?)
        }
    };
    let command = Command::RegisterInstance { instance, registration: Box::new(registration), tags };
    let (outcome, state) = cx.write(command).await?;
    let Outcome::Session { instance, .. } = outcome else {
        return Err(Error::server("The container instance has no id."));
    };
    let found = state.instance(instance);
    let described = found.map(|found| container_instance::describe(&state, found, true));
    Ok(RegisterContainerInstanceResponse { container_instance: described })
}

/// An agent's version is its operator's to change: the control plane has none to give.
pub(crate) async fn update_agent(
    cx: Context,
    request: UpdateContainerAgentRequest,
) -> Result<UpdateContainerAgentResponse> {
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let text = request.container_instance.as_deref().unwrap_or_default();
    let found = resolve::instance(&state, &cluster, text)?;
    found.ok_or_else(|| of_rejection(cx.operation, Rejection::ContainerInstanceNotFound))?;
    Err(Error::no_update_available())
}
