//! How an alarm's state is explained, to people and to programs.

use serde_json::json;
use trireme_state::object::{AlarmSpec, AlarmState, Comparison, Statistic};
use trireme_types::{Real, Timestamp};

use super::evaluate::{Slots, Verdict};

/// Datapoints that people are told of.
const TOLD: usize = 5;
/// Datapoints that programs are told of.
const SHOWN: usize = 20;

/// CloudWatch API: StateReason.
pub fn reason(spec: &AlarmSpec, slots: &Slots, verdict: &Verdict, from: AlarmState) -> String {
    let alarm = match verdict.state {
        AlarmState::InsufficientData => {
            let (count, were) = number(spec.evaluation_periods as usize, "datapoint");
            return format!("Insufficient Data: {count} {were} unknown.");
        }
        state => state == AlarmState::Alarm,
    };
    let known: Vec<(Timestamp, Real)> = slots.known().take(spec.evaluation_periods as usize).collect();
    let so: Vec<&(Timestamp, Real)> =
        known.iter().filter(|(_, value)| spec.breaches(*value) == alarm).collect();
    let listed: Vec<String> =
        so.iter().take(TOLD).map(|(at, value)| format!("{:?} ({at})", value.get())).collect();
    let listed = match so.len() {
        0 => String::new(),
        1..=TOLD => format!(" [{}]", listed.join(", ")),
        _ => format!(" [{}, ...]", listed.join(", ")),
    };
    let missing = (spec.evaluation_periods as usize).saturating_sub(known.len());
    let filled = match missing {
        0 => String::new(),
        missing => format!(" ({} missing)", number(missing, "datapoint").0),
    };
    let is = match spec.comparison {
        Comparison::GreaterOrEqual => "greater than or equal to",
        Comparison::Greater => "greater than",
        Comparison::Less => "less than",
        Comparison::LessOrEqual => "less than or equal to",
    };
    let not = if alarm { "" } else { "not " };
    let (count, were) = number(so.len(), "datapoint");
    format!(
        "Threshold Crossed: {count}{listed} out of the last {}{filled} {were} {not}{is} the threshold ({:?}), {} of {} \
         breaching for ALARM ({} -> {}).",
        spec.evaluation_periods,
        spec.threshold.get(),
        spec.needed(),
        spec.evaluation_periods,
        from.name(),
        verdict.state.name()
    )
}

/// How many there are, and the verb to it.
fn number(count: usize, noun: &str) -> (String, &'static str) {
    if count == 1 { (format!("1 {noun}"), "was") } else { (format!("{count} {noun}s"), "were") }
}

/// CloudWatch's name of a statistic.
pub const fn statistic(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::Minimum => "Minimum",
        Statistic::Maximum => "Maximum",
        Statistic::Sum => "Sum",
        Statistic::SampleCount => "SampleCount",
    }
}

/// CloudWatch API: StateReasonData.
pub fn data(spec: &AlarmSpec, slots: &Slots, now: Timestamp) -> String {
    let shown = slots.known().take((spec.evaluation_periods as usize).min(SHOWN));
    let (times, values): (Vec<String>, Vec<f64>) =
        shown.map(|(at, value)| (at.to_string(), value.get())).unzip();
    let evaluated: Vec<_> =
        times.iter().zip(&values).map(|(at, value)| json!({"timestamp": at, "value": value})).collect();
    json!({
        "version": "1.0",
        "queryDate": now.to_string(),
        "startDate": times.last(),
        "statistic": statistic(spec.query.statistic),
        "period": spec.query.period_seconds,
        "recentDatapoints": values.iter().rev().collect::<Vec<_>>(),
        "threshold": spec.threshold.get(),
        "evaluatedDatapoints": evaluated,
    })
    .to_string()
}
