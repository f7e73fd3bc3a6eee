//! All metrics that a node keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use trireme_state::object::{Datapoint, MetricKey, MetricQuery};
use trireme_types::{Scope, Timestamp};

use crate::room::{Room, Taken, names};
use crate::sample::{Sample, StatisticSet, Unit};
use crate::series::{self, KEPT, Series, seconds};
use crate::whole::{Gap, Wholeness};

/// Units in which one metric is told.
const UNITS: usize = 4;
/// A metric of which nothing was said for so long makes room for a new one.
const IDLE: Duration = Duration::from_secs(3 * 3_600);
/// How often it is looked who makes room, when there are too many: it takes a while.
const LOOKED: Duration = Duration::from_secs(60);
/// Batches that are known again when they come twice.
const BATCHES: usize = 8_192;

pub use series::kept_for;

/// There are as many metrics as this node keeps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there are as many metrics as can be kept: {limit} {of}; {left_out} samples of new ones were left out"
)]
pub struct Full {
    /// How many can be.
    pub limit: usize,
    /// Of what.
    pub of: &'static str,
    /// Samples that were left out.
    pub left_out: usize,
}

/// A period's statistics.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When the period began.
    pub at: Timestamp,
    /// All statistics.
    pub set: StatisticSet,
    /// The unit, if all of it is in one.
    pub unit: Option<Unit>,
}

/// A metric, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its full name.
    pub metric: MetricKey,
    /// When something was said of it last.
    pub newest: Timestamp,
}

#[derive(Debug, Default)]
struct Metric(BTreeMap<Unit, Series>);

