//! Requests and answers of EventBridge.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::companion::{requests, responses};

/// Tag.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

requests! {
    "PascalCase";
    /// PutRule.
    PutRule {
        name: String, schedule_expression: String, event_pattern: String, state: String, description: String,
        role_arn: String, tags: Vec<Tag>, event_bus_name: String,
    }
    /// DescribeRule, EnableRule, DisableRule, DeleteRule; of a bus, DescribeEventBus.
    OfRule { name: String, event_bus_name: String, }
    /// ListRules, ListEventBuses.
    List { name_prefix: String, event_bus_name: String, next_token: String, limit: i64, }
    /// PutTargets, RemoveTargets, ListTargetsByRule.
    OfTargets {
        rule: String, event_bus_name: String, targets: Vec<Value>, ids: Vec<String>, next_token: String, limit: i64,
    }
    /// TestEventPattern.
    TestPattern { event_pattern: String, event: String, }
    /// ListRuleNamesByTarget.
    ByTarget { target_arn: String, event_bus_name: String, next_token: String, limit: i64, }
}

/// TagResource, UntagResource, ListTagsForResource.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct OfResource {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) tag_keys: Option<Vec<String>>,
}

responses! {
    "PascalCase";
    /// Nothing.
    Empty {}
    /// PutRule.
    RuleMade { rule_arn: String, }
    /// DescribeRule; an item of ListRules.
    Rule {
        name: String, arn: String, event_pattern: String, schedule_expression: String, state: &'static str,
        description: String, role_arn: String, event_bus_name: &'static str, created_by: String,
    }
    /// ListRules.
    Rules { rules: Vec<Rule>, next_token: String, }
    /// PutTargets, RemoveTargets.
    Entries { failed_entry_count: u32, failed_entries: Vec<Value>, }
    /// ListTargetsByRule.
    Targets { targets: Vec<Value>, next_token: String, }
    /// ListRuleNamesByTarget.
    RuleNames { rule_names: Vec<String>, next_token: String, }
    /// TestEventPattern.
    Tested { result: bool, }
    /// ListTagsForResource.
    TagList { tags: Vec<Tag>, }
    /// DescribeEventBus; an item of ListEventBuses.
    Bus { name: &'static str, arn: String, }
    /// ListEventBuses.
    Buses { event_buses: Vec<Bus>, }
}
