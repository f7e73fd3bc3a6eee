//! Requests and answers of the logs API, as far as they are read and given, and what names may be. A member that asks for something else is
//! refused by whoever reads it.

use std::collections::BTreeMap;

use super::invalid;
use crate::companion::{requests, responses};
use crate::error::Result;

type Tags = BTreeMap<String, String>;

requests! {
    "camelCase";
    /// CreateLogGroup.
    CreateGroup { log_group_name: String, kms_key_id: String, tags: Tags, log_group_class: String, }
    /// DeleteLogGroup, PutRetentionPolicy, DeleteRetentionPolicy, TagLogGroup, ListTagsLogGroup.
    OfGroup { log_group_name: String, retention_in_days: i64, tags: Tags, }
    /// UntagLogGroup, whose tags are keys.
    UntagGroup { log_group_name: String, tags: Vec<String>, }
    /// TagResource, UntagResource, ListTagsForResource.
    OfResource { resource_arn: String, tags: Tags, tag_keys: Vec<String>, }
    /// DescribeLogGroups.
    DescribeGroups {
        log_group_name_prefix: String, log_group_name_pattern: String, next_token: String, limit: i64,
        log_group_class: String, include_linked_accounts: bool, account_identifiers: Vec<String>,
    }
    /// CreateLogStream, DeleteLogStream.
    OfStream { log_group_name: String, log_stream_name: String, }
    /// DescribeLogStreams.
    DescribeStreams {
        log_group_name: String, log_group_identifier: String, log_stream_name_prefix: String, order_by: String,
        descending: bool, next_token: String, limit: i64,
    }
    /// An event of a client.
    InputEvent { timestamp: i64, message: String, }
    /// PutLogEvents.
    PutEvents { log_group_name: String, log_stream_name: String, log_events: Vec<InputEvent>, }
    /// GetLogEvents.
    GetEvents {
        log_group_name: String, log_group_identifier: String, log_stream_name: String, start_time: i64, end_time: i64,
        next_token: String, limit: i64, start_from_head: bool,
    }
    /// FilterLogEvents.
    FilterEvents {
        log_group_name: String, log_group_identifier: String, log_stream_names: Vec<String>,
        log_stream_name_prefix: String, start_time: i64, end_time: i64, filter_pattern: String, next_token: String,
        limit: i64,
    }
}

responses! {
    "camelCase";
    /// Nothing.
    Empty {}
    /// A log group.
    Group {
        log_group_name: String, creation_time: u64, retention_in_days: u32, metric_filter_count: u32, arn: String,
        log_group_arn: String, log_group_class: &'static str,
    }
    /// DescribeLogGroups.
    Groups { log_groups: Vec<Group>, next_token: String, }
    /// ListTagsLogGroup, ListTagsForResource.
    TagList { tags: Tags, }
    /// A log stream.
    Stream {
        log_stream_name: String, creation_time: u64, first_event_timestamp: u64, last_event_timestamp: u64,
        last_ingestion_time: u64, upload_sequence_token: String, arn: String, stored_bytes: u64,
    }
    /// DescribeLogStreams.
    StreamPage { log_streams: Vec<Stream>, next_token: String, }
    /// Events of PutLogEvents that are too new, too old or not kept any more.
    Rejected {
        too_new_log_event_start_index: usize, too_old_log_event_end_index: usize, expired_log_event_end_index: usize,
    }
    /// PutLogEvents.
    Put { next_sequence_token: String, rejected_log_events_info: Rejected, }
    /// An event.
    Event {
        log_stream_name: String, timestamp: u64, message: String, ingestion_time: u64, event_id: String,
    }
    /// GetLogEvents.
    EventPage { events: Vec<Event>, next_forward_token: String, next_backward_token: String, }
    /// A stream that was looked at.
    Searched { log_stream_name: String, searched_completely: bool, }
    /// FilterLogEvents.
    Filtered { events: Vec<Event>, searched_log_streams: Vec<Searched>, next_token: String, }
}

/// AWS's words for a parameter that is not as it must be.
fn violation(value: &str, member: &str, constraint: &str) -> crate::error::Error {
    invalid(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}"
    ))
}

/// logs API: LogGroupName.
pub(crate) fn check_group_name(name: &str) -> Result<()> {
    const MEMBER: &str = "logGroupName";
    check_length(name, MEMBER)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '#');
    if name.chars().all(allowed) {
        return Ok(());
    }
    Err(violation(name, MEMBER, r"satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+"))
}

/// logs API: LogStreamName.
pub(super) fn check_stream_name(name: &str) -> Result<()> {
    const MEMBER: &str = "logStreamName";
    check_length(name, MEMBER)?;
    if !name.contains([':', '*']) {
        return Ok(());
    }
    Err(violation(name, MEMBER, "satisfy regular expression pattern: [^:*]*"))
}

fn check_length(name: &str, member: &str) -> Result<()> {
    match name.chars().count() {
        0 => Err(violation(name, member, "have length greater than or equal to 1")),
        1..=512 => Ok(()),
        _ => Err(violation(name, member, "have length less than or equal to 512")),
    }
}

/// A parameter that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T> {
    value.ok_or_else(|| {
        invalid(format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        ))
    })
}

/// How many are asked for.
pub(super) fn limit(asked: Option<i64>, most: u32) -> Result<u32> {
    let Some(asked) = asked else { return Ok(most) };
    match u32::try_from(asked) {
        Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
        Ok(limit) if limit > most => {
            Err(violation(&asked.to_string(), "limit", &format!("have value less than or equal to {most}")))
        }
        _ => Err(violation(&asked.to_string(), "limit", "have value greater than or equal to 1")),
    }
}

/// A time in milliseconds.
pub(super) fn time(asked: Option<i64>, member: &str) -> Result<Option<u64>> {
    let time = |value: i64| {
        u64::try_from(value)
            .map_err(|_| violation(&value.to_string(), member, "have value greater than or equal to 0"))
    };
    asked.map(time).transpose()
}
