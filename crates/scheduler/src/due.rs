//! When schedules and rules are due: their expressions, held against their dates, their windows and the time.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use trireme_schedule::{Expression, Zone};
use trireme_state::object::{Due, RuleSpec, ScheduleKey, ScheduleSpec};
use trireme_types::Timestamp;

const MINUTE_MILLIS: u64 = 60_000;

/// When a schedule is due first after `after`: within its dates, and somewhere in its flexible time window. What cannot be read is never due.
pub fn of_schedule(key: &ScheduleKey, spec: &ScheduleSpec, after: Timestamp) -> Option<Due> {
    let expression = Expression::parse(&spec.expression).ok()?;
    let zone = Zone::parse(&spec.zone).ok()?;
    let before_start = spec.start.map(|start| Timestamp::from_millis(start.millis().saturating_sub(1)));
    let after = before_start.map_or(after, |start| start.max(after));
    let at = expression.next_after(after, &zone, spec.anchor)?;
    if spec.end.is_some_and(|end| at > end) {
        return None;
    }
    Some(Due { at, fires_at: at.plus(within_window(key, spec.window_minutes, at)) })
}

/// When a rule is due first after `after`; its times are UTC's.
pub fn of_rule(spec: &RuleSpec, after: Timestamp) -> Option<Due> {
    let expression = Expression::parse(spec.expression.as_ref()?).ok()?;
    let at = expression.next_after(after, &Zone::UTC, spec.anchor)?;
    Some(Due { at, fires_at: at })
}

/// How far into its window a run begins. Each run of each schedule has a place of its own, the same for whoever asks.
fn within_window(key: &ScheduleKey, minutes: u32, at: Timestamp) -> Duration {
    let millis = u64::from(minutes).saturating_mul(MINUTE_MILLIS);
    let scope = &key.group.scope;
    let name =
        format!("{}\0{}\0{}\0{}\0{}", scope.account, scope.region, key.group.name, key.name, at.millis());
    let hash = Sha256::digest(name);
    let drawn = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Duration::from_millis(drawn.checked_rem(millis).unwrap_or(0))
}
