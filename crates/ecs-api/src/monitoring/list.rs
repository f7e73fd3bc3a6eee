//! Which metrics there are.

use std::time::Duration;

use trireme_monitoring::Listed;
use trireme_state::object::MetricKey;

use super::shape::{ListMetrics, Metric, Metrics, required};
use super::{invalid, metric, page, unsupported};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: ListMetrics.
const PAGE: usize = 500;
const FILTERS: usize = 10;
const LIST: &str = "ListMetrics";
/// CloudWatch API: RecentlyActive PT3H.
const RECENT: Duration = Duration::from_secs(3 * 3_600);

/// Unlike AWS's, it has a metric from its first sample on.
pub(super) async fn list(cx: Context, request: ListMetrics) -> Result<Metrics> {
    if request.owning_account.as_ref().is_some_and(|account| account != cx.scope().account.as_str()) {
        return Err(unsupported("OwningAccount of another account"));
    }
    let recent = match request.recently_active.as_deref() {
        None => false,
        Some("PT3H") => true,
        Some(other) => return Err(invalid(format!("RecentlyActive must be PT3H, not {other}."))),
    };
    let filters = request.dimensions.unwrap_or_default();
    if filters.len() > FILTERS {
        return Err(invalid(format!("Dimensions must have at most {FILTERS} elements.")));
    }
    let mut wanted = Vec::with_capacity(filters.len());
    for filter in filters {
        wanted.push((required(filter.name, "Dimensions.Name")?, filter.value));
    }
    let after = page::after(LIST, request.next_token.as_deref())?;
    let after = after.map(|key| serde_json::from_str::<MetricKey>(&key).map_err(|_| page::wrong_token()));
    let after = after.transpose()?;
    let now = cx.call.api.clock.now();
    let is_wanted = |one: &Listed| {
        request.namespace.as_ref().is_none_or(|namespace| *namespace == one.metric.namespace)
            && request.metric_name.as_ref().is_none_or(|name| *name == one.metric.name)
            && (!recent || now.since(one.newest) <= RECENT)
            && wanted.iter().all(|(name, value)| {
                let has = one.metric.dimensions.get(name);
                has.is_some_and(|has| value.as_ref().is_none_or(|value| has == value))
            })
    };
    let table = &cx.call.api.monitoring.table;
    let mut found = table.list(cx.scope(), after.as_ref(), PAGE + 1, is_wanted);
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = found.last().filter(|_| more).and_then(|last| serde_json::to_string(&last.metric).ok());
    let metrics = found.into_iter().map(|one| Metric {
        dimensions: Some(metric::shown(&one.metric.dimensions)),
        namespace: Some(one.metric.namespace),
        metric_name: Some(one.metric.name),
    });
    Ok(Metrics { metrics: Some(metrics.collect()), next_token: last.map(|key| page::token(LIST, &key)) })
}
