//! Tags of whatever has an ARN.

use trireme_ecs_model::shapes::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};
use trireme_state::command::TaggedResource;
use trireme_state::object::{
    CapacityProviderKey, ClusterKey, ServiceKey, TaskDefinitionKey, TaskDefinitionStatus,
};
use trireme_state::{Command, State};
use trireme_types::Arn;
use trireme_types::arn::Resource;

use crate::context::Context;
use crate::convert::tags;
use crate::error::{Error, Result};

/// The resource that an ARN names, if it is there and the caller's.
fn resource(cx: &Context, state: &State, arn: Option<&str>) -> Result<TaggedResource> {
    let arn = arn.unwrap_or_default();
    let invalid = || Error::invalid(format!("Invalid ARN: {arn}"));
    let parsed: Arn = arn.parse().map_err(|_| invalid())?;
    if parsed.scope != *cx.scope() {
        return Err(Error::resource_not_found());
    }
    let cluster = |name| ClusterKey { scope: cx.scope().clone(), name };
    let named = match parsed.resource {
        Resource::Cluster(name) => {
            let key = cluster(name);
            state.active_cluster(&key).ok_or_else(Error::cluster_not_found)?;
            TaggedResource::Cluster(key)
        }
        Resource::Service(of, name) => TaggedResource::Service(ServiceKey { cluster: cluster(of), name }),
        Resource::Task(of, id) => {
            let of = cluster(of);
            state.task(id).filter(|task| task.cluster == of).ok_or_else(Error::resource_not_found)?;
            TaggedResource::Task(id)
        }
        Resource::ContainerInstance(of, id) => {
            let of = cluster(of);
            let found = state.instance(id).filter(|instance| instance.registration.cluster == of);
            found.ok_or_else(Error::resource_not_found)?;
            TaggedResource::ContainerInstance(id)
        }
        Resource::TaskDefinition(family, revision) => {
            TaggedResource::TaskDefinition(TaskDefinitionKey { scope: cx.scope().clone(), family, revision })
        }
        Resource::TaskSet(of, name, id) => {
            TaggedResource::TaskSet(ServiceKey { cluster: cluster(of), name }, id)
        }
        Resource::CapacityProvider(name) => {
            TaggedResource::CapacityProvider(CapacityProviderKey { scope: cx.scope().clone(), name })
        }
        Resource::Container(..) | Resource::ServiceDeployment(..) | Resource::ServiceRevision(..) => {
            return Err(invalid());
        }
    };
    state.tags(&named).ok_or_else(Error::resource_not_found)?;
    Ok(named)
}

/// An inactive task definition keeps the tags that it has.
fn check_changeable(state: &State, resource: &TaggedResource) -> Result<()> {
    if let TaggedResource::TaskDefinition(key) = resource
        && state.task_definition(key).is_some_and(|one| one.status != TaskDefinitionStatus::Active)
    {
        return Err(Error::invalid(
            "The specified task definition is inactive. Specify an active task definition and try again.",
        ));
    }
    Ok(())
}

pub(crate) async fn add(cx: Context, request: TagResourceRequest) -> Result<TagResourceResponse> {
    let tags = tags::parse(request.tags.as_deref())?;
    let state = cx.read().await?;
    let resource = resource(&cx, &state, request.resource_arn.as_deref())?;
    check_changeable(&state, &resource)?;
    cx.write(Command::TagResource { resource, tags }).await?;
    Ok(TagResourceResponse::default())
}

pub(crate) async fn remove(cx: Context, request: UntagResourceRequest) -> Result<UntagResourceResponse> {
    let keys = request.tag_keys.unwrap_or_default();
    keys.iter().try_for_each(|key| tags::check_key(key))?;
    let state = cx.read().await?;
    let resource = resource(&cx, &state, request.resource_arn.as_deref())?;
    check_changeable(&state, &resource)?;
    cx.write(Command::UntagResource { resource, keys }).await?;
    Ok(UntagResourceResponse::default())
}

pub(crate) async fn list(
    cx: Context,
    request: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse> {
    let state = cx.read().await?;
    let resource = resource(&cx, &state, request.resource_arn.as_deref())?;
    let tags = state.tags(&resource).map(tags::list).unwrap_or_default();
    Ok(ListTagsForResourceResponse { tags: Some(tags) })
}
