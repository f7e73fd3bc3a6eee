//! What metrics were: statistics of periods.

use std::collections::BTreeSet;

use trireme_monitoring::Point;
use trireme_state::object::{MetricQuery, Statistic};
use trireme_types::{Real, Timestamp};

use super::shape::{
    Data, DataQuery, DataResult, GetData, GetStatistics, MetricStat, Statistics, StatisticsPoint,
    check_length, period, required,
};
use super::{combination, invalid, metric, page, unsupported};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: GetMetricData.
const QUERIES: usize = 500;
const DATAPOINTS: usize = 100_800;
/// CloudWatch API: GetMetricStatistics.
const POINTS: u64 = 1_440;
const DATA: &str = "GetMetricData";

/// The first and the last moment that are asked for: periods begin at or after the one, and before the other.
fn span(
    start: Option<super::shape::Time>,
    end: Option<super::shape::Time>,
) -> Result<(Timestamp, Timestamp)> {
    let (start, end) = (required(start, "StartTime")?.0, required(end, "EndTime")?.0);
    if start >= end {
        return Err(invalid(format!("StartTime must be before EndTime; they are {start} and {end}.")));
    }
    Ok((start, end))
}

/// The periods of a metric that hold something between two moments; the one in which the first of them lies is whole.
fn points(cx: &Context, query: &MetricQuery, (start, end): (Timestamp, Timestamp)) -> Vec<Point> {
    let period = u64::from(query.period_seconds) * 1_000;
    let from = Timestamp::from_millis(start.millis() - start.millis() % period);
    cx.call.api.monitoring.table.range(query, from, end)
}

pub(super) async fn statistics(cx: Context, request: GetStatistics) -> Result<Statistics> {
    if request.extended_statistics.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("ExtendedStatistics"));
    }
    let wanted = required(request.statistics, "Statistics")?;
    let wanted =
        wanted.iter().map(|name| metric::statistic(name)).collect::<Result<BTreeSet<Statistic>>>()?;
    if wanted.is_empty() {
        return Err(invalid("Statistics must not be empty."));
    }
    if let Some(unit) = &request.unit {
        metric::unit(unit)?;
    }
    let metric = metric::key(&cx, request.namespace, request.metric_name, request.dimensions.as_deref())?;
    let label = metric.name.clone();
    let period_seconds = period(request.period, "Period")?;
    let (start, end) = span(request.start_time, request.end_time)?;
    let count = (end.millis() - start.millis()) / (u64::from(period_seconds) * 1_000);
    if count > POINTS {
        return Err(combination(format!(
            "You have requested up to {count} datapoints, which exceeds the limit of {POINTS}. Ask for a longer period, or for less \
             time."
        )));
    }
    let query = MetricQuery { metric, statistic: Statistic::Average, period_seconds, unit: request.unit };
    let datapoint = |point: Point| {
        let get = |statistic| {
            let wanted = wanted.contains(&statistic);
            wanted.then(|| point.set.get(statistic)).flatten().map(Real::get)
        };
        StatisticsPoint {
            timestamp: Some(point.at.epoch_seconds()),
            sample_count: get(Statistic::SampleCount),
            average: get(Statistic::Average),
            sum: get(Statistic::Sum),
            minimum: get(Statistic::Minimum),
            maximum: get(Statistic::Maximum),
            unit: Some(point.unit.map_or("None", trireme_monitoring::Unit::name)),
        }
    };
    let datapoints = points(&cx, &query, (start, end)).into_iter().map(datapoint).collect();
    Ok(Statistics { label: Some(label), datapoints: Some(datapoints) })
}

/// One part of GetMetricData, checked.
struct Asked {
    id: String,
    label: String,
    query: MetricQuery,
    shown: bool,
}

fn asked(cx: &Context, given: DataQuery) -> Result<Asked> {
    let id = required(given.id, "MetricDataQueries.Id")?;
    check_length(&id, "MetricDataQueries.Id", 1..=255)?;
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.chars().all(named) {
        return Err(invalid(format!(
            "MetricDataQueries.Id must begin with a lowercase letter and have letters, digits and underscores only, not {id}."
        )));
    }
    if given.expression.is_some() {
        return Err(unsupported("MetricDataQueries.Expression"));
    }
    if given.account_id.as_ref().is_some_and(|account| account != cx.scope().account.as_str()) {
        return Err(unsupported("MetricDataQueries.AccountId of another account"));
    }
    let MetricStat { metric, period: seconds, stat, unit } =
        required(given.metric_stat, "MetricDataQueries.MetricStat")?;
    let metric = required(metric, "MetricStat.Metric")?;
    let metric = metric::key(cx, metric.namespace, metric.metric_name, metric.dimensions.as_deref())?;
    let statistic = metric::statistic(&required(stat, "MetricStat.Stat")?)?;
    if let Some(unit) = &unit {
        metric::unit(unit)?;
    }
    let period_seconds = period(seconds, "MetricStat.Period")?;
    let label = given.label.unwrap_or_else(|| metric.name.clone());
    let query = MetricQuery { metric, statistic, period_seconds, unit };
    Ok(Asked { id, label, query, shown: given.return_data.unwrap_or(true) })
}

