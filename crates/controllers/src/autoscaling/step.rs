//! Step scaling: when an alarm that has a policy among its actions rings, so many tasks more or fewer, by how far its metric is beyond its
//! threshold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::object::{
    AdjustmentType, Alarm, AlarmState, MetricQuery, ScalingPolicy, StepAdjustment, StepScaling,
};
use trireme_types::Timestamp;

use super::opinion::{Opinion, Wants};
use crate::alarms::evaluate::{self, Slots};
use crate::observed::Observed;

/// What ARNs of policies have in them.
const POLICY: &str = ":scalingPolicy:";

/// The alarms that ring, by the ARN of each policy that they have among their actions.
pub(super) type Ringing<'a> = BTreeMap<&'a str, Vec<&'a Alarm>>;

/// All that ring and may act.
pub(super) fn ringing(view: &State) -> Ringing<'_> {
    let mut ringing = Ringing::new();
    let rings = |alarm: &&Arc<Alarm>| alarm.status.value == AlarmState::Alarm && alarm.spec.actions_enabled;
    for alarm in view.alarms().filter(rings) {
        for arn in alarm.spec.alarm_actions.iter().filter(|arn| arn.contains(POLICY)) {
            ringing.entry(arn).or_default().push(alarm);
        }
    }
    ringing
}

/// What is asked of metrics.
pub(super) fn queries(ringing: &Ringing<'_>) -> Vec<(MetricQuery, usize)> {
    let alarms = ringing.values().flatten();
    alarms.map(|alarm| (alarm.spec.query.clone(), evaluate::asked(&alarm.spec))).collect()
}

/// What a policy wants, by the alarms that ring for it. It is asked once in a period of the alarm, or in its cool-down if that is longer.
pub(super) fn opinion(
    name: &str,
    policy: &ScalingPolicy,
    step: &StepScaling,
    (alarms, observed, desired, now): (&[&Alarm], &Observed, u32, Timestamp),
) -> Opinion {
    let wants = alarms.iter().map(|alarm| of_alarm(policy, step, alarm, (observed, desired, now)));
    let wants = wants.reduce(larger).unwrap_or(Wants::Nothing);
    let named = |why: String| format!("policy {name}: {why}");
    let wants = match wants {
        Wants::More(to, why) => Wants::More(to, named(why)),
        Wants::Fewer(to, why) => Wants::Fewer(to, named(why)),
        other => other,
    };
    Opinion { policy: name.to_owned(), wants }
}

/// Of what two alarms want of one policy, that which leaves more tasks.
fn larger(one: Wants, other: Wants) -> Wants {
    let rank = |wants: &Wants| match wants {
        Wants::More(to, _) => (3, *to),
        Wants::AsMany => (2, 0),
        Wants::Fewer(to, _) => (1, *to),
        Wants::Nothing => (0, 0),
    };
    if rank(&other) > rank(&one) { other } else { one }
}

fn of_alarm(
    policy: &ScalingPolicy,
    step: &StepScaling,
    alarm: &Alarm,
    (observed, desired, now): (&Observed, u32, Timestamp),
) -> Wants {
    let spec = &alarm.spec;
    // The value by which it rings.
    let points = observed.metrics.get(&spec.query).map_or(&[][..], Vec::as_slice);
    let slots = Slots::of(spec, (points, observed.metrics_since), now);
    let Some((_, value)) = slots.known().next() else { return Wants::AsMany };
    let beyond = value.get() - spec.threshold.get();
    let Some(adjustment) = step.steps.iter().find(|one| holds(one, beyond)).map(|one| one.adjustment) else {
        return Wants::Nothing;
    };
    let cooldown = policy.spec.scale_out_cooldown();
    let period = Duration::from_secs(spec.query.period_seconds.into());
    let cools = |at: Timestamp| now < at.plus(cooldown.max(period));
    let lowers = lowers(step, adjustment, desired);
    // What was added during a cool-down counts for what is added now. A period without one is only waited for.
    let cooling = policy.scaled_out.filter(|out| !lowers && now < out.at.plus(cooldown));
    if !lowers && cooling.is_none() && policy.scaled_out.is_some_and(|out| cools(out.at)) {
        return Wants::AsMany;
    }
    let to = adjusted(step, cooling.map_or(desired, |out| out.from.min(desired)), adjustment);
    let why = format!(
        "alarm {} is in ALARM, its metric {beyond:+} from the threshold of {}",
        alarm.key.name, spec.threshold
    );
    if to > desired {
        Wants::More(to, why)
    } else if to < desired && lowers && !policy.scaled_in.is_some_and(cools) {
        Wants::Fewer(to, why)
    } else {
        Wants::AsMany
    }
}

