//! Target tracking: as many tasks as keep a metric at a value.

use trireme_state::object::{
    Datapoint, MetricQuery, ScalingPolicy, ScalingPolicySpec, TargetTracking, TrackedMetric,
};
use trireme_types::Timestamp;

use super::load::{Running, Sort};
use super::metric_name;
use super::opinion::{Opinion, Wants};
use crate::observed::Observed;

/// The period of a customized metric, in seconds.
const PERIOD_SECONDS: u32 = 60;
/// So many periods of it that are over are looked at before tasks are taken away.
const PERIODS: usize = 3;
/// With the one that is under way, and one that may be late.
const ASKED: usize = PERIODS + 2;
/// A datapoint that began longer ago says nothing of now.
const FRESH_MILLIS: u64 = 3 * PERIOD_SECONDS as u64 * 1_000;
/// Tasks are taken away only as far as the metric stays at this part of its target, or below: a load that is close to it would have them
/// back at its next breath. CloudWatch's alarm for scaling in is at the same part.
const LOW: f64 = 0.9;
/// What rounding makes of a number that is whole.
const ROUNDING: f64 = 1e-9;

/// What a policy asks of metrics, and of how many periods.
pub(super) fn query(spec: &ScalingPolicySpec) -> Option<(MetricQuery, usize)> {
    let ScalingPolicySpec::TargetTracking(tracking) = spec else { return None };
    Some((customized(&tracking.metric)?, ASKED))
}

fn customized(metric: &TrackedMetric) -> Option<MetricQuery> {
    let TrackedMetric::Customized { metric, statistic, unit } = metric else { return None };
    let (metric, statistic, unit) = (metric.clone(), *statistic, unit.clone());
    Some(MetricQuery { metric, statistic, period_seconds: PERIOD_SECONDS, unit })
}

/// What a metric says: of now, and the most that it was for a while.
struct Reading {
    /// Nothing when it is not beyond the target for long enough to be believed.
    now: Option<f64>,
    /// Of the newer half of that while too: a load that falls is followed when it has fallen.
    peak: Option<(f64, f64)>,
}

fn read(tracking: &TargetTracking, running: &Running<'_>, observed: &Observed, now: Timestamp) -> Reading {
    if let Some(sort) = Sort::of(&tracking.metric) {
        // A sample of five seconds in which a load began says too little, and the next one says it all.
        let both = |(now, before): &(f64, f64)| now.min(*before) > tracking.target.get();
        let now = running.now(sort).filter(both).map(|(now, _)| now);
        return Reading { now, peak: running.peak(sort) };
    }
    let query = customized(&tracking.metric);
    let points = query.and_then(|query| observed.metrics.get(&query)).map_or(&[][..], Vec::as_slice);
    let fresh = |point: &&Datapoint| now.millis().saturating_sub(point.at.millis()) < FRESH_MILLIS;
    // One period may be an outlier, and the one under way lacks a part.
    let newest: Vec<f64> = points.iter().rev().filter(fresh).take(2).map(|point| point.value.get()).collect();
    let both = <[f64; 2]>::try_from(newest).ok().map(|[one, other]| one.min(other));
    Reading { now: both, peak: peak(points, now).map(|peak| (peak, peak)) }
}

/// The largest of the last periods, none of which is missing.
fn peak(points: &[Datapoint], now: Timestamp) -> Option<f64> {
    let period = u64::from(PERIOD_SECONDS).saturating_mul(1_000);
    let under_way = now.millis() / period;
    // What is of the last period may still come.
    let value = |back: u64| {
        let of = |point: &&Datapoint| point.at.millis() / period == under_way.saturating_sub(back);
        points.iter().find(of).map(|point| point.value.get())
    };
    let first = if value(0).is_some() || value(1).is_some() { 1 } else { 2 };
    let last = first + PERIODS as u64;
    let over = (first..last).map(value).reduce(|one, other| Some(one?.max(other?))).flatten()?;
    Some(value(0).map_or(over, |now| now.max(over)))
}

