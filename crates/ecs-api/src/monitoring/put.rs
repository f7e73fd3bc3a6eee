//! Values of metrics: into this node's memory, and the others'.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use trireme_monitoring::copy::{self, PutError};
use trireme_monitoring::{Sample, StatisticSet, Unit};
use trireme_types::Timestamp;

use super::shape::{Datum, Empty, GivenSet, PutData, required};
use super::{combination, invalid, limit_exceeded, metric, unavailable, unsupported};
use crate::companion::Context;
use crate::error::{Result, sentence};

/// CloudWatch API: PutMetricData.
const METRICS: usize = 1_000;
const VALUES: usize = 150;
const LARGEST: f64 = 2.348_542_582_773_833_2e108;
const PAST: Duration = Duration::from_secs(14 * 24 * 3_600);
const FUTURE: Duration = Duration::from_secs(2 * 3_600);

/// In the memory of the leader, or of most control nodes, when it is answered.
pub(super) async fn put(cx: Context, request: PutData) -> Result<Empty> {
    if request.entity_metric_data.as_ref().is_some_and(|data| !data.is_empty()) {
        return Err(unsupported("EntityMetricData"));
    }
    let namespace = required(request.namespace, "Namespace")?;
    if namespace.starts_with("AWS/") || namespace == trireme_monitoring::ecs::INSIGHTS {
        return Err(invalid(
            "Namespaces that begin with AWS/ or ECS/ContainerInsights are for metrics of services.",
        ));
    }
    let data = required(request.metric_data, "MetricData")?;
    if data.is_empty() || data.len() > METRICS {
        return Err(invalid(format!("MetricData must have 1 to {METRICS} elements, not {}.", data.len())));
    }
    let now = cx.call.api.clock.now();
    let mut samples = Vec::with_capacity(data.len());
    for datum in data {
        samples.push(sample(&cx, &namespace, datum, now)?);
    }
    let monitoring = &cx.call.api.monitoring;
    match copy::put(&monitoring.table, &*monitoring.others, (now, batch(&cx)), &samples).await {
        Ok(()) => Ok(Empty {}),
        Err(error @ PutError::Full(_)) => Err(limit_exceeded(sentence(&error))),
        Err(error @ PutError::Untold) => Err(unavailable(format!("{} Retry.", sentence(&error)))),
    }
}

/// A call that is repeated by an SDK is the same batch: it counts once where it was taken already.
fn batch(cx: &Context) -> u128 {
    let call = &cx.call;
    let id = call.invocation.clone().unwrap_or_else(|| call.request_id.to_string());
    let digest = Sha256::digest(format!("{}/{}/{id}", call.caller.principal.arn, call.caller.scope.region));
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn sample(cx: &Context, namespace: &str, datum: Datum, now: Timestamp) -> Result<Sample> {
    let set = values(&datum)?;
    if datum.storage_resolution.is_some_and(|seconds| !matches!(seconds, 1 | 60)) {
        return Err(invalid("StorageResolution must be 1 or 60."));
    }
    let at = datum.timestamp.map_or(now, |time| time.0);
    if at.plus(PAST) < now || at > now.plus(FUTURE) {
        return Err(invalid(format!(
            "Timestamp must be at most two weeks before and two hours after now; it is {at}, and now is {now}."
        )));
    }
    let unit = datum.unit.as_deref().map_or(Ok(Unit::NONE), metric::unit)?;
    let dimensions = datum.dimensions.as_deref();
    let metric = metric::key(cx, Some(namespace.to_owned()), datum.metric_name, dimensions)?;
    Ok(Sample { metric, at, unit, set })
}

fn values(datum: &Datum) -> Result<StatisticSet> {
    match (datum.value, &datum.statistic_values, &datum.values) {
        (Some(value), None, None) => Ok(StatisticSet::of(checked(value, "Value")?, 1.0)),
        (None, Some(set), None) => given(set),
        (None, None, Some(values)) => counted(values, datum.counts.as_deref()),
        (None, None, None) => Err(combination("One of Value, Values and StatisticValues must be given.")),
        _ => Err(combination("Only one of Value, Values and StatisticValues may be given.")),
    }
}

fn checked(value: f64, member: &str) -> Result<f64> {
    if value.is_finite() && value.abs() <= LARGEST {
        return Ok(value);
    }
    Err(invalid(format!("{member} must be between -2^360 and 2^360.")))
}

fn given(set: &GivenSet) -> Result<StatisticSet> {
    let member = |value: Option<f64>, name: &str| {
        let name = format!("StatisticValues.{name}");
        checked(required(value, &name)?, &name)
    };
    let count = member(set.sample_count, "SampleCount")?;
    let (minimum, maximum) = (member(set.minimum, "Minimum")?, member(set.maximum, "Maximum")?);
    if count <= 0.0 || minimum > maximum {
        return Err(invalid(
            "StatisticValues must have a SampleCount above 0, and a Minimum not above Maximum.",
        ));
    }
    Ok(StatisticSet { count, sum: member(set.sum, "Sum")?, minimum, maximum })
}

fn counted(values: &[f64], counts: Option<&[f64]>) -> Result<StatisticSet> {
    if values.is_empty() || values.len() > VALUES {
        return Err(invalid(format!("Values must have 1 to {VALUES} elements, not {}.", values.len())));
    }
    if counts.is_some_and(|counts| counts.len() != values.len()) {
        return Err(invalid("Counts must have as many elements as Values."));
    }
    let mut all: Option<StatisticSet> = None;
    for (place, value) in values.iter().enumerate() {
        let count = counts.and_then(|counts| counts.get(place)).copied().unwrap_or(1.0);
        if checked(count, "Counts")? <= 0.0 {
            return Err(invalid("Counts must be above 0."));
        }
        let set = StatisticSet::of(checked(*value, "Values")?, count);
        all = Some(all.map_or(set, |known| known.with(set)));
    }
    all.ok_or_else(|| invalid("Values must not be empty."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datum(json: serde_json::Value) -> std::result::Result<(f64, f64, f64, f64), &'static str> {
        let datum: Datum = serde_json::from_value(json).unwrap();
        values(&datum)
            .map(|set| (set.count, set.sum, set.minimum, set.maximum))
            .map_err(|error| error.code.name())
    }

    #[test]
    fn values_are_given_in_one_of_three_ways() {
        use serde_json::json;
        assert_eq!(datum(json!({"Value": 2.5})), Ok((1.0, 2.5, 2.5, 2.5)));
        assert_eq!(datum(json!({"Values": [1.0, 4.0], "Counts": [3.0, 1.0]})), Ok((4.0, 7.0, 1.0, 4.0)));
        let set = json!({"SampleCount": 2.0, "Sum": 5.0, "Minimum": 1.0, "Maximum": 4.0});
        assert_eq!(datum(json!({"StatisticValues": set})), Ok((2.0, 5.0, 1.0, 4.0)));
        let (value, mixed) = ("InvalidParameterValueException", "InvalidParameterCombinationException");
        assert_eq!(datum(json!({})), Err(mixed));
        assert_eq!(datum(json!({"Value": 1.0, "Values": [1.0]})), Err(mixed));
        assert_eq!(datum(json!({"Values": [1.0], "Counts": [1.0, 1.0]})), Err(value));
        assert_eq!(datum(json!({"Values": [1.0], "Counts": [0.0]})), Err(value));
        assert_eq!(datum(json!({"Value": 1e200})), Err(value));
        assert_eq!(
            datum(json!({"StatisticValues": {"SampleCount": 2.0}})),
            Err("MissingRequiredParameterException")
        );
    }
}
