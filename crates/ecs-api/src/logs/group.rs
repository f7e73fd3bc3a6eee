//! Log groups: objects of the state.

use trireme_rpc::logs::Delete;
use trireme_rpc::logs::question::Question as Asked;
use trireme_state::Command;
use trireme_state::command::LogGroupChange;
use trireme_state::object::{LogGroup, LogGroupKey, Tags};

use super::shape::{
    CreateGroup, DescribeGroups, Empty, Group, Groups, OfGroup, OfResource, TagList, UntagGroup,
    check_group_name, limit, required,
};
use super::{Context, ask, invalid, named_by, no_group};
use crate::error::Result;

/// logs API: PutRetentionPolicy.
const RETENTION_DAYS: [u32; 22] = [
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1_096, 1_827, 2_192, 2_557, 2_922, 3_288,
    3_653,
];
/// logs API: DescribeLogGroups.
const PAGE: u32 = 50;

fn key(cx: &Context, name: Option<String>) -> Result<LogGroupKey> {
    let name = required(name, "logGroupName")?;
    check_group_name(&name)?;
    Ok(cx.log_group_key(&name))
}

pub(super) fn arn(key: &LogGroupKey) -> String {
    format!("arn:aws:logs:{}:{}:log-group:{}", key.scope.region, key.scope.account, key.name)
}

pub(super) async fn create(cx: Context, request: CreateGroup) -> Result<Empty> {
    let key = key(&cx, request.log_group_name)?;
    if request.kms_key_id.is_some() {
        return Err(invalid("kmsKeyId is not supported yet."));
    }
    if request.log_group_class.as_deref().is_some_and(|class| class != "STANDARD") {
        return Err(invalid("Only logGroupClass STANDARD is supported."));
    }
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    cx.write(Command::CreateLogGroup { key, tags }).await?;
    Ok(Empty {})
}

pub(super) async fn delete(cx: Context, request: OfGroup) -> Result<Empty> {
    let key = key(&cx, request.log_group_name)?;
    let group = cx.read().await?.log_group(&key).cloned().ok_or_else(no_group)?;
    cx.write(Command::DeleteLogGroup { key }).await?;
    // Whoever cannot be reached keeps what nobody sees any more until it needs the room.
    let state = cx.read().await?;
    ask::all(&cx, &state, &group, &Asked::Delete(Delete { stream: String::new() })).await;
    Ok(Empty {})
}

pub(super) async fn describe(cx: Context, request: DescribeGroups) -> Result<Groups> {
    let page = limit(request.limit, PAGE)? as usize;
    if request.log_group_name_prefix.is_some() && request.log_group_name_pattern.is_some() {
        return Err(invalid("Only one of logGroupNamePrefix and logGroupNamePattern may be given."));
    }
    let prefix = request.log_group_name_prefix.unwrap_or_default();
    let pattern = request.log_group_name_pattern.unwrap_or_default().to_lowercase();
    let class = request.log_group_class.is_none_or(|class| class == "STANDARD");
    let state = cx.read().await?;
    let scope = &cx.call.caller.scope;
    let after = request.next_token.unwrap_or_default();
    let mut found = state.log_groups_of(scope).filter(|group| {
        class
            && group.key.name.starts_with(&prefix)
            && group.key.name.to_lowercase().contains(&pattern)
            && group.key.name > after
    });
    let groups: Vec<Group> = found.by_ref().take(page).map(|group| shown(group)).collect();
    let more = found.next().is_some();
    let next_token = groups.last().filter(|_| more).and_then(|group| group.log_group_name.clone());
    Ok(Groups { log_groups: Some(groups), next_token })
}

fn shown(group: &LogGroup) -> Group {
    let arn = arn(&group.key);
    Group {
        log_group_name: Some(group.key.name.clone()),
        creation_time: Some(group.created_at.millis()),
        retention_in_days: group.retention_days,
        metric_filter_count: Some(0),
        arn: Some(format!("{arn}:*")),
        log_group_arn: Some(arn),
        log_group_class: Some("STANDARD"),
    }
}

