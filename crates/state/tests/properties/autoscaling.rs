//! Steps of scalable targets.

use trireme_state::command::{AutoscalingCommand as C, ScalableTargetChange};

use super::*;

/// What needs the eighth feature level, and is refused below it.
pub fn autoscaling_step() -> impl Strategy<Value = Step> {
    let name = || 0u8..3;
    prop_oneof![
        3 => (name(), 0u32..4, 0u32..6).prop_map(|(name, min, more)| Step::Bound { name, min, more }),
        2 => (name(), any::<bool>(), 0u32..3).prop_map(|(name, step, value)| Step::Policy { name, step, value }),
        4 => (name(), 0u32..9, any::<bool>()).prop_map(|(name, to, seen)| Step::Scale { name, to, seen }),
        3 => (name(), 0u8..4).prop_map(|(name, what)| Step::Action { name, what }),
        1 => (name(), 0u8..3).prop_map(|(name, what)| Step::Unscale { name, what }),
    ]
}

fn spec(step: bool, value: u32) -> ScalingPolicySpec {
    if step {
        let one = StepAdjustment { lower: Some(Real::from(value)), upper: None, adjustment: 1 };
        return ScalingPolicySpec::Step(StepScaling {
            adjustment: AdjustmentType::ChangeInCapacity,
            steps: vec![one],
            min_magnitude: None,
            cooldown: Some(value),
            aggregation: None,
        });
    }
    ScalingPolicySpec::TargetTracking(TargetTracking {
        target: Real::from(value),
        metric: TrackedMetric::Memory { high_resolution: value == 2 },
        scale_out_cooldown: None,
        scale_in_cooldown: Some(value),
        disable_scale_in: value == 1,
    })
}

pub fn autoscaling_command(state: &State, step: &Step) -> Option<Command> {
    let named = |name: &u8| service(&format!("service-{name}"));
    let text = || "one".to_owned();
    let command = match step {
        Step::Bound { name, min, more } => C::Register {
            service: named(name),
            change: ScalableTargetChange {
                min: Some(*min),
                max: Some(min + more),
                suspended: (*more == 5).then(|| SuspendedScaling { scheduled: true, ..Default::default() }),
                role_arn: None,
            },
            tags: Tags::new(),
        },
        Step::Policy { name, step, value } => {
            C::PutPolicy { service: named(name), name: text(), spec: spec(*step, *value) }
        }
        Step::Scale { name, to, seen } => {
            let key = named(name);
            let version = state.scalable_target(&key).map_or(0, |target| target.version);
            let from = state.service(&key).map_or(0, |service| service.spec.desired_count);
            let cause = "a test".to_owned();
            let version = version + u64::from(!seen);
            C::Scale { service: key, version, from, to: *to, policy: text(), cause }
        }
        Step::Action { name, what: 0 } => {
            let spec = ScheduledActionSpec {
                schedule: "rate(1 minute)".to_owned(),
                timezone: None,
                start: None,
                end: None,
                min: Some(2),
                max: None,
            };
            C::PutAction { service: named(name), name: text(), spec, next: Some(Timestamp::from_millis(1)) }
        }
        Step::Action { name, .. } => {
            let service = named(name);
            let target = state.scalable_target(&service);
            let due = target.and_then(|target| target.actions.get("one")?.next).unwrap_or_default();
            let next = Some(Timestamp::from_millis(due.millis() + 1));
            C::TakeAction { service, name: text(), due, next }
        }
        Step::Unscale { name, what: 0 } => C::Deregister { service: named(name) },
        Step::Unscale { name, what: 1 } => C::DeletePolicy { service: named(name), name: text() },
        Step::Unscale { name, .. } => C::DeleteAction { service: named(name), name: text() },
        _ => return None,
    };
    Some(Command::Autoscaling(Box::new(command)))
}
