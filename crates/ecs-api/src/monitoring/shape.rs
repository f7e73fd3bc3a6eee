//! Requests and answers of the CloudWatch API, as far as they are read and given. What asks for something else is refused by whoever reads
//! it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trireme_types::Timestamp;

use super::{invalid, missing};
use crate::companion::{requests, responses};
use crate::error::Result;

requests! {
    "PascalCase";
    /// A set of statistics.
    GivenSet { sample_count: f64, sum: f64, minimum: f64, maximum: f64, }
    /// Some values of a metric.
    Datum {
        metric_name: String, dimensions: Vec<Dimension>, timestamp: Time, value: f64, statistic_values: GivenSet,
        values: Vec<f64>, counts: Vec<f64>, unit: String, storage_resolution: i64,
    }
    /// PutMetricData.
    PutData { namespace: String, metric_data: Vec<Datum>, entity_metric_data: Vec<Value>, strict_entity_validation: bool, }
    /// A metric.
    GivenMetric { namespace: String, metric_name: String, dimensions: Vec<Dimension>, }
    /// One statistic of one metric.
    MetricStat { metric: GivenMetric, period: i64, stat: String, unit: String, }
    /// A part of GetMetricData.
    DataQuery {
        id: String, metric_stat: MetricStat, expression: String, label: String, return_data: bool, period: i64,
        account_id: String,
    }
    /// GetMetricData.
    GetData {
        metric_data_queries: Vec<DataQuery>, start_time: Time, end_time: Time, next_token: String, scan_by: String,
        max_datapoints: i64, label_options: Value,
    }
    /// GetMetricStatistics.
    GetStatistics {
        namespace: String, metric_name: String, dimensions: Vec<Dimension>, start_time: Time, end_time: Time,
        period: i64, statistics: Vec<String>, extended_statistics: Vec<String>, unit: String,
    }
    /// What a listed metric is to have.
    DimensionFilter { name: String, value: String, }
    /// ListMetrics.
    ListMetrics {
        namespace: String, metric_name: String, dimensions: Vec<DimensionFilter>, next_token: String,
        recently_active: String, include_linked_accounts: bool, owning_account: String,
    }
    /// DescribeAlarms.
    DescribeAlarms {
        alarm_names: Vec<String>, alarm_name_prefix: String, alarm_types: Vec<String>, children_of_alarm_name: String,
        parents_of_alarm_name: String, state_value: String, action_prefix: String, max_records: i64, next_token: String,
    }
    /// DescribeAlarmsForMetric.
    ForMetric {
        metric_name: String, namespace: String, statistic: String, extended_statistic: String,
        dimensions: Vec<Dimension>, period: i64, unit: String,
    }
    /// DescribeAlarmHistory.
    DescribeHistory {
        alarm_name: String, alarm_types: Vec<String>, history_item_type: String, start_date: Time, end_date: Time,
        max_records: i64, next_token: String, scan_by: String,
    }
    /// DeleteAlarms, EnableAlarmActions, DisableAlarmActions.
    OfAlarms { alarm_names: Vec<String>, }
    /// SetAlarmState.
    SetState { alarm_name: String, state_value: String, state_reason: String, state_reason_data: String, }
}

/// PutMetricAlarm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PutAlarm {
    pub(super) alarm_name: Option<String>,
    pub(super) alarm_description: Option<String>,
    pub(super) actions_enabled: Option<bool>,
    #[serde(rename = "OKActions")]
    pub(super) ok_actions: Option<Vec<String>>,
    pub(super) alarm_actions: Option<Vec<String>>,
    pub(super) insufficient_data_actions: Option<Vec<String>>,
    pub(super) metric_name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) statistic: Option<String>,
    pub(super) extended_statistic: Option<String>,
    pub(super) dimensions: Option<Vec<Dimension>>,
    pub(super) period: Option<i64>,
    pub(super) unit: Option<String>,
    pub(super) evaluation_periods: Option<i64>,
    pub(super) datapoints_to_alarm: Option<i64>,
    pub(super) threshold: Option<f64>,
    pub(super) comparison_operator: Option<String>,
    pub(super) treat_missing_data: Option<String>,
    pub(super) evaluate_low_sample_count_percentile: Option<String>,
    pub(super) metrics: Option<Vec<Value>>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) threshold_metric_id: Option<String>,
    pub(super) evaluation_window: Option<Value>,
    pub(super) warm_up_configuration: Option<Value>,
    pub(super) evaluation_criteria: Option<Value>,
    pub(super) evaluation_interval: Option<i64>,
    pub(super) action_configuration: Option<Value>,
}

