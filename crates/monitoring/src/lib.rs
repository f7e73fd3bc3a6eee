//! CloudWatch's metrics, in the memory of every control node: what users put, and what services use. They are never state, and never in the
//! log: alarms are, and so is what follows from them.
//!
//! Each node has all of it: what one takes is copied to the others at once ([`copy`]), so that any of them answers, and a new leader
//! knows the past. A node that starts asks another for a copy, and says from when on it has everything. One that could not be reached is told
//! so as soon as it can be, and asks for a copy too.
//!
//! Reading order: [`sample`] (what is put) · `series` (one metric over time) · [`table`] (all of them; `room`: their bounds) · `whole` · [`ecs`] (what the
//! state and the agents say of services) · [`copy`] (to the other nodes) · [`wire`].

pub mod copy;
pub mod ecs;
mod room;
pub mod sample;
mod series;
pub mod table;
mod whole;
pub mod wire;

use std::sync::Arc;

pub use sample::{Sample, StatisticSet, Unit};
pub use series::KEPT;
pub use table::{Full, Listed, MetricTable, Point, kept_for};
pub use whole::Gap;

/// What a control node has of metrics. Clones are handles to the same.
#[derive(Clone)]
pub struct Monitoring {
    /// What this node keeps.
    pub table: Arc<MetricTable>,
    /// The nodes that keep the same.
    pub others: Arc<dyn copy::Others>,
}

impl Default for Monitoring {
    /// Of a node that is the only one.
    fn default() -> Self {
        Self { table: Arc::default(), others: Arc::new(copy::Alone) }
    }
}

/// Describes this crate's metrics.
pub fn describe_metrics() {
    metrics::describe_gauge!("trireme_metric_series", "Metrics of users and services that this node keeps");
    metrics::describe_counter!(
        "trireme_metric_samples_dropped_total",
        "Samples of metrics that were not kept, by reason: they were too old, or there were too many metrics"
    );
    metrics::describe_counter!(
        "trireme_metric_copies_total",
        "Batches of samples that were sent to another control node, by result"
    );
}