pub(super) async fn put_retention(cx: Context, request: OfGroup) -> Result<Empty> {
    let days = required(request.retention_in_days, "retentionInDays")?;
    let key = key(&cx, request.log_group_name)?;
    let days = u32::try_from(days).ok().filter(|days| RETENTION_DAYS.contains(days));
    let Some(days) = days else {
        let allowed: Vec<String> = RETENTION_DAYS.iter().map(u32::to_string).collect();
        return Err(invalid(format!(
            "1 validation error detected: Value at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum \
             value set: [{}]",
            allowed.join(", ")
        )));
    };
    cx.write(Command::ChangeLogGroup { key, change: LogGroupChange::Retention(Some(days)) }).await?;
    Ok(Empty {})
}

pub(super) async fn delete_retention(cx: Context, request: OfGroup) -> Result<Empty> {
    let key = key(&cx, request.log_group_name)?;
    cx.write(Command::ChangeLogGroup { key, change: LogGroupChange::Retention(None) }).await?;
    Ok(Empty {})
}

/// logs API: TagKey, TagValue.
fn check_tags(tags: &Tags) -> Result<()> {
    let wrong = |(key, value): (&String, &String)| {
        key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 || key.starts_with("aws:")
    };
    if tags.iter().any(wrong) {
        return Err(invalid(
            "A tag's key has 1 to 128 characters and does not begin with aws:, its value has at most 256.",
        ));
    }
    Ok(())
}

async fn change(cx: &Context, key: LogGroupKey, add: Tags, remove: Vec<String>) -> Result<Empty> {
    check_tags(&add)?;
    cx.write(Command::ChangeLogGroup { key, change: LogGroupChange::Tags { add, remove } }).await?;
    Ok(Empty {})
}

pub(super) async fn tag(cx: Context, request: OfGroup) -> Result<Empty> {
    let key = key(&cx, request.log_group_name)?;
    change(&cx, key, required(request.tags, "tags")?, Vec::new()).await
}

pub(super) async fn untag(cx: Context, request: UntagGroup) -> Result<Empty> {
    let key = key(&cx, request.log_group_name)?;
    change(&cx, key, Tags::new(), required(request.tags, "tags")?).await
}

pub(super) async fn list_tags(cx: Context, request: OfGroup) -> Result<TagList> {
    let key = key(&cx, request.log_group_name)?;
    let group = cx.read().await?.log_group(&key).cloned().ok_or_else(no_group)?;
    Ok(TagList { tags: Some(group.tags.clone()) })
}

fn of_resource(cx: &Context, arn: Option<String>) -> Result<LogGroupKey> {
    let arn = required(arn, "resourceArn")?;
    let key = key(cx, Some(named_by(&arn).to_owned()))?;
    if self::arn(&key) != arn.strip_suffix(":*").unwrap_or(&arn) {
        return Err(invalid(format!("The ARN {arn} names no log group of this account and region.")));
    }
    Ok(key)
}

pub(super) async fn tag_resource(cx: Context, request: OfResource) -> Result<Empty> {
    let key = of_resource(&cx, request.resource_arn)?;
    change(&cx, key, required(request.tags, "tags")?, Vec::new()).await
}

pub(super) async fn untag_resource(cx: Context, request: OfResource) -> Result<Empty> {
    let key = of_resource(&cx, request.resource_arn)?;
    change(&cx, key, Tags::new(), required(request.tag_keys, "tagKeys")?).await
}

pub(super) async fn list_tags_for_resource(cx: Context, request: OfResource) -> Result<TagList> {
    let key = of_resource(&cx, request.resource_arn)?;
    let group = cx.read().await?.log_group(&key).cloned().ok_or_else(no_group)?;
    Ok(TagList { tags: Some(group.tags.clone()) })
}
