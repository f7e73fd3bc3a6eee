//! What a user asks of an alarm.

use std::time::Duration;

use trireme_monitoring::kept_for;
use trireme_state::Command;
use trireme_state::command::AlarmCommand;
use trireme_state::object::{AlarmSpec, Comparison, MetricQuery, MissingData, Tags};
use trireme_types::Real;

use super::shape::{Empty, PutAlarm, check_length, period, required, text};
use super::{combination, invalid, metric, tag, unsupported};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: AlarmActions and their kin.
const ACTIONS: usize = 5;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(super) async fn put(cx: Context, request: PutAlarm) -> Result<Empty> {
    refuse(&request)?;
    let name = text(request.alarm_name.clone(), "AlarmName", 255)?;
    let tags = request.tags.clone().map_or_else(|| Ok(Tags::new()), tag::tags)?;
    let spec = Box::new(spec(&cx, request)?);
    let key = cx.alarm_key(&name);
    cx.write(Command::Alarm(Box::new(AlarmCommand::Put { key, spec, tags }))).await?;
    Ok(Empty {})
}

/// What would have it watch something else.
fn refuse(request: &PutAlarm) -> Result<()> {
    for (member, given) in [
        ("ExtendedStatistic", request.extended_statistic.is_some()),
        ("EvaluateLowSampleCountPercentile", request.evaluate_low_sample_count_percentile.is_some()),
        ("Metrics", request.metrics.as_ref().is_some_and(|metrics| !metrics.is_empty())),
        ("ThresholdMetricId", request.threshold_metric_id.is_some()),
        ("EvaluationWindow", request.evaluation_window.is_some()),
        ("WarmUpConfiguration", request.warm_up_configuration.is_some()),
        ("EvaluationCriteria", request.evaluation_criteria.is_some()),
        ("EvaluationInterval", request.evaluation_interval.is_some()),
        ("ActionConfiguration", request.action_configuration.is_some()),
    ] {
        if given {
            return Err(unsupported(member));
        }
    }
    Ok(())
}

fn spec(cx: &Context, request: PutAlarm) -> Result<AlarmSpec> {
    let statistic = metric::statistic(&required(request.statistic, "Statistic")?)?;
    let metric = metric::key(cx, request.namespace, request.metric_name, request.dimensions.as_deref())?;
    let period_seconds = period(request.period, "Period")?;
    if period_seconds < 10 {
        return Err(invalid(format!(
            "Period of an alarm must be 10, 20, 30 or a multiple of 60, not {period_seconds}."
        )));
    }
    if let Some(unit) = &request.unit {
        metric::unit(unit)?;
    }
    let evaluation_periods =
        positive(required(request.evaluation_periods, "EvaluationPeriods")?, "EvaluationPeriods")?;
    let span = Duration::from_secs(u64::from(period_seconds) * u64::from(evaluation_periods));
    let longest = if period_seconds < 3_600 { DAY } else { DAY * 7 }.min(kept_for(period_seconds));
    if span > longest {
        return Err(combination(format!(
            "EvaluationPeriods times Period must be at most {} seconds for this Period, for so long samples are kept; it is {}.",
            longest.as_secs(),
            span.as_secs()
        )));
    }
    let datapoints_to_alarm =
        request.datapoints_to_alarm.map(|count| positive(count, "DatapointsToAlarm")).transpose()?;
    if datapoints_to_alarm.is_some_and(|count| count > evaluation_periods) {
        return Err(combination("DatapointsToAlarm must not be more than EvaluationPeriods."));
    }
    if let Some(description) = &request.alarm_description {
        check_length(description, "AlarmDescription", 0..=1_024)?;
    }
    Ok(AlarmSpec {
        query: MetricQuery { metric, statistic, period_seconds, unit: request.unit },
        evaluation_periods,
        datapoints_to_alarm,
        threshold: threshold(request.threshold)?,
        comparison: comparison(&required(request.comparison_operator, "ComparisonOperator")?)?,
        missing_data: request.treat_missing_data.as_deref().map(missing_data).transpose()?,
        description: request.alarm_description,
        actions_enabled: request.actions_enabled.unwrap_or(true),
        alarm_actions: actions(request.alarm_actions, "AlarmActions")?,
        ok_actions: actions(request.ok_actions, "OKActions")?,
        insufficient_data_actions: actions(request.insufficient_data_actions, "InsufficientDataActions")?,
    })
}

fn positive(value: i64, member: &str) -> Result<u32> {
    let positive = u32::try_from(value).ok().filter(|value| *value > 0);
    positive.ok_or_else(|| invalid(format!("{member} must be 1 or more, not {value}.")))
}

fn threshold(value: Option<f64>) -> Result<Real> {
    let value = required(value, "Threshold")?;
    Real::new(value).ok_or_else(|| invalid("Threshold must be a finite number."))
}

fn comparison(name: &str) -> Result<Comparison> {
    Comparison::named(name).ok_or_else(|| match name {
        "LessThanLowerOrGreaterThanUpperThreshold"
        | "LessThanLowerThreshold"
        | "GreaterThanUpperThreshold" => unsupported(&format!("ComparisonOperator {name}")),
        _ => invalid(format!("ComparisonOperator must be one of CloudWatch's, not {name}.")),
    })
}

fn missing_data(name: &str) -> Result<MissingData> {
    MissingData::named(name).ok_or_else(|| {
        invalid(format!("TreatMissingData must be breaching, notBreaching, ignore or missing, not {name}."))
    })
}

/// What is done is kept; only policies that scale are acted upon.
fn actions(given: Option<Vec<String>>, member: &str) -> Result<Vec<String>> {
    let given = given.unwrap_or_default();
    if given.len() > ACTIONS {
        return Err(invalid(format!("{member} must have at most {ACTIONS} elements, not {}.", given.len())));
    }
    for arn in &given {
        check_length(arn, member, 1..=1_024)?;
        if !arn.starts_with("arn:") {
            return Err(invalid(format!("{member} must have ARNs, not {arn}.")));
        }
    }
    Ok(given)
}
