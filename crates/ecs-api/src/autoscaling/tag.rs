//! Tags of scalable targets.

use trireme_state::State;
use trireme_state::command::AutoscalingCommand;
use trireme_state::object::{ServiceKey, Tags};

use super::name::{null, of_target_arn};
use super::shape::{Empty, OfResource, TagList};
use super::target::check_tags;
use super::{common, write};
use crate::companion::Context;
use crate::error::Result;

/// The service of a scalable target's ARN.
fn service(cx: &Context, state: &State, arn: Option<String>) -> Result<ServiceKey> {
    let arn = arn.ok_or_else(|| null("resourceARN"))?;
    let id = of_target_arn(cx.scope(), &arn);
    let found = state.scalable_targets_of(cx.scope()).find(|(_, target)| Some(target.id) == id);
    let missing =
        || common("ResourceNotFoundException", format!("The resource {} was not found.", arn.escape_debug()));
    Ok(found.ok_or_else(missing)?.0.clone())
}

pub(super) async fn add(cx: Context, request: OfResource) -> Result<Empty> {
    let service = service(&cx, &*cx.read().await?, request.resource_arn)?;
    let add = request.tags.ok_or_else(|| null("tags"))?;
    check_tags(&add)?;
    write(&cx, AutoscalingCommand::Tag { service, add, remove: Vec::new() }).await?;
    Ok(Empty {})
}

pub(super) async fn remove(cx: Context, request: OfResource) -> Result<Empty> {
    let service = service(&cx, &*cx.read().await?, request.resource_arn)?;
    let remove = request.tag_keys.ok_or_else(|| null("tagKeys"))?;
    write(&cx, AutoscalingCommand::Tag { service, add: Tags::new(), remove }).await?;
    Ok(Empty {})
}

pub(super) async fn list(cx: Context, request: OfResource) -> Result<TagList> {
    let state = cx.read().await?;
    let service = service(&cx, &state, request.resource_arn)?;
    Ok(TagList { tags: state.scalable_target(&service).map(|target| target.tags.clone()) })
}
