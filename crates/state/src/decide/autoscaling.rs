//! Scalable targets: registered, given policies and scheduled actions, and scaled.

use trireme_types::{Timestamp, planted};

use super::{Decided, Decision, stale};
use crate::command::{AutoscalingCommand, ScalableTargetChange};
use crate::event::AutoscalingEvent as Happened;
use crate::limits::{ACTIONS_PER_TARGET, POLICIES_PER_TARGET, STEPS_PER_POLICY, TASKS_PER_SERVICE};
use crate::object::{
    CoolingPolicy, HeldScaling, ScalableTarget, ScalableTargetSpec, ScaledOut, ScalingActivity,
    ScalingPolicy, ScalingPolicySpec, ScheduledActionSpec, SchedulingStrategy, Service, ServiceKey,
    ServiceStatus, Tags,
};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn decide(state: &State, command: &AutoscalingCommand, stamp: &mut Stamp) -> Decided {
    use AutoscalingCommand as C;
    match command {
        C::Register { service, change, tags } => register(state, service, change, tags, stamp),
        C::Deregister { service } => {
            known(state, service)?;
            Ok(one(Happened::ScalableTargetDeregistered { key: service.clone() }))
        }
        C::PutPolicy { service, name, spec } => put_policy(state, service, name, spec, stamp),
        C::DeletePolicy { service, name } => {
            policy(known(state, service)?, name)?;
            Ok(one(Happened::ScalingPolicyDeleted { key: service.clone(), name: name.clone() }))
        }
        C::PutAction { service, name, spec, next } => put_action(state, service, name, (spec, *next), stamp),
        C::DeleteAction { service, name } => {
            known(state, service)?.actions.get(name).ok_or_else(|| missing("scheduled action", name))?;
            Ok(one(Happened::ScheduledActionDeleted { key: service.clone(), name: name.clone() }))
        }
        C::Tag { service, add, remove } => tag(state, service, add, remove),
        C::Scale { service, version, from, to, policy, cause } => {
            let (target, service) = seen(state, service, *version)?;
            scale(state, target, service, (*from, *to), policy, cause, stamp)
        }
        C::Hold { service, version, held, cause } => hold(state, service, *version, *held, cause, stamp),
        C::TakeAction { service, name, due, next } => take_action(state, service, name, (*due, *next), stamp),
    }
}

fn one(event: Happened) -> Decision {
    Decision::one(Event::Autoscaling(event))
}

fn missing(what: &str, name: &str) -> Rejection {
    Rejection::ScalingObjectNotFound { what: format!("{what} {name}") }
}

fn known<'a>(state: &'a State, service: &ServiceKey) -> Result<&'a ScalableTarget, Rejection> {
    let target = state.scalable_target(service).map(AsRef::as_ref);
    target.ok_or_else(|| missing("scalable target of service", service.name.as_str()))
}

fn policy<'a>(target: &'a ScalableTarget, name: &str) -> Result<&'a ScalingPolicy, Rejection> {
    target.policies.get(name).map(AsRef::as_ref).ok_or_else(|| missing("scaling policy", name))
}

fn invalid(message: impl Into<String>) -> Rejection {
    Rejection::Invalid { message: message.into() }
}

/// A service that can be scaled.
fn scalable<'a>(state: &'a State, key: &ServiceKey) -> Result<&'a Service, Rejection> {
    let service = state.service(key).ok_or(Rejection::ServiceNotFound)?;
    match service.status {
        ServiceStatus::Active => Ok(service),
        ServiceStatus::Draining | ServiceStatus::Inactive => Err(Rejection::ServiceNotActive),
    }
}

fn register(
    state: &State,
    key: &ServiceKey,
    change: &ScalableTargetChange,
    tags: &Tags,
    stamp: &mut Stamp,
) -> Decided {
    let service = scalable(state, key)?;
    if SchedulingStrategy::of(&service.spec.described) == SchedulingStrategy::Daemon {
        return Err(invalid("A service with the scheduling strategy DAEMON cannot be scaled."));
    }
    let known = state.scalable_target(key);
    let both = || invalid("MinCapacity and MaxCapacity are required for a new scalable target.");
    let before = known.map(|target| &target.spec);
    let min = change.min.or(before.map(|spec| spec.min)).ok_or_else(both)?;
    let max = change.max.or(before.map(|spec| spec.max)).ok_or_else(both)?;
    check_bounds(min, max)?;
    let spec = ScalableTargetSpec {
        min,
        max,
        suspended: change.suspended.or(before.map(|spec| spec.suspended)).unwrap_or_default(),
        role_arn: change.role_arn.clone().or_else(|| before.and_then(|spec| spec.role_arn.clone())),
    };
    let mut events = Vec::new();
    if before != Some(&spec) {
        let id = known.map_or_else(|| stamp.ids.bits(), |target| target.id);
        events.push(Event::Autoscaling(Happened::ScalableTargetRegistered {
            key: key.clone(),
            id,
            spec: spec.clone(),
        }));
    }
    let before = known.map(|target| target.tags.clone()).unwrap_or_default();
    if let Some(tags) = super::tag::changed(&before, tags, &[], TAGGED)? {
        events.push(Event::Autoscaling(Happened::ScalableTargetTagged { key: key.clone(), tags }));
    }
    events.extend(within(service, &spec, "", stamp));
    Ok(Decision::of(events))
}