/// TagResource, UntagResource, ListTagsForResource.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct OfResource {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) tag_keys: Option<Vec<String>>,
}

/// A dimension of a metric.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Dimension {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) value: String,
}

/// A tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// A time: seconds since 1970, or text as RFC 3339 has it, which some clients send.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Time(pub(super) Timestamp);

impl TryFrom<Value> for Time {
    type Error = String;

    fn try_from(value: Value) -> std::result::Result<Self, String> {
        let wrong = || format!("{value} is no time: seconds since 1970 are expected");
        let seconds = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let seconds = seconds.filter(|seconds| (0.0..1e12).contains(seconds)).ok_or_else(wrong)?;
        Ok(Self(Timestamp::from_millis((seconds * 1_000.0).round() as u64)))
    }
}

responses! {
    "PascalCase";
    /// Nothing.
    Empty {}
    /// A metric.
    Metric { namespace: String, metric_name: String, dimensions: Vec<Dimension>, }
    /// ListMetrics.
    Metrics { metrics: Vec<Metric>, next_token: String, }
    /// What GetMetricData says of one of its parts.
    DataResult { id: String, label: String, timestamps: Vec<f64>, values: Vec<f64>, status_code: &'static str, }
    /// GetMetricData.
    Data { metric_data_results: Vec<DataResult>, messages: Vec<Value>, next_token: String, }
    /// A datapoint of GetMetricStatistics.
    StatisticsPoint {
        timestamp: f64, sample_count: f64, average: f64, sum: f64, minimum: f64, maximum: f64, unit: &'static str,
    }
    /// GetMetricStatistics.
    Statistics { label: String, datapoints: Vec<StatisticsPoint>, }
    /// DescribeAlarms.
    Alarms {
        metric_alarms: Vec<super::describe::Described>, composite_alarms: Vec<Value>, next_token: String,
    }
    /// DescribeAlarmsForMetric.
    MetricAlarms { metric_alarms: Vec<super::describe::Described>, }
    /// What happened to an alarm.
    HistoryItem {
        alarm_name: String, alarm_type: &'static str, timestamp: f64, history_item_type: &'static str,
        history_summary: String, history_data: String,
    }
    /// DescribeAlarmHistory.
    History { alarm_history_items: Vec<HistoryItem>, next_token: String, }
    /// ListTagsForResource.
    TagList { tags: Vec<Tag>, }
}

/// A parameter that must be there.
pub(super) fn required<T>(value: Option<T>, member: &str) -> Result<T> {
    value.ok_or_else(|| missing(member))
}

/// A text that must be there, of a length.
pub(super) fn text(value: Option<String>, member: &str, longest: usize) -> Result<String> {
    let value = required(value, member)?;
    check_length(&value, member, 1..=longest)?;
    Ok(value)
}

/// Checks how long a text is.
pub(super) fn check_length(
    value: &str,
    member: &str,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<()> {
    if allowed.contains(&value.chars().count()) {
        return Ok(());
    }
    Err(invalid(format!("{member} must have {} to {} characters.", allowed.start(), allowed.end())))
}

/// A number of seconds that periods may have.
pub(super) fn period(value: Option<i64>, member: &str) -> Result<u32> {
    let value = required(value, member)?;
    let fits =
        |period: &u32| matches!(period, 1 | 5 | 10 | 20 | 30) || (*period > 0 && period.is_multiple_of(60));
    u32::try_from(value).ok().filter(|period| *period <= 86_400 && fits(period)).ok_or_else(|| {
        invalid(format!(
            "{member} must be 1, 5, 10, 20, 30 or a multiple of 60, and at most 86400; it is {value}."
        ))
    })
}
