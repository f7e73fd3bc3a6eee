//! Tags of alarms.

use std::sync::Arc;

use trireme_state::Command;
use trireme_state::command::AlarmCommand;
use trireme_state::object::{Alarm, Tags};

use super::invalid;
use super::shape::{Empty, OfResource, Tag, TagList, required};
use crate::companion::Context;
use crate::error::{Code, Error, Result};

/// Tags as they are given, checked (CloudWatch API: TagKey, TagValue).
pub(super) fn tags(given: Vec<Tag>) -> Result<Tags> {
    let wrong = |tag: &Tag| {
        let (key, value) = (tag.key.chars().count(), tag.value.chars().count());
        !(1..=128).contains(&key) || value > 256 || tag.key.starts_with("aws:")
    };
    if given.iter().any(wrong) {
        return Err(invalid(
            "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.",
        ));
    }
    Ok(given.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// The alarm of an ARN.
async fn named(cx: &Context, arn: Option<String>) -> Result<Arc<Alarm>> {
    let arn = required(arn, "ResourceARN")?;
    let scope = cx.scope();
    let ours = format!("arn:aws:cloudwatch:{}:{}:alarm:", scope.region, scope.account);
    let name = arn.strip_prefix(&ours).ok_or_else(|| {
        invalid(format!("The ARN {arn} names no alarm of this account and region: {ours}NAME is expected."))
    })?;
    let state = cx.read().await?;
    state
        .alarm(&cx.alarm_key(name))
        .cloned()
        .ok_or_else(|| Error::new(Code::Common("ResourceNotFoundException", 404), "There is no such alarm."))
}

async fn change(cx: &Context, alarm: &Alarm, add: Tags, remove: Vec<String>) -> Result<Empty> {
    let key = alarm.key.clone();
    cx.write(Command::Alarm(Box::new(AlarmCommand::Tag { key, add, remove }))).await?;
    Ok(Empty {})
}

pub(super) async fn add(cx: Context, request: OfResource) -> Result<Empty> {
    let add = tags(required(request.tags, "Tags")?)?;
    let alarm = named(&cx, request.resource_arn).await?;
    change(&cx, &alarm, add, Vec::new()).await
}

pub(super) async fn remove(cx: Context, request: OfResource) -> Result<Empty> {
    let remove = required(request.tag_keys, "TagKeys")?;
    let alarm = named(&cx, request.resource_arn).await?;
    change(&cx, &alarm, Tags::new(), remove).await
}

pub(super) async fn list(cx: Context, request: OfResource) -> Result<TagList> {
    let alarm = named(&cx, request.resource_arn).await?;
    let tags = alarm.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    Ok(TagList { tags: Some(tags.collect()) })
}