impl Metric {
    fn newest(&self) -> u32 {
        self.0.values().map(Series::newest).max().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
struct Table {
    metrics: BTreeMap<MetricKey, Metric>,
    taken: Taken,
    whole: Wholeness,
    /// When it was last looked who makes room.
    looked_at: Timestamp,
    batches: BTreeSet<u128>,
    order: VecDeque<u128>,
}

/// All metrics that this node keeps.
#[derive(Debug, Default)]
pub struct MetricTable {
    table: Mutex<Table>,
}

impl MetricTable {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch, once however often it comes.
    ///
    /// # Errors
    /// Samples of new metrics were left out, for there are too many. The others are there.
    pub fn put(&self, now: Timestamp, batch: u128, samples: &[Sample]) -> Result<(), Full> {
        let mut table = self.lock();
        if !table.is_new(batch) {
            return Ok(());
        }
        let (mut full, mut old): (Option<Full>, u64) = (None, 0);
        for sample in samples {
            match table.add(now, sample) {
                Ok(kept) => old += u64::from(!kept),
                Err((limit, of)) => full.get_or_insert(Full { limit, of, left_out: 0 }).left_out += 1,
            }
        }
        metrics::gauge!("trireme_metric_series").set(table.metrics.len() as f64);
        drop(table);
        dropped("too_old", old);
        full.map_or(Ok(()), |full| {
            dropped("too_many_metrics", full.left_out as u64);
            Err(full)
        })
    }

    /// The periods of a metric that begin at `from` or later and before `to`, the oldest first, without those that have no samples.
    pub fn range(&self, query: &MetricQuery, from: Timestamp, to: Timestamp) -> Vec<Point> {
        let mut found: BTreeMap<u32, (StatisticSet, Option<Unit>)> = BTreeMap::new();
        let table = self.lock();
        let Some(metric) = table.metrics.get(&query.metric) else { return Vec::new() };
        let wanted = query.unit.as_deref();
        let of_unit = metric.0.iter().filter(|(unit, _)| wanted.is_none_or(|wanted| unit.name() == wanted));
        let to = u32::try_from(to.millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        for (unit, series) in of_unit {
            for (start, set) in series.periods(query.period_seconds, seconds(from), to) {
                let merged = |(known, of): &mut (StatisticSet, Option<Unit>)| {
                    *known = known.with(set);
                    *of = of.filter(|of| of == unit);
                };
                found.entry(start).and_modify(merged).or_insert((set, Some(*unit)));
            }
        }
        drop(table);
        let points = found.into_iter();
        points.map(|(start, (set, unit))| Point { at: at_second(start), set, unit }).collect()
    }

    /// One statistic of the newest periods, as many as are asked for with the one that is under way; the oldest first, without those that
    /// have no samples.
    pub fn newest(&self, query: &MetricQuery, now: Timestamp, periods: usize) -> Vec<Datapoint> {
        let period = u64::from(query.period_seconds.max(1)) * 1_000;
        let current = now.millis() / period;
        let back = u64::try_from(periods).unwrap_or(u64::MAX).saturating_sub(1);
        let from = current.saturating_sub(back).saturating_mul(period);
        let to = current.saturating_add(1).saturating_mul(period);
        let points = self.range(query, Timestamp::from_millis(from), Timestamp::from_millis(to));
        let datapoint = |point: Point| {
            let value = point.set.get(query.statistic)?;
            Some(Datapoint { at: point.at, value })
        };
        points.into_iter().filter_map(datapoint).collect()
    }

    /// The metrics of an account and region, by name, from one on (but not that one), that `wanted` wants; at most so many.
    pub fn list(
        &self,
        scope: &Scope,
        after: Option<&MetricKey>,
        count: usize,
        wanted: impl Fn(&Listed) -> bool,
    ) -> Vec<Listed> {
        let first = MetricKey {
            scope: scope.clone(),
            namespace: String::new(),
            name: String::new(),
            dimensions: BTreeMap::new(),
        };
        let table = self.lock();
        let rest = table.metrics.range(after.unwrap_or(&first)..);
        let of_scope = rest.take_while(|(metric, _)| metric.scope == *scope);
        let later = of_scope.filter(|(metric, _)| after.is_none_or(|after| *metric != after));
        let listed = later.map(|(key, metric)| {
            let newest = at_second(metric.newest());
            Listed { metric: key.clone(), newest }
        });
        listed.filter(wanted).take(count).collect()
    }

    /// From when on this node has all samples. Of a period that began before it may know a part.
    pub fn whole_since(&self) -> Timestamp {
        self.lock().whole.since()
    }

    /// This node starts: it has nothing from before `now`.
    pub fn starts(&self, now: Timestamp) {
        self.lock().whole.starts(now);
    }

    /// Another node could not send something, or does not know whether it could.
    pub fn missed(&self, teller: u64) {
        self.lock().whole.missed(teller);
    }

    /// What a copy of another node's has to fill, if one is wanted.
    pub fn gap(&self) -> Option<Gap> {
        self.lock().whole.gap().cloned()
    }

    /// All was copied of somebody who has everything from `since` on.
    pub fn reaches(&self, since: Timestamp) {
        self.lock().whole.reaches(since);
    }

    /// No copy is wanted any more, unless something was missed since the gap was looked at.
    pub fn filled(&self, gap: &Gap) {
        self.lock().whole.filled(gap);
    }

    /// Forgets metrics of which nothing is kept any more, and of the others what is too old.
    pub fn sweep(&self, now: Timestamp) {
        let mut table = self.lock();
        table.forget(now, KEPT);
        table
            .metrics
            .values_mut()
            .flat_map(|metric| metric.0.values_mut())
            .for_each(|series| series.prune(now));
        metrics::gauge!("trireme_metric_series").set(table.metrics.len() as f64);
    }

    /// All that is kept, some metrics at a time in their order: those after one, at most so many, and each step of each. No more follow once
    /// there are so many steps.
    pub(crate) fn copy(
        &self,
        after: Option<&MetricKey>,
        (count, steps): (usize, usize),
    ) -> Vec<CopiedMetric> {
        use std::ops::Bound::{Excluded, Unbounded};
        let table = self.lock();
        let rest = table.metrics.range((after.map_or(Unbounded, Excluded), Unbounded));
        let copied = rest.take(count).map(|(key, metric)| CopiedMetric {
            metric: key.clone(),
            steps: metric
                .0
                .iter()
                .flat_map(|(unit, series)| {
                    series.steps().map(|(step, start, set)| CopiedStep { unit: *unit, step, start, set })
                })
                .collect(),
        });
        let mut all = 0_usize;
        let fits = |one: &CopiedMetric| {
            let before = all;
            all = all.saturating_add(one.steps.len());
            before < steps
        };
        copied.take_while(fits).collect()
    }

    /// Takes what another node kept, where this one has nothing.
    pub(crate) fn adopt(&self, now: Timestamp, copied: &[CopiedMetric]) {
        let mut table = self.lock();
        for one in copied {
            for CopiedStep { unit, step, start, set } in &one.steps {
                let Ok(series) = table.series(now, &one.metric, *unit) else { continue };
                series.adopt(now, *step, *start, *set);
            }
        }
        metrics::gauge!("trireme_metric_series").set(table.metrics.len() as f64);
    }
}

/// A metric as it is copied to a node that has just started.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CopiedMetric {
    pub metric: MetricKey,
    pub steps: Vec<CopiedStep>,
}

/// A step of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CopiedStep {
    pub unit: Unit,
    pub step: u32,
    pub start: u32,
    pub set: StatisticSet,
}

impl Table {
    /// Whether a batch is seen for the first time.
    fn is_new(&mut self, batch: u128) -> bool {
        if !self.batches.insert(batch) {
            return false;
        }
        self.order.push_back(batch);
        if self.order.len() > BATCHES
            && let Some(old) = self.order.pop_front()
        {
            self.batches.remove(&old);
        }
        true
    }