/// What a policy wants.
pub(super) fn opinion(
    name: &str,
    policy: &ScalingPolicy,
    tracking: &TargetTracking,
    (running, observed, desired, settled, now): (&Running<'_>, &Observed, u32, bool, Timestamp),
) -> Opinion {
    let reading = read(tracking, running, observed, now);
    let peak = reading.peak.filter(|_| settled);
    let count = u32::try_from(running.count()).unwrap_or(u32::MAX);
    let wants = more(policy, tracking, reading.now, (count, desired, now))
        .unwrap_or_else(|| fewer(policy, tracking, peak, (count, desired, now)));
    Opinion { policy: name.to_owned(), wants: told(wants, name) }
}

fn told(wants: Wants, name: &str) -> Wants {
    let named = |why: String| format!("policy {name}: {why}");
    match wants {
        Wants::More(to, why) => Wants::More(to, named(why)),
        Wants::Fewer(to, why) => Wants::Fewer(to, named(why)),
        other => other,
    }
}

/// `tasks × metric ÷ target`, rounded up.
fn wanted(tasks: u32, metric: f64, target: f64) -> u32 {
    let exact = f64::from(tasks) * metric / target;
    if !exact.is_finite() {
        // A target next to nothing: as many as there can be, or none of what is negative.
        return if exact > 0.0 { u32::MAX } else { 0 };
    }
    // A float becomes the nearest number that there is.
    (exact - exact.abs() * ROUNDING).ceil().max(0.0) as u32
}

/// More tasks, by what is known of now. During a cool-down it is counted what the tasks from before it would need: what was added since is on
/// its way to help.
fn more(
    policy: &ScalingPolicy,
    tracking: &TargetTracking,
    metric: Option<f64>,
    (running, desired, now): (u32, u32, Timestamp),
) -> Option<Wants> {
    let (metric, target) = (metric?, tracking.target.get());
    let cooldown = policy.spec.scale_out_cooldown();
    let cooling = policy.scaled_out.filter(|out| now < out.at.plus(cooldown));
    // Of a service without tasks a metric may still say that there is something to do; during a deployment there are more than it wants.
    let counted = cooling.map_or(running, |out| out.from.min(running)).min(desired).max(1);
    let wanted = wanted(counted, metric, target);
    if wanted <= desired {
        return None;
    }
    let name = metric_name(&tracking.metric);
    let counted = match cooling {
        Some(_) => format!("{counted} tasks, from before the cool-down,"),
        None => format!("{counted} running tasks"),
    };
    Some(Wants::More(
        wanted,
        format!("{name} was {metric:.1} with {counted} at a target of {target}: {wanted} are wanted"),
    ))
}

/// Fewer tasks, by the most that was wanted for a while. Tasks that are yet to run would have had as much to do as the others.
fn fewer(
    policy: &ScalingPolicy,
    tracking: &TargetTracking,
    peak: Option<(f64, f64)>,
    (running, desired, now): (u32, u32, Timestamp),
) -> Wants {
    if tracking.disable_scale_in {
        return Wants::Nothing;
    }
    let cooldown = policy.spec.scale_in_cooldown();
    let cools = policy.scaled_in.is_some_and(|at| now < at.plus(cooldown));
    let (Some((peak, newer)), false) = (peak, cools) else { return Wants::AsMany };
    let target = tracking.target.get();
    let tasks = running.max(desired);
    let enough = wanted(tasks, peak, target * LOW);
    if enough >= desired || wanted(tasks, newer, target * LOW) < enough {
        return Wants::AsMany;
    }
    let name = metric_name(&tracking.metric);
    let was = format!("{name} was at most {peak:.1} with {tasks} tasks at a target of {target}");
    Wants::Fewer(enough, format!("{was}: {enough} are enough"))
}
