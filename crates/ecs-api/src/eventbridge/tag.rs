//! Tags of rules. Two of them say how a rule fires: see `FiringPolicy` in the state.

use trireme_state::Command;
use trireme_state::command::ScheduleCommand;
use trireme_state::object::{RuleKey, Tags};

use super::shape::{Empty, OfResource, Tag, TagList};
use super::{Context, arn, check_name, common, invalid, no_rule};
use crate::error::Result;

pub(super) fn parse(given: Option<Vec<Tag>>) -> Result<Tags> {
    let mut all = Tags::new();
    for Tag { key, value } in given.unwrap_or_default() {
        let long = key.chars().count() > 128 || value.chars().count() > 256;
        if key.is_empty() || long || key.starts_with("aws:") {
            let message = "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.";
            return Err(invalid(message));
        }
        all.insert(key, value);
    }
    Ok(all)
}

fn rule(cx: &Context, given: Option<&String>) -> Result<RuleKey> {
    let given = given.map(String::as_str).unwrap_or_default();
    let name = given.rsplit_once(":rule/").map(|(_, name)| name).unwrap_or_default();
    // A rule's ARN may name its bus.
    let name = name.strip_prefix("default/").unwrap_or(name);
    check_name("resourceARN", name)?;
    let key = RuleKey { scope: cx.scope().clone(), name: name.to_owned() };
    if arn(&key) == given.replace(":rule/default/", ":rule/") {
        return Ok(key);
    }
    let given: String = given.chars().take(256).collect();
    Err(common("ResourceNotFoundException", format!("{given} does not exist.")))
}

async fn change(cx: &Context, key: RuleKey, add: Tags, remove: Vec<String>) -> Result<Empty> {
    cx.write(Command::Schedule(Box::new(ScheduleCommand::TagRule { key, add, remove }))).await?;
    Ok(Empty {})
}

pub(super) async fn add(cx: Context, request: OfResource) -> Result<Empty> {
    let key = rule(&cx, request.resource_arn.as_ref())?;
    let add = parse(request.tags)?;
    change(&cx, key, add, Vec::new()).await
}

pub(super) async fn remove(cx: Context, request: OfResource) -> Result<Empty> {
    let key = rule(&cx, request.resource_arn.as_ref())?;
    change(&cx, key, Tags::new(), request.tag_keys.unwrap_or_default()).await
}

pub(super) async fn list(cx: Context, request: OfResource) -> Result<TagList> {
    let key = rule(&cx, request.resource_arn.as_ref())?;
    let state = cx.read().await?;
    let rule = state.rule(&key).ok_or_else(|| no_rule(&key.name))?;
    let tags = rule.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() });
    Ok(TagList { tags: Some(tags.collect()) })
}
