//! How alarms are and stand.

use std::sync::Arc;

use serde::Serialize;
use trireme_state::object::{Alarm, AlarmState};

use super::shape::{Alarms, DescribeAlarms, Dimension, ForMetric, MetricAlarms};
use super::{alarm_state, invalid, metric, page, unsupported};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: DescribeAlarms.
const PAGE: usize = 50;
const LIST: &str = "DescribeAlarms";

/// CloudWatch API: MetricAlarm.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    alarm_name: String,
    alarm_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm_description: Option<String>,
    alarm_configuration_updated_timestamp: f64,
    actions_enabled: bool,
    #[serde(rename = "OKActions")]
    ok_actions: Vec<String>,
    alarm_actions: Vec<String>,
    insufficient_data_actions: Vec<String>,
    state_value: &'static str,
    state_reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason_data: Option<String>,
    state_updated_timestamp: f64,
    state_transitioned_timestamp: f64,
    metric_name: String,
    namespace: String,
    statistic: &'static str,
    dimensions: Vec<Dimension>,
    period: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    evaluation_periods: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    datapoints_to_alarm: Option<u32>,
    threshold: f64,
    comparison_operator: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    treat_missing_data: Option<&'static str>,
}

fn described(alarm: &Alarm) -> Described {
    let (spec, status) = (&alarm.spec, &alarm.status);
    let query = &spec.query;
    Described {
        alarm_name: alarm.key.name.clone(),
        alarm_arn: alarm.arn(),
        alarm_description: spec.description.clone(),
        alarm_configuration_updated_timestamp: alarm.configured_at.epoch_seconds(),
        actions_enabled: spec.actions_enabled,
        ok_actions: spec.ok_actions.clone(),
        alarm_actions: spec.alarm_actions.clone(),
        insufficient_data_actions: spec.insufficient_data_actions.clone(),
        state_value: status.value.name(),
        state_reason: status.reason.clone(),
        state_reason_data: status.reason_data.clone(),
        state_updated_timestamp: status.updated_at.epoch_seconds(),
        state_transitioned_timestamp: status.transitioned_at.epoch_seconds(),
        metric_name: query.metric.name.clone(),
        namespace: query.metric.namespace.clone(),
        statistic: metric::name(query.statistic),
        dimensions: metric::shown(&query.metric.dimensions),
        period: query.period_seconds,
        unit: query.unit.clone(),
        evaluation_periods: spec.evaluation_periods,
        datapoints_to_alarm: spec.datapoints_to_alarm,
        threshold: spec.threshold.get(),
        comparison_operator: spec.comparison.name(),
        treat_missing_data: spec.missing_data.map(trireme_state::object::MissingData::name),
    }
}

/// Every alarm is of a metric: there are no others.
pub(super) async fn describe(cx: Context, request: DescribeAlarms) -> Result<Alarms> {
    if request.children_of_alarm_name.is_some() || request.parents_of_alarm_name.is_some() {
        return Err(unsupported("ChildrenOfAlarmName and ParentsOfAlarmName"));
    }
    let names = request.alarm_names.unwrap_or_default();
    if !names.is_empty() && request.alarm_name_prefix.is_some() {
        return Err(invalid("Only one of AlarmNames and AlarmNamePrefix may be given."));
    }
    let state = request.state_value.as_deref().map(|value| {
        let state = AlarmState::named(value);
        state.ok_or_else(|| {
            invalid(format!("StateValue must be OK, ALARM or INSUFFICIENT_DATA, not {value}."))
        })
    });
    let state = state.transpose()?;
    let types = request.alarm_types.unwrap_or_default();
    if let Some(other) =
        types.iter().find(|one| !matches!(one.as_str(), "MetricAlarm" | "CompositeAlarm" | "LogAlarm"))
    {
        return Err(invalid(format!(
            "AlarmTypes must be MetricAlarm, CompositeAlarm or LogAlarm, not {other}."
        )));
    }
    let of_metrics = types.is_empty() || types.iter().any(|one| one == "MetricAlarm");
    let size = page::size(request.max_records, PAGE)?;
    let after = page::after(LIST, request.next_token.as_deref())?;
    let keys = alarm_state::keys(&cx, &names)?;
    let view = cx.read().await?;
    let begins =
        |text: &str, prefix: &Option<String>| prefix.as_ref().is_none_or(|prefix| text.starts_with(prefix));
    let acts = |alarm: &Alarm| {
        let spec = &alarm.spec;
        let all = spec.alarm_actions.iter().chain(&spec.ok_actions).chain(&spec.insufficient_data_actions);
        request.action_prefix.is_none() || all.into_iter().any(|arn| begins(arn, &request.action_prefix))
    };
    let wanted = |alarm: &&Arc<Alarm>| {
        of_metrics
            && (keys.is_empty() || keys.contains(&alarm.key))
            && begins(&alarm.key.name, &request.alarm_name_prefix)
            && state.is_none_or(|state| state == alarm.status.value)
            && acts(alarm)
            && after.as_ref().is_none_or(|after| alarm.key.name > *after)
    };
    let mut found = view.alarms_of(cx.scope()).filter(wanted);
    let alarms: Vec<Described> = found.by_ref().take(size).map(|alarm| described(alarm)).collect();
    let more = found.next().is_some();
    let next_token = alarms.last().filter(|_| more).map(|last| page::token(LIST, &last.alarm_name));
    Ok(Alarms { metric_alarms: Some(alarms), composite_alarms: Some(Vec::new()), next_token })
}

pub(super) async fn for_metric(cx: Context, request: ForMetric) -> Result<MetricAlarms> {
    if request.extended_statistic.is_some() {
        return Err(unsupported("ExtendedStatistic"));
    }
    let metric = metric::key(&cx, request.namespace, request.metric_name, request.dimensions.as_deref())?;
    let statistic = request.statistic.as_deref().map(metric::statistic).transpose()?;
    let view = cx.read().await?;
    let wanted = |alarm: &&Arc<Alarm>| {
        let query = &alarm.spec.query;
        query.metric == metric
            && statistic.is_none_or(|statistic| statistic == query.statistic)
            && request.period.is_none_or(|period| period == i64::from(query.period_seconds))
            && request.unit.as_ref().is_none_or(|unit| query.unit.as_ref() == Some(unit))
    };
    let alarms = view.alarms_of(cx.scope()).filter(wanted).map(|alarm| described(alarm));
    Ok(MetricAlarms { metric_alarms: Some(alarms.collect()) })
}
