//! Requests and answers of EventBridge Scheduler. Dates are seconds since 1970.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::companion::{requests, responses};

/// FlexibleTimeWindow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Window {
    pub(super) mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) maximum_window_in_minutes: Option<i64>,
}

/// Tag.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

requests! {
    "PascalCase";
    /// CreateSchedule, UpdateSchedule.
    PutSchedule {
        name: String, group_name: String, schedule_expression: String, start_date: f64, end_date: f64,
        description: String, schedule_expression_timezone: String, state: String, kms_key_arn: String,
        target: Value, flexible_time_window: Window, action_after_completion: String,
    }
    /// GetSchedule, DeleteSchedule.
    OfSchedule { name: String, group_name: String, }
    /// ListSchedules, ListScheduleGroups.
    List { group_name: String, name_prefix: String, state: String, next_token: String, max_results: i64, }
    /// CreateScheduleGroup, GetScheduleGroup, DeleteScheduleGroup.
    OfGroup { name: String, tags: Vec<Tag>, }
    /// TagResource, UntagResource, ListTagsForResource.
    OfResource { resource_arn: String, tags: Vec<Tag>, tag_keys: Vec<String>, }
}

responses! {
    "PascalCase";
    /// Nothing.
    Empty {}
    /// CreateSchedule, UpdateSchedule.
    Put { schedule_arn: String, }
    /// GetSchedule; an item of ListSchedules has some of it.
    Schedule {
        arn: String, group_name: String, name: String, schedule_expression: String, start_date: f64, end_date: f64,
        description: String, schedule_expression_timezone: String, state: &'static str, creation_date: f64,
        last_modification_date: f64, kms_key_arn: String, target: Value, flexible_time_window: Window,
        action_after_completion: &'static str,
    }
    /// ListSchedules.
    Schedules { schedules: Vec<Schedule>, next_token: String, }
    /// CreateScheduleGroup.
    GroupMade { schedule_group_arn: String, }
    /// GetScheduleGroup.
    Group {
        arn: String, name: String, state: &'static str, creation_date: f64, last_modification_date: f64,
    }
    /// ListScheduleGroups.
    Groups { schedule_groups: Vec<Group>, next_token: String, }
    /// ListTagsForResource.
    TagList { tags: Vec<Tag>, }
}
