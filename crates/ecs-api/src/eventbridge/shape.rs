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

/// A text that no log shows.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn open(&self) -> &String {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// BasicAuthParameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Basic {
    pub(super) username: Option<String>,
    #[serde(skip_serializing)]
    pub(super) password: Option<Secret>,
}

/// ApiKeyAuthParameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ApiKey {
    pub(super) api_key_name: Option<String>,
    #[serde(skip_serializing)]
    pub(super) api_key_value: Option<Secret>,
}

/// ConnectionHeaderParameter, ConnectionQueryStringParameter, ConnectionBodyParameter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct GivenParameter {
    pub(super) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Secret>,
    pub(super) is_value_secret: Option<bool>,
}

/// ConnectionHttpParameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Parameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) header_parameters: Option<Vec<GivenParameter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query_string_parameters: Option<Vec<GivenParameter>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body_parameters: Option<Vec<GivenParameter>>,
}

/// AuthParameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct AuthParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) basic_auth_parameters: Option<Basic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_key_auth_parameters: Option<ApiKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invocation_http_parameters: Option<Parameters>,
}

requests! {
    "PascalCase";
    /// CreateConnection, UpdateConnection.
    PutConnection {
        name: String, description: String, authorization_type: String, auth_parameters: AuthParameters,
        invocation_connectivity_parameters: Value, kms_key_identifier: String,
    }
    /// DescribeConnection, DeleteConnection.
    NamedConnection { name: String, }
    /// ListConnections.
    ListConnections { name_prefix: String, connection_state: String, next_token: String, limit: i64, }
    /// CreateApiDestination, UpdateApiDestination.
    PutDestination {
        name: String, description: String, connection_arn: String, invocation_endpoint: String, http_method: String,
        invocation_rate_limit_per_second: i64,
    }
    /// DescribeApiDestination, DeleteApiDestination.
    NamedDestination { name: String, }
    /// ListApiDestinations.
    ListDestinations { name_prefix: String, connection_arn: String, next_token: String, limit: i64, }
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
    /// DescribeConnection; parts of it are the answers of the other operations, and an item of ListConnections.
    Connection {
        name: String, connection_arn: String, connection_state: &'static str, authorization_type: &'static str,
        description: String, auth_parameters: AuthParameters, creation_time: f64, last_modified_time: f64,
        last_authorized_time: f64,
    }
    /// ListConnections.
    Connections { connections: Vec<Connection>, next_token: String, }
    /// DescribeApiDestination; parts of it are the answers of the other operations, and an item of ListApiDestinations.
    Destination {
        name: String, api_destination_arn: String, api_destination_state: &'static str, connection_arn: String,
        description: String, invocation_endpoint: String, http_method: String, invocation_rate_limit_per_second: u32,
        creation_time: f64, last_modified_time: f64,
    }
    /// ListApiDestinations.
    Destinations { api_destinations: Vec<Destination>, next_token: String, }
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
