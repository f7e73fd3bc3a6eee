//! Custom attributes of container instances: put, delete, list.

use std::ops::Bound;

use trireme_ecs_model::shapes::{
    Attribute, DeleteAttributesRequest, DeleteAttributesResponse, ListAttributesRequest,
    ListAttributesResponse, PutAttributesRequest, PutAttributesResponse, TargetType,
};
use trireme_state::command::InstanceAttribute;
use trireme_state::limits::ATTRIBUTES_PER_INSTANCE;
use trireme_state::object::ClusterKey;
use trireme_state::{Command, Rejection, State};
use trireme_types::ContainerInstanceId;

use crate::context::Context;
use crate::convert::container_instance;
use crate::error::{Error, Result, of_rejection};
use crate::length;
use crate::page::Page;
use crate::resolve;

/// What the agent says of its machine: no user's to set.
const RESERVED: [&str; 2] = ["ecs.", "com.amazonaws.ecs."];
/// ECS API: Attribute.name, Attribute.value.
const LENGTH_MAX: usize = 128;

/// ECS API: Attribute.
fn check(attribute: &Attribute) -> Result<()> {
    let name = attribute.name.as_deref().unwrap_or_default();
    let value = attribute.value.as_deref().unwrap_or_default();
    let allowed_in_name = |c: char| c.is_ascii_alphanumeric() || "-_/\\.".contains(c);
    if name.is_empty() || name.chars().count() > LENGTH_MAX || !name.chars().all(allowed_in_name) {
        return Err(Error::invalid(format!(
            "Invalid attribute name {name}: it has 1 to {LENGTH_MAX} letters, numbers, and characters of - _ . / \\."
        )));
    }
    let allowed_in_value = |c: char| allowed_in_name(c) || "@: ".contains(c);
    let trimmed = value.trim() == value;
    if value.chars().count() > LENGTH_MAX || !value.chars().all(allowed_in_value) || !trimmed {
        return Err(Error::invalid(format!(
            "Invalid value of attribute {name}: it has at most {LENGTH_MAX} letters, numbers, and characters of \
             - _ . @ : / \\ and space, and neither begins nor ends with a space."
        )));
    }
    if RESERVED.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::invalid(format!(
            "The attribute name {name} is reserved: names that begin with {} are set by the agent.",
            RESERVED.join(" or ")
        )));
    }
    Ok(())
}

fn target(state: &State, cluster: &ClusterKey, attribute: &Attribute) -> Result<InstanceAttribute> {
    let target = attribute.target_id.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(Error::invalid("targetId must not be empty."));
    }
    if attribute.target_type.as_ref().is_some_and(|kind| *kind != TargetType::ContainerInstance) {
        return Err(Error::invalid("targetType must be container-instance."));
    }
    let instance =
        resolve::instance(state, cluster, target)?.ok_or_else(|| Error::target_not_found(target))?;
    Ok(InstanceAttribute {
        instance: instance.id,
        name: attribute.name.clone().unwrap_or_default(),
        value: attribute.value.clone(),
    })
}

/// The cluster and the attributes of a request, each with its instance.
async fn read(
    cx: &Context,
    cluster: Option<&str>,
    given: &[Attribute],
) -> Result<(std::sync::Arc<State>, ClusterKey, Vec<InstanceAttribute>)> {
    length::not_empty("Attributes", given)?;
    length::items("attributes", given, ATTRIBUTES_PER_INSTANCE)?;
    given.iter().try_for_each(check)?;
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, cluster)?;
    let attributes = given.iter().map(|one| target(&state, &cluster, one)).collect::<Result<Vec<_>>>()?;
    Ok((state, cluster, attributes))
}

fn shape(cluster: &ClusterKey, attribute: &InstanceAttribute) -> Attribute {
    Attribute {
        name: Some(attribute.name.clone()),
        value: attribute.value.clone().filter(|value| !value.is_empty()),
        target_type: Some(TargetType::ContainerInstance),
        target_id: Some(container_instance::arn(cluster, attribute.instance)),
    }
}