fn check_bounds(min: u32, max: u32) -> Result<(), Rejection> {
    if min > max {
        return Err(invalid("Maximum capacity cannot be less than minimum capacity"));
    }
    if max > TASKS_PER_SERVICE {
        return Err(invalid(format!(
            "Maximum capacity cannot be more than {TASKS_PER_SERVICE}, the tasks of a service."
        )));
    }
    Ok(())
}

/// A service outside new bounds is brought within them.
fn within(service: &Service, spec: &ScalableTargetSpec, by: &str, stamp: &mut Stamp) -> Vec<Event> {
    let desired = service.spec.desired_count;
    if desired < spec.min {
        scaled(service, spec.min, format!("minimum capacity was set to {}{by}", spec.min), None, stamp)
    } else if desired > spec.max {
        scaled(service, spec.max, format!("maximum capacity was set to {}{by}", spec.max), None, stamp)
    } else {
        Vec::new()
    }
}

/// A service gets another desired count, and it is said why.
fn scaled(
    service: &Service,
    to: u32,
    cause: String,
    policy: Option<CoolingPolicy>,
    stamp: &mut Stamp,
) -> Vec<Event> {
    let key = service.key.clone();
    let mut spec = service.spec.clone();
    let from = std::mem::replace(&mut spec.desired_count, to);
    let activity = ScalingActivity { id: stamp.ids.bits(), at: stamp.now, from, to, cause, held: None };
    vec![
        Event::ServiceUpdated { key: key.clone(), spec, deployment: None },
        Event::Autoscaling(Happened::ScalingActivityRecorded {
            key,
            activity: Box::new(activity),
            policy: policy.map(Box::new),
        }),
    ]
}

fn put_policy(
    state: &State,
    key: &ServiceKey,
    name: &str,
    spec: &ScalingPolicySpec,
    stamp: &mut Stamp,
) -> Decided {
    let target = known(state, key)?;
    check_policy(spec)?;
    let before = target.policies.get(name);
    if before.is_some_and(|policy| policy.spec == *spec) {
        return Ok(Decision::nothing());
    }
    let count = target.policies.len();
    check_room(before.is_none(), count, POLICIES_PER_TARGET, "scaling policies of a scalable target")?;
    let id = before.map_or_else(|| stamp.ids.bits(), |policy| policy.id);
    Ok(one(Happened::ScalingPolicyPut {
        key: key.clone(),
        name: name.to_owned(),
        id,
        spec: Box::new(spec.clone()),
    }))
}

fn check_room(new: bool, count: usize, limit: usize, what: &str) -> Result<(), Rejection> {
    if new && count >= limit {
        return Err(Rejection::LimitExceeded { what: what.to_owned(), limit: limit as u64 });
    }
    Ok(())
}

fn check_policy(spec: &ScalingPolicySpec) -> Result<(), Rejection> {
    match spec {
        ScalingPolicySpec::TargetTracking(tracking) if tracking.target.get() <= 0.0 => {
            Err(invalid("The target value must be greater than 0."))
        }
        ScalingPolicySpec::TargetTracking(_) => Ok(()),
        ScalingPolicySpec::Step(step) if step.steps.is_empty() => {
            Err(invalid("There must be at least one step adjustment."))
        }
        ScalingPolicySpec::Step(step) if step.steps.len() > STEPS_PER_POLICY => {
            Err(Rejection::LimitExceeded {
                what: "step adjustments of a scaling policy".to_owned(),
                limit: STEPS_PER_POLICY as u64,
            })
        }
        ScalingPolicySpec::Step(step) => {
            let follows = step
                .steps
                .windows(2)
                .all(|pair| matches!(pair, [a, b] if a.upper.is_some() && a.upper <= b.lower));
            let whole = step.steps.iter().all(|one| match (one.lower, one.upper) {
                (Some(lower), Some(upper)) => lower < upper,
                _ => true,
            });
            if follows && whole { Ok(()) } else { Err(invalid("Step adjustment intervals can't overlap.")) }
        }
    }
}

fn put_action(
    state: &State,
    key: &ServiceKey,
    name: &str,
    (spec, next): (&ScheduledActionSpec, Option<Timestamp>),
    stamp: &mut Stamp,
) -> Decided {
    let target = known(state, key)?;
    let (min, max) = bounds(target, spec);
    check_bounds(min, max)?;
    let before = target.actions.get(name);
    let count = target.actions.len();
    check_room(before.is_none(), count, ACTIONS_PER_TARGET, "scheduled actions of a scalable target")?;
    let id = before.map_or_else(|| stamp.ids.bits(), |action| action.id);
    // What is put again at the same times is due when it was: the caller read a clock before it was decided.
    let same = |known: &ScheduledActionSpec| {
        let times =
            |spec: &ScheduledActionSpec| (spec.schedule.clone(), spec.timezone.clone(), spec.start, spec.end);
        times(known) == times(spec)
    };
    let next = before.filter(|action| same(&action.spec)).map_or(next, |action| action.next);
    let spec = Box::new(spec.clone());
    Ok(one(Happened::ScheduledActionPut { key: key.clone(), name: name.to_owned(), id, spec, next }))
}