    fn add(&mut self, now: Timestamp, sample: &Sample) -> Result<bool, (usize, &'static str)> {
        if sample.at.plus(KEPT) <= now {
            return Ok(false);
        }
        let series = self.series(now, &sample.metric, sample.unit)?;
        Ok(series.add(now, sample.at, sample.set))
    }

    fn series(
        &mut self,
        now: Timestamp,
        key: &MetricKey,
        unit: Unit,
    ) -> Result<&mut Series, (usize, &'static str)> {
        let units = self.metrics.get(key).map(|metric| &metric.0);
        if !units.is_some_and(|units| units.contains_key(&unit)) {
            if units.is_some_and(|units| units.len() >= UNITS) {
                return Err((UNITS, "units of one metric"));
            }
            self.make_room(now, key)?;
            // Its name is kept once.
            let names = if self.metrics.contains_key(key) { 0 } else { names(key) };
            self.taken.take(key, Room { series: 1, names });
        }
        Ok(self.metrics.entry(key.clone()).or_default().0.entry(unit).or_default())
    }

    fn make_room(&mut self, now: Timestamp, key: &MetricKey) -> Result<(), (usize, &'static str)> {
        if self.taken.full(key).is_some() && self.looked_at.plus(LOOKED) <= now {
            self.looked_at = now;
            self.forget(now, IDLE);
        }
        self.taken.full(key).map_or(Ok(()), Err)
    }

    /// Forgets metrics of which nothing was said for so long.
    fn forget(&mut self, now: Timestamp, idle: Duration) {
        let oldest = Timestamp::from_millis(
            now.millis().saturating_sub(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX)),
        );
        let oldest = seconds(oldest);
        self.metrics.retain(|_, metric| metric.newest() >= oldest);
        self.taken = Taken::default();
        for (key, metric) in &self.metrics {
            self.taken.take(key, Room { series: metric.0.len(), names: names(key) });
        }
    }
}

fn at_second(second: u32) -> Timestamp {
    Timestamp::from_millis(u64::from(second) * 1_000)
}

fn dropped(reason: &'static str, count: u64) {
    if count > 0 {
        metrics::counter!("trireme_metric_samples_dropped_total", "reason" => reason).increment(count);
    }
}

#[cfg(test)]
mod tests;
