//! When schedules and rules are due: their expressions, held against their dates, their windows and the time.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use trireme_schedule::{Expression, TimeZone};
use trireme_state::object::{Due, RuleSpec, ScheduleKey, ScheduleSpec};
use trireme_types::Timestamp;

const MINUTE_MILLIS: u64 = 60_000;

/// The times of a schedule or a rule, read once.
#[derive(Debug)]
pub struct Times<'a> {
    expression: Expression,
    zone: TimeZone,
    anchor: Timestamp,
    /// A schedule's dates and window.
    schedule: Option<(&'a ScheduleKey, &'a ScheduleSpec)>,
}

impl<'a> Times<'a> {
    /// A schedule's; `None`: they cannot be read, and it is never due.
    pub fn of_schedule(key: &'a ScheduleKey, spec: &'a ScheduleSpec) -> Option<Self> {
        let expression = Expression::parse(&spec.expression).ok()?;
        let zone = TimeZone::parse(&spec.zone).ok()?;
        Some(Self { expression, zone, anchor: spec.anchor, schedule: Some((key, spec)) })
    }

    /// A rule's, which are UTC's; `None`: it has none, or they cannot be read.
    pub fn of_rule(spec: &RuleSpec) -> Option<Self> {
        let expression = Expression::parse(spec.expression.as_ref()?).ok()?;
        Some(Self { expression, zone: TimeZone::UTC, anchor: spec.anchor, schedule: None })
    }

    /// The flexible time window: how long after its time each run may begin.
    pub fn window(&self) -> Duration {
        self.schedule.map_or(Duration::ZERO, |(_, spec)| window(spec))
    }

    /// The first time after `after`: of a schedule within its dates, and somewhere in its flexible time window.
    pub fn after(&self, after: Timestamp) -> Option<Due> {
        let Some((key, spec)) = self.schedule else {
            let at = self.expression.next_after(after, &self.zone, self.anchor)?;
            return Some(Due { at, fires_at: at });
        };
        let before_start = spec.start.map(|start| Timestamp::from_millis(start.millis().saturating_sub(1)));
        let after = before_start.map_or(after, |start| start.max(after));
        let at = self.expression.next_after(after, &self.zone, self.anchor)?;
        if spec.end.is_some_and(|end| at > end) {
            return None;
        }
        Some(Due { at, fires_at: at.plus(within_window(key, self.window(), at)) })
    }
}

/// The flexible time window of a schedule.
pub fn window(spec: &ScheduleSpec) -> Duration {
    Duration::from_millis(u64::from(spec.window_minutes).saturating_mul(MINUTE_MILLIS))
}

/// When a schedule is due first after `after`. What cannot be read is never due.
pub fn of_schedule(key: &ScheduleKey, spec: &ScheduleSpec, after: Timestamp) -> Option<Due> {
    Times::of_schedule(key, spec)?.after(after)
}

/// When a rule is due first after `after`.
pub fn of_rule(spec: &RuleSpec, after: Timestamp) -> Option<Due> {
    Times::of_rule(spec)?.after(after)
}

/// How far into its window a run begins. Each run of each schedule has a place of its own, the same for whoever asks.
fn within_window(key: &ScheduleKey, window: Duration, at: Timestamp) -> Duration {
    let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let scope = &key.group.scope;
    let name =
        format!("{}\0{}\0{}\0{}\0{}", scope.account, scope.region, key.group.name, key.name, at.millis());
    let hash = Sha256::digest(name);
    let drawn = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Duration::from_millis(drawn.checked_rem(millis).unwrap_or(0))
}
