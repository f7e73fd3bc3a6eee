//! What datapoints say of an alarm: M of the last N breach, or not, or there are too few to say.

use std::time::Duration;

use trireme_state::object::{AlarmSpec, AlarmState, Comparison, Datapoint, MissingData, Statistic};
use trireme_types::{Real, Timestamp};

/// When a period that is over is known as well as it will be.
const SETTLED: Duration = Duration::from_secs(1);
/// Periods beyond those that are evaluated, in which datapoints are looked for when some are missing.
const BEYOND: u32 = 2;
/// The one that is under way, and one that has just ended.
const OPEN: u32 = 2;

/// How many of the newest periods of its metric an alarm has to know.
pub fn asked(spec: &AlarmSpec) -> usize {
    spec.evaluation_periods.saturating_add(BEYOND).saturating_add(OPEN) as usize
}

/// The periods by which an alarm is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The newest first: each with its datapoint, if it has one.
    pub periods: Vec<(Timestamp, Option<Real>)>,
    /// How many there are that are older, and of which nobody knows whether they have one.
    pub unknown: usize,
}

impl Slots {
    /// Those of an alarm now, when all samples since a moment are known.
    pub fn of(spec: &AlarmSpec, (datapoints, since): (&[Datapoint], Timestamp), now: Timestamp) -> Self {
        let period = u64::from(spec.query.period_seconds.max(1)).saturating_mul(1_000);
        let settled = u64::try_from(SETTLED.as_millis()).unwrap_or(u64::MAX);
        // The first period that is not settled yet.
        let open = now.millis().saturating_sub(settled) / period;
        let value = |start: u64| {
            let at = Timestamp::from_millis(start.saturating_mul(period));
            (at, datapoints.iter().rev().find(|point| point.at == at).map(|point| point.value))
        };
        let fixed = |(_, value): &(Timestamp, Option<Real>)| {
            is_final(spec) && value.is_some_and(|value| spec.breaches(value))
        };
        let ahead = (open..open.saturating_add(OPEN.into())).rev().map(value).filter(fixed);
        let behind = (1..=open.min(spec.evaluation_periods.saturating_add(BEYOND).into()))
            .map(|back| value(open.saturating_sub(back)));
        let all = ahead.chain(behind).take(spec.evaluation_periods.saturating_add(BEYOND) as usize);
        let all: Vec<(Timestamp, Option<Real>)> = all.collect();
        let known = all.iter().take_while(|(at, _)| *at >= since).count();
        let unknown = all.len().saturating_sub(known);
        Self { periods: all.into_iter().take(known).collect(), unknown }
    }

    /// Those that have a datapoint.
    pub fn known(&self) -> impl Iterator<Item = (Timestamp, Real)> {
        self.periods.iter().filter_map(|(at, value)| Some((*at, (*value)?)))
    }
}

/// Whether more samples cannot undo a breach.
fn is_final(spec: &AlarmSpec) -> bool {
    let above = matches!(spec.comparison, Comparison::Greater | Comparison::GreaterOrEqual);
    match spec.query.statistic {
        Statistic::Maximum | Statistic::SampleCount => above,
        Statistic::Minimum => !above,
        Statistic::Average | Statistic::Sum => false,
    }
}

/// What datapoints say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Where the alarm goes.
    pub state: AlarmState,
    /// That samples are missing has a part in it.
    pub by_missing: bool,
}

/// Judges; `None` when the alarm stays as it is, whatever that is.
///
/// When there are datapoints of as many periods as are evaluated, what is missing does not matter: the newest of them count. Else what is
/// missing counts as the alarm has it. Where it counts as nothing, datapoints that all breach are an alarm once the oldest of them is as
/// old as an alarm needs datapoints, though there are fewer.
///
/// When there are older periods that are not known, it is judged only what they cannot change.
pub fn judge(spec: &AlarmSpec, slots: &Slots) -> Option<Verdict> {
    let (wanted, needed) = (spec.evaluation_periods as usize, spec.needed() as usize);
    let known: Vec<Real> = slots.known().map(|(_, value)| value).take(wanted).collect();
    let breaching = known.iter().filter(|value| spec.breaches(**value)).count();
    let missing = wanted.saturating_sub(known.len());
    if slots.unknown > 0 && missing > 0 && breaching < needed {
        return judge_part(spec, (known.len(), breaching), slots.unknown);
    }
    let by_missing = missing > 0;
    let go = |state| Some(Verdict { state, by_missing });
    let alarm_if = |alarm: bool| go(if alarm { AlarmState::Alarm } else { AlarmState::Ok });
    let none_breaks_it = breaching == known.len();
    match spec.missing_data.unwrap_or_default() {
        _ if breaching >= needed => Some(Verdict { state: AlarmState::Alarm, by_missing: false }),
        _ if missing == 0 => alarm_if(false),
        MissingData::Breaching => alarm_if(breaching.saturating_add(missing) >= needed),
        MissingData::NotBreaching => alarm_if(false),
        MissingData::Missing if known.is_empty() => go(AlarmState::InsufficientData),
        MissingData::Ignore | MissingData::Missing if !none_breaks_it => alarm_if(false),
        MissingData::Ignore => None,
        MissingData::Missing => {
            let oldest = slots.periods.iter().rposition(|(_, value)| value.is_some());
            let is_old_enough = oldest.is_some_and(|place| place.saturating_add(1) >= needed);
            is_old_enough.then_some(Verdict { state: AlarmState::Alarm, by_missing })
        }
    }
}

/// What is sure though older periods are not known: that enough breach, as what is missing counts, though none of the unknown does; or that too
/// few would, though all of the unknown did.
fn judge_part(spec: &AlarmSpec, (known, breaching): (usize, usize), unknown: usize) -> Option<Verdict> {
    let (wanted, needed) = (spec.evaluation_periods as usize, spec.needed() as usize);
    let counts = spec.missing_data.unwrap_or_default();
    let missing = wanted.saturating_sub(known);
    let filled = missing.min(unknown);
    let by_missing = if counts == MissingData::Breaching { missing.saturating_sub(filled) } else { 0 };
    let least = breaching.saturating_add(by_missing);
    // Where what is missing counts as nothing, datapoints that all breach may be an alarm though they are few.
    let is_told = known > breaching || matches!(counts, MissingData::Breaching | MissingData::NotBreaching);
    let go = |state| Some(Verdict { state, by_missing: true });
    match least.saturating_add(filled) {
        _ if least >= needed => go(AlarmState::Alarm),
        most if most < needed && is_told => go(AlarmState::Ok),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
