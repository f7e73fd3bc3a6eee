//! Samples between control nodes.

use std::collections::BTreeMap;

use trireme_rpc::control as wire;
use trireme_rpc::control::metric::Step;
use trireme_state::object::MetricKey;
use trireme_types::{AccountId, Region, Scope, Timestamp};

use crate::MetricTable;
use crate::sample::{Sample, StatisticSet, Unit};
use crate::table::{CopiedMetric, CopiedStep};

/// Metrics of one page, and steps after which it has no more: with the longest names and steps not 8 MiB.
const PAGE: (usize, usize) = (64, 32_768);

fn key_to_wire(key: &MetricKey) -> wire::Metric {
    wire::Metric {
        account: key.scope.account.to_string(),
        region: key.scope.region.to_string(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        dimensions: key.dimensions.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        steps: Vec::new(),
    }
}

fn key_of_wire(sent: &wire::Metric) -> Option<MetricKey> {
    let scope =
        Scope { account: AccountId::new(&sent.account).ok()?, region: Region::new(&sent.region).ok()? };
    let pairs = sent.dimensions.chunks_exact(2);
    let dimensions: BTreeMap<String, String> =
        pairs.filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone()))).collect();
    Some(MetricKey { scope, namespace: sent.namespace.clone(), name: sent.name.clone(), dimensions })
}

fn step_to_wire(unit: Unit, at_ms: u64, seconds: u32, set: StatisticSet) -> Step {
    let StatisticSet { count, sum, minimum, maximum } = set;
    Step { unit: unit.name().to_owned(), at_ms, seconds, count, sum, minimum, maximum }
}

fn set_of_wire(step: &Step) -> Option<(Unit, StatisticSet)> {
    let Step { count, sum, minimum, maximum, .. } = *step;
    let whole = [count, sum, minimum, maximum].iter().all(|number| number.is_finite()) && count > 0.0;
    whole.then_some((Unit::named(&step.unit)?, StatisticSet { count, sum, minimum, maximum }))
}

/// As they are sent: those of one metric that follow each other together.
pub fn samples_to_wire(samples: &[Sample]) -> Vec<wire::Metric> {
    let of_metric = samples.chunk_by(|one, next| one.metric == next.metric);
    let metric = |samples: &[Sample]| {
        let steps = samples.iter().map(|one| step_to_wire(one.unit, one.at.millis(), 0, one.set));
        samples.first().map(|first| wire::Metric { steps: steps.collect(), ..key_to_wire(&first.metric) })
    };
    of_metric.filter_map(metric).collect()
}

/// As they were sent; what makes no sense is left out.
pub fn samples_of_wire(sent: &[wire::Metric]) -> Vec<Sample> {
    let metrics = sent.iter().filter_map(|metric| Some((key_of_wire(metric)?, &metric.steps)));
    let samples = metrics.flat_map(|(metric, steps)| {
        steps.iter().filter_map(move |step| {
            let (unit, set) = set_of_wire(step)?;
            Some(Sample { metric: metric.clone(), at: Timestamp::from_millis(step.at_ms), unit, set })
        })
    });
    samples.collect()
}

/// The number of a batch as it was sent.
pub fn batch_of_wire(sent: &[u8]) -> Option<u128> {
    sent.try_into().ok().map(u128::from_be_bytes)
}

/// A page of all that is kept, after a metric.
pub fn copy(table: &MetricTable, after: Option<&wire::Metric>) -> Vec<wire::Metric> {
    let after = after.and_then(key_of_wire);
    let metric = |copied: CopiedMetric| {
        let steps = copied.steps.iter();
        let steps = steps.map(|one| step_to_wire(one.unit, u64::from(one.start) * 1_000, one.step, one.set));
        wire::Metric { steps: steps.collect(), ..key_to_wire(&copied.metric) }
    };
    table.copy(after.as_ref(), PAGE).into_iter().map(metric).collect()
}

/// Takes a page that another node keeps. Gives its last metric, after which the next one is to be asked for; `None` at the end.
pub fn adopt(table: &MetricTable, now: Timestamp, sent: &[wire::Metric]) -> Option<wire::Metric> {
    let step = |step: &Step| {
        let (unit, set) = set_of_wire(step)?;
        let start = u32::try_from(step.at_ms / 1_000).ok()?;
        Some(CopiedStep { unit, step: step.seconds, start, set })
    };
    let metric = |metric: &wire::Metric| {
        let steps = metric.steps.iter().filter_map(step).collect();
        Some(CopiedMetric { metric: key_of_wire(metric)?, steps })
    };
    let copied: Vec<CopiedMetric> = sent.iter().filter_map(metric).collect();
    table.adopt(now, &copied);
    copied.last().map(|last| key_to_wire(&last.metric))
}