pub(super) async fn data(cx: Context, request: GetData) -> Result<Data> {
    let queries = required(request.metric_data_queries, "MetricDataQueries")?;
    if queries.is_empty() || queries.len() > QUERIES {
        return Err(invalid(format!(
            "MetricDataQueries must have 1 to {QUERIES} elements, not {}.",
            queries.len()
        )));
    }
    let span = span(request.start_time, request.end_time)?;
    let descending = match request.scan_by.as_deref() {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => {
            return Err(invalid(format!(
                "ScanBy must be TimestampDescending or TimestampAscending, not {other}."
            )));
        }
    };
    let most = request
        .max_datapoints
        .map(|most| usize::try_from(most).ok().filter(|most| (1..=DATAPOINTS).contains(most)));
    let most = most.unwrap_or(Some(DATAPOINTS));
    let most = most.ok_or_else(|| invalid(format!("MaxDatapoints must be between 1 and {DATAPOINTS}.")))?;
    let from = page::after(DATA, request.next_token.as_deref())?;
    let from = from.map(|key| Place::of_key(&key).ok_or_else(page::wrong_token)).transpose()?;
    let queries = queries.into_iter().map(|query| asked(&cx, query)).collect::<Result<Vec<Asked>>>()?;
    let ids: BTreeSet<&str> = queries.iter().map(|asked| asked.id.as_str()).collect();
    if ids.len() < queries.len() {
        return Err(invalid("Each of MetricDataQueries must have an Id of its own."));
    }
    let mut cut = Cut { from, left: most, last: from, more: false };
    let mut results = Vec::new();
    for (number, asked) in queries.into_iter().filter(|asked| asked.shown).enumerate() {
        let mut points = points(&cx, &asked.query, span);
        if descending {
            points.reverse();
        }
        let Some((points, whole)) = cut.take((number, descending), points) else { continue };
        let value =
            |point: Point| Some((point.at.epoch_seconds(), point.set.get(asked.query.statistic)?.get()));
        let values = points.into_iter().filter_map(value);
        let (timestamps, values) = values.unzip();
        results.push(DataResult {
            id: Some(asked.id),
            label: Some(asked.label),
            timestamps: Some(timestamps),
            values: Some(values),
            status_code: Some(if whole { "Complete" } else { "PartialData" }),
        });
    }
    let next_token = cut.last.filter(|_| cut.more).map(|last| page::token(DATA, &last.key()));
    Ok(Data { metric_data_results: Some(results), messages: Some(Vec::new()), next_token })
}

/// A datapoint among those of all queries. Its time stays while newer ones come and older ones go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The query's number, from 0.
    query: usize,
    at: Timestamp,
}

impl Place {
    fn key(self) -> String {
        format!("{}/{}", self.query, self.at.millis())
    }

    fn of_key(key: &str) -> Option<Self> {
        let (query, at) = key.split_once('/')?;
        Some(Self { query: query.parse().ok()?, at: Timestamp::from_millis(at.parse().ok()?) })
    }
}

/// What of all datapoints is on a page.
struct Cut {
    /// The last one of the page before.
    from: Option<Place>,
    left: usize,
    /// The last one of this page.
    last: Option<Place>,
    more: bool,
}

impl Cut {
    /// What of a query's datapoints, in their order, is on the page, and whether the rest of them is not on a later one; `None` when nothing is
    /// to be said of them here.
    fn take(&mut self, (query, descending): (usize, bool), all: Vec<Point>) -> Option<(Vec<Point>, bool)> {
        if self.from.is_some_and(|from| query < from.query) {
            return None;
        }
        let from = self.from.filter(|from| from.query == query).map(|from| from.at);
        let is_later = |point: &Point| {
            from.is_none_or(|from| if descending { point.at < from } else { point.at > from })
        };
        let rest: Vec<Point> = all.into_iter().filter(is_later).collect();
        let taken = rest.len().min(self.left);
        let whole = taken == rest.len();
        self.more |= !whole;
        if taken == 0 && (!whole || from.is_some()) {
            return None;
        }
        self.left = self.left.saturating_sub(taken);
        let taken: Vec<Point> = rest.into_iter().take(taken).collect();
        self.last = taken.last().map(|point| Place { query, at: point.at }).or(self.last);
        Some((taken, whole))
    }
}

#[cfg(test)]
mod tests {
    use trireme_monitoring::StatisticSet;

    use super::*;

    fn point(second: u64) -> Point {
        Point { at: Timestamp::from_millis(second * 1_000), set: StatisticSet::of(1.0, 1.0), unit: None }
    }

    /// Pages of so many of these series, to which a newer datapoint comes between two pages.
    fn pages(most: usize, descending: bool, grows: bool) -> Vec<(usize, u64)> {
        let mut series: [Vec<u64>; 4] = [vec![1, 2, 3], Vec::new(), vec![4, 5], vec![6]];
        let (mut from, mut all) = (None, Vec::new());
        loop {
            let mut cut = Cut { from, left: most, last: from, more: false };
            for (query, one) in series.iter().enumerate() {
                let mut points: Vec<Point> = one.iter().copied().map(point).collect();
                if descending {
                    points.reverse();
                }
                let (points, _) = cut.take((query, descending), points).unwrap_or_default();
                all.extend(points.into_iter().map(|point| (query, point.at.millis() / 1_000)));
            }
            from = cut.last.map(|last| Place::of_key(&last.key()).unwrap());
            if !cut.more {
                return all;
            }
            if grows {
                series[0].push(100 + all.len() as u64);
            }
        }
    }

    #[test]
    fn pages_of_datapoints_join_to_the_whole() {
        for most in 1..8 {
            let rising = [(0, 1), (0, 2), (0, 3), (2, 4), (2, 5), (3, 6)];
            assert_eq!(pages(most, false, false), rising, "{most} at a time");
            let falling = [(0, 3), (0, 2), (0, 1), (2, 5), (2, 4), (3, 6)];
            assert_eq!(pages(most, true, false), falling, "{most} at a time");
            assert_eq!(
                pages(most, true, true),
                falling,
                "{most} at a time, while more come: none twice, none left out"
            );
        }
    }
}