pub(crate) async fn put(cx: Context, request: PutAttributesRequest) -> Result<PutAttributesResponse> {
    let given = request.attributes.unwrap_or_default();
    let (_, cluster, attributes) = read(&cx, request.cluster.as_deref(), &given).await?;
    let put = attributes.iter().map(|one| shape(&cluster, one)).collect();
    cx.write(Command::PutAttributes { cluster, attributes }).await?;
    Ok(PutAttributesResponse { attributes: Some(put) })
}

/// Those that were there are answered.
pub(crate) async fn delete(
    cx: Context,
    request: DeleteAttributesRequest,
) -> Result<DeleteAttributesResponse> {
    let given = request.attributes.unwrap_or_default();
    let (state, cluster, attributes) = read(&cx, request.cluster.as_deref(), &given).await?;
    let is_there = |one: &&InstanceAttribute| {
        let known = state.custom_attributes(one.instance);
        let value = known.get(&one.name);
        value.is_some() && (one.value.is_none() || one.value.as_ref() == value)
    };
    let deleted = attributes.iter().filter(is_there).map(|one| shape(&cluster, one)).collect();
    cx.write(Command::DeleteAttributes { cluster, attributes }).await?;
    Ok(DeleteAttributesResponse { attributes: Some(deleted) })
}

pub(crate) async fn list(cx: Context, request: ListAttributesRequest) -> Result<ListAttributesResponse> {
    let page = Page::new(cx.operation, request.next_token.as_deref(), request.max_results, 100)?;
    let name = request.attribute_name.filter(|name| !name.is_empty());
    let value = request.attribute_value.filter(|value| !value.is_empty());
    if value.is_some() && name.is_none() {
        return Err(Error::invalid("attributeValue can only be specified together with attributeName."));
    }
    if request.target_type != Some(TargetType::ContainerInstance) {
        return Err(of_rejection(
            cx.operation,
            Rejection::Invalid { message: "targetType must be container-instance.".to_owned() },
        ));
    }
    let state = cx.read().await?;
    let cluster = cx.active_cluster(&state, request.cluster.as_deref())?;
    let ids = state.index().instances_of_cluster(&cluster);
    let wanted = |one: &InstanceAttribute| {
        name.as_ref().is_none_or(|name| one.name == *name)
            && value.as_ref().is_none_or(|value| one.value.as_ref() == Some(value))
    };
    // The page before ended within an instance.
    let after: Option<String> = page.after();
    let from = after.and_then(|after| after.split('/').next()?.parse::<ContainerInstanceId>().ok());
    let rest = ids.range((from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded));
    let found = rest.filter_map(|id| state.instance(*id)).flat_map(|instance| {
        let all = state.attributes(instance);
        let of_instance = all.into_iter().map(|(name, value)| InstanceAttribute {
            instance: instance.id,
            name,
            value: Some(value),
        });
        of_instance.filter(|one| wanted(one)).collect::<Vec<_>>()
    });
    let (attributes, next_token) = page.take(found, false, |one| format!("{}/{}", one.instance, one.name));
    let attributes = attributes.iter().map(|one| shape(&cluster, one)).collect();
    Ok(ListAttributesResponse { attributes: Some(attributes), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_have_their_characters() {
        let attribute = |name: &str, value: Option<&str>| Attribute {
            name: Some(name.to_owned()),
            value: value.map(str::to_owned),
            ..Default::default()
        };
        for (name, value) in [("stack", Some("prod")), ("a/b.c_d-e", None), ("x", Some("a@b: c"))] {
            assert_eq!(check(&attribute(name, value)), Ok(()), "{name}");
        }
        for (name, value) in
            [("", None), ("a b", None), ("x", Some(" a")), ("x", Some("a*")), ("ecs.os-type", Some("linux"))]
        {
            assert!(check(&attribute(name, value)).is_err(), "{name}");
        }
    }
}