/// The bounds once an action was taken. A bound that it does not name gives way to the other.
fn bounds(target: &ScalableTarget, action: &ScheduledActionSpec) -> (u32, u32) {
    let known = &target.spec;
    match (action.min, action.max) {
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, known.max.max(min)),
        (None, Some(max)) => (known.min.min(max), max),
        (None, None) => (known.min, known.max),
    }
}

const TAGGED: &str = "a scalable target";

fn tag(state: &State, key: &ServiceKey, add: &Tags, remove: &[String]) -> Decided {
    let tags = super::tag::changed(&known(state, key)?.tags, add, remove, TAGGED)?;
    let tagged = |tags| one(Happened::ScalableTargetTagged { key: key.clone(), tags });
    Ok(tags.map_or_else(Decision::nothing, tagged))
}

/// A target at the version that a plan saw, and its service.
fn seen<'a>(
    state: &'a State,
    key: &ServiceKey,
    version: u64,
) -> Result<(&'a ScalableTarget, &'a Service), Rejection> {
    let target = known(state, key)?;
    if target.version != version {
        return Err(stale(format!("scalable target of service {}", key.name)));
    }
    Ok((target, scalable(state, key)?))
}

fn scale(
    state: &State,
    target: &ScalableTarget,
    service: &Service,
    (from, to): (u32, u32),
    name: &str,
    cause: &str,
    stamp: &mut Stamp,
) -> Decided {
    let policy = policy(target, name)?;
    let spec = &target.spec;
    let key = &service.key;
    let within = (spec.min..=spec.max).contains(&to) || planted::is("scaled-beyond-the-maximum");
    if service.spec.desired_count != from || !within {
        return Err(stale(format!("desired count of service {}", key.name)));
    }
    if from == to {
        return Ok(Decision::nothing());
    }
    let more = to > from;
    if !more && (spec.suspended.scale_in || state.is_deploying(key)) {
        return Err(stale(format!("service {}, of which no task may be taken away now", key.name)));
    }
    if more && spec.suspended.scale_out {
        return Err(stale(format!("service {}, to which no task may be added now", key.name)));
    }
    let (scaled_out, scaled_in) = if more {
        // What was added during a cool-down counts for what is added next.
        let until = |out: &ScaledOut| out.at.plus(policy.spec.scale_out_cooldown());
        let cooling = policy.scaled_out.filter(|out| stamp.now < until(out));
        (Some(cooling.unwrap_or(ScaledOut { at: stamp.now, from })), None)
    } else {
        (None, Some(stamp.now))
    };
    let policy = CoolingPolicy { name: name.to_owned(), scaled_out, scaled_in };
    Ok(Decision::of(scaled(service, to, cause.to_owned(), Some(policy), stamp)))
}

fn hold(
    state: &State,
    key: &ServiceKey,
    version: u64,
    held: HeldScaling,
    cause: &str,
    stamp: &mut Stamp,
) -> Decided {
    let (_, service) = seen(state, key, version)?;
    let activities = state.scaling_activities(key);
    let mut since = activities.iter().take_while(|activity| activity.held.is_some());
    if since.any(|activity| activity.held == Some(held) && activity.cause == cause) {
        return Ok(Decision::nothing());
    }
    let desired = service.spec.desired_count;
    let activity = ScalingActivity {
        id: stamp.ids.bits(),
        at: stamp.now,
        from: desired,
        to: desired,
        cause: cause.to_owned(),
        held: Some(held),
    };
    Ok(one(Happened::ScalingActivityRecorded {
        key: key.clone(),
        activity: Box::new(activity),
        policy: None,
    }))
}

fn take_action(
    state: &State,
    key: &ServiceKey,
    name: &str,
    (due, next): (Timestamp, Option<Timestamp>),
    stamp: &mut Stamp,
) -> Decided {
    let target = known(state, key)?;
    let action = target.actions.get(name).ok_or_else(|| missing("scheduled action", name))?;
    if action.next != Some(due) || stamp.now < due || next.is_some_and(|next| next <= due) {
        return Err(stale(format!("scheduled action {name}")));
    }
    let taken = Happened::ScheduledActionTaken { key: key.clone(), name: name.to_owned(), next };
    let mut events = vec![Event::Autoscaling(taken)];
    if target.spec.suspended.scheduled {
        return Ok(Decision::of(events));
    }
    let (min, max) = bounds(target, &action.spec);
    let spec = ScalableTargetSpec { min, max, ..target.spec.clone() };
    if spec != target.spec {
        let id = target.id;
        events.push(Event::Autoscaling(Happened::ScalableTargetRegistered {
            key: key.clone(),
            id,
            spec: spec.clone(),
        }));
    }
    let by = format!(" by scheduled action {name}");
    events.extend(within(scalable(state, key)?, &spec, &by, stamp));
    Ok(Decision::of(events))
}
