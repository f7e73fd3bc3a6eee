//! Schedule groups. The default one is always there.

use trireme_state::Command;
use trireme_state::command::ScheduleCommand;
use trireme_state::object::{DEFAULT_GROUP, ScheduleGroup, ScheduleGroupKey, Tags};
use trireme_types::Timestamp;

use super::shape::{Empty, Group, GroupMade, Groups, List, OfGroup, OfResource, Tag, TagList};
use super::{Context, check_name, invalid, not_found, page_size};
use crate::error::Result;

pub(super) fn key(cx: &Context, name: Option<&str>) -> Result<ScheduleGroupKey> {
    let name = name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_GROUP);
    check_name("groupName", name)?;
    Ok(ScheduleGroupKey { scope: cx.scope().clone(), name: name.to_owned() })
}

fn named(cx: &Context, name: Option<&String>) -> Result<ScheduleGroupKey> {
    let name = name.map(String::as_str).unwrap_or_default();
    check_name("name", name)?;
    key(cx, Some(name))
}

fn arn(key: &ScheduleGroupKey) -> String {
    format!("arn:aws:scheduler:{}:{}:schedule-group/{}", key.scope.region, key.scope.account, key.name)
}

fn ask(command: ScheduleCommand) -> Command {
    Command::Schedule(Box::new(command))
}

fn tags(given: Option<Vec<Tag>>) -> Result<Tags> {
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

pub(super) async fn create(cx: Context, request: OfGroup) -> Result<GroupMade> {
    let key = named(&cx, request.name.as_ref())?;
    let tags = tags(request.tags)?;
    let arn = arn(&key);
    cx.write(ask(ScheduleCommand::CreateGroup { key, tags })).await?;
    Ok(GroupMade { schedule_group_arn: Some(arn) })
}

pub(super) async fn delete(cx: Context, request: OfGroup) -> Result<Empty> {
    let key = named(&cx, request.name.as_ref())?;
    if key.is_default() {
        return Err(invalid("The default schedule group cannot be deleted."));
    }
    cx.write(ask(ScheduleCommand::DeleteGroup { key })).await?;
    Ok(Empty {})
}

fn shown(key: &ScheduleGroupKey, group: Option<&ScheduleGroup>) -> Group {
    let at = |of: fn(&ScheduleGroup) -> Timestamp| group.map_or(Timestamp::EPOCH, of).epoch_seconds();
    Group {
        arn: Some(arn(key)),
        name: Some(key.name.clone()),
        state: Some("ACTIVE"),
        creation_date: Some(at(|group| group.created_at)),
        last_modification_date: Some(at(|group| group.changed_at)),
    }
}

pub(super) async fn get(cx: Context, request: OfGroup) -> Result<Group> {
    let key = named(&cx, request.name.as_ref())?;
    let state = cx.read().await?;
    let group = state.schedule_group(&key);
    if group.is_none() && !key.is_default() {
        return Err(not_found("Schedule group", &key.name));
    }
    Ok(shown(&key, group.map(AsRef::as_ref)))
}

pub(super) async fn list(cx: Context, request: List) -> Result<Groups> {
    let size = page_size(request.max_results)?;
    let state = cx.read().await?;
    let default = ScheduleGroupKey { scope: cx.scope().clone(), name: DEFAULT_GROUP.to_owned() };
    let mut all: Vec<Group> =
        state.schedule_groups_of(cx.scope()).map(|group| shown(&group.key, Some(group))).collect();
    if state.schedule_group(&default).is_none() {
        all.push(shown(&default, None));
        all.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let prefix = request.name_prefix.unwrap_or_default();
    let after = request.next_token.unwrap_or_default();
    let name = |group: &Group| group.name.clone().unwrap_or_default();
    all.retain(|group| name(group).starts_with(&prefix) && name(group) > after);
    let more = all.len() > size;
    all.truncate(size);
    let next_token = all.last().filter(|_| more).map(name);
    Ok(Groups { schedule_groups: Some(all), next_token })
}

fn of_resource(cx: &Context, given: Option<&String>) -> Result<ScheduleGroupKey> {
    let given = given.map(String::as_str).unwrap_or_default();
    let name = given.rsplit_once(":schedule-group/").map(|(_, name)| name).unwrap_or_default();
    let key = check_name("resourceArn", name).and_then(|()| key(cx, Some(name)))?;
    if arn(&key) != given {
        return Err(not_found("Resource", given));
    }
    Ok(key)
}

pub(super) async fn tag(cx: Context, request: OfResource) -> Result<Empty> {
    let key = of_resource(&cx, request.resource_arn.as_ref())?;
    let add = tags(request.tags)?;
    cx.write(ask(ScheduleCommand::TagGroup { key, add, remove: Vec::new() })).await?;
    Ok(Empty {})
}

pub(super) async fn untag(cx: Context, request: OfResource) -> Result<Empty> {
    let key = of_resource(&cx, request.resource_arn.as_ref())?;
    let remove = request.tag_keys.unwrap_or_default();
    cx.write(ask(ScheduleCommand::TagGroup { key, add: Tags::new(), remove })).await?;
    Ok(Empty {})
}

pub(super) async fn list_tags(cx: Context, request: OfResource) -> Result<TagList> {
    let key = of_resource(&cx, request.resource_arn.as_ref())?;
    let state = cx.read().await?;
    let group = state.schedule_group(&key);
    if group.is_none() && !key.is_default() {
        return Err(not_found("Schedule group", &key.name));
    }
    let tags = group.map(|group| group.tags.clone()).unwrap_or_default();
    Ok(TagList { tags: Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect()) })
}
