//! Which metric is meant.

use std::collections::BTreeMap;

use trireme_monitoring::Unit;
use trireme_state::object::{MetricKey, Statistic};

use super::shape::{Dimension, check_length, text};
use super::{invalid, unsupported};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: MetricDatum.Dimensions.
const DIMENSIONS: usize = 30;

/// The metric that is named.
pub(super) fn key(
    cx: &Context,
    namespace: Option<String>,
    name: Option<String>,
    dimensions: Option<&[Dimension]>,
) -> Result<MetricKey> {
    let namespace = text(namespace, "Namespace", 255)?;
    if namespace.starts_with(':') {
        return Err(invalid("Namespace must not begin with a colon."));
    }
    let dimensions = self::dimensions(dimensions.unwrap_or_default())?;
    let name = text(name, "MetricName", 255)?;
    Ok(MetricKey { scope: cx.scope().clone(), namespace, name, dimensions })
}

fn dimensions(given: &[Dimension]) -> Result<BTreeMap<String, String>> {
    if given.len() > DIMENSIONS {
        return Err(invalid(format!("A metric has at most {DIMENSIONS} dimensions, not {}.", given.len())));
    }
    let mut all = BTreeMap::new();
    for Dimension { name, value } in given {
        check_length(name, "Dimensions.Name", 1..=255)?;
        check_length(value, "Dimensions.Value", 1..=1_024)?;
        if all.insert(name.clone(), value.clone()).is_some() {
            return Err(invalid(format!("The dimension {name} is given twice.")));
        }
    }
    Ok(all)
}

/// The dimensions of a metric, as they are shown.
pub(super) fn shown(dimensions: &BTreeMap<String, String>) -> Vec<Dimension> {
    let all = dimensions.iter();
    all.map(|(name, value)| Dimension { name: name.clone(), value: value.clone() }).collect()
}

/// The unit of that name.
pub(super) fn unit(name: &str) -> Result<Unit> {
    Unit::named(name).ok_or_else(|| invalid(format!("Unit must be one of CloudWatch's, not {name}.")))
}

/// The statistic of that name. Percentiles and their kin are not kept.
pub(super) fn statistic(name: &str) -> Result<Statistic> {
    Ok(match name {
        "Average" => Statistic::Average,
        "Minimum" => Statistic::Minimum,
        "Maximum" => Statistic::Maximum,
        "Sum" => Statistic::Sum,
        "SampleCount" => Statistic::SampleCount,
        other => return Err(unsupported(&format!("The statistic {other}"))),
    })
}

/// CloudWatch's name of a statistic.
pub(super) const fn name(statistic: Statistic) -> &'static str {
    match statistic {
        Statistic::Average => "Average",
        Statistic::Minimum => "Minimum",
        Statistic::Maximum => "Maximum",
        Statistic::Sum => "Sum",
        Statistic::SampleCount => "SampleCount",
    }
}