/// Whether it means fewer tasks: a smaller step in the cool-down of a larger one means none.
fn lowers(step: &StepScaling, adjustment: i32, desired: u32) -> bool {
    match step.adjustment {
        AdjustmentType::ExactCapacity => i64::from(adjustment) < i64::from(desired),
        AdjustmentType::ChangeInCapacity | AdjustmentType::PercentChangeInCapacity => adjustment < 0,
    }
}

/// Application Auto Scaling API: StepAdjustment. Above the threshold the lower bound belongs to a step, below it the upper one.
fn holds(step: &StepAdjustment, beyond: f64) -> bool {
    let lower = step.lower.map(|real| real.get());
    let upper = step.upper.map(|real| real.get());
    if beyond >= 0.0 {
        lower.is_none_or(|lower| lower <= beyond) && upper.is_none_or(|upper| beyond < upper)
    } else {
        lower.is_none_or(|lower| lower < beyond) && upper.is_none_or(|upper| beyond <= upper)
    }
}

/// The count after an adjustment. A percentage comes to one task at least, and is rounded towards nothing beyond that.
fn adjusted(step: &StepScaling, base: u32, adjustment: i32) -> u32 {
    let change = match step.adjustment {
        AdjustmentType::ExactCapacity => return u32::try_from(adjustment).unwrap_or(0),
        AdjustmentType::ChangeInCapacity => i64::from(adjustment),
        AdjustmentType::PercentChangeInCapacity => {
            let exact = i64::from(base).saturating_mul(adjustment.into());
            let whole = exact / 100;
            let whole = if whole == 0 { exact.signum() } else { whole };
            let least = i64::from(step.min_magnitude.unwrap_or(0));
            if whole.abs() < least { least.saturating_mul(i64::from(adjustment.signum())) } else { whole }
        }
    };
    let count = i64::from(base).saturating_add(change).max(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use trireme_types::Real;

    use super::*;

    fn step(adjustment: AdjustmentType, min_magnitude: Option<u32>) -> StepScaling {
        StepScaling { adjustment, steps: Vec::new(), min_magnitude, cooldown: None, aggregation: None }
    }

    #[test]
    fn adjustments_as_application_auto_scaling_has_them() {
        use AdjustmentType::*;
        let cases = [
            (ChangeInCapacity, None, 4, 3, 7),
            (ChangeInCapacity, None, 4, -9, 0),
            (ExactCapacity, None, 4, 9, 9),
            (PercentChangeInCapacity, None, 10, 25, 12),
            (PercentChangeInCapacity, None, 3, 10, 4),
            (PercentChangeInCapacity, None, 3, -10, 2),
            (PercentChangeInCapacity, None, 10, -25, 8),
            (PercentChangeInCapacity, Some(5), 10, 25, 15),
            (PercentChangeInCapacity, Some(5), 10, -25, 5),
            (PercentChangeInCapacity, None, 0, 50, 0),
        ];
        for (sort, least, base, adjustment, wanted) in cases {
            assert_eq!(
                adjusted(&step(sort, least), base, adjustment),
                wanted,
                "{sort:?} {base} {adjustment}"
            );
        }
    }

    #[test]
    fn each_distance_from_the_threshold_belongs_to_one_step() {
        let one = |lower: Option<f64>, upper: Option<f64>| StepAdjustment {
            lower: lower.and_then(Real::new),
            upper: upper.and_then(Real::new),
            adjustment: 1,
        };
        let steps = [
            one(None, Some(-10.0)),
            one(Some(-10.0), Some(0.0)),
            one(Some(0.0), Some(10.0)),
            one(Some(10.0), None),
        ];
        for (beyond, wanted) in
            [(-11.0, 0), (-10.0, 0), (-9.9, 1), (-0.1, 1), (0.0, 2), (9.9, 2), (10.0, 3), (99.0, 3)]
        {
            let held: Vec<usize> = (0..4).filter(|number| holds(&steps[*number], beyond)).collect();
            assert_eq!(held, [wanted], "{beyond}");
        }
    }
}
