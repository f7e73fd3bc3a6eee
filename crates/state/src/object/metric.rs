//! Metrics as they are asked for (CloudWatch's): which, over how long, and what of it. What they are is never state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{Real, Scope, Timestamp};

/// A metric's full name (CloudWatch API: Metric).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetricKey {
    /// Account and region.
    pub scope: Scope,
    /// Its namespace.
    pub namespace: String,
    /// Its name within that.
    pub name: String,
    /// What it is of. Other dimensions are another metric.
    pub dimensions: BTreeMap<String, String>,
}

/// What is taken of the samples of a period (CloudWatch API: Statistic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Statistic {
    /// Their mean.
    Average,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// Their sum.
    Sum,
    /// How many there are.
    SampleCount,
}

/// A question: one statistic of one metric, period by period.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MetricQuery {
    /// Which metric.
    pub metric: MetricKey,
    /// What of it.
    pub statistic: Statistic,
    /// The length of a period in seconds. Periods begin at multiples of it since 1970.
    pub period_seconds: u32,
    /// Only samples of this unit, if it is given.
    pub unit: Option<String>,
}

/// A period's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Datapoint {
    /// When the period began.
    pub at: Timestamp,
    /// The statistic.
    pub value: Real,
}
