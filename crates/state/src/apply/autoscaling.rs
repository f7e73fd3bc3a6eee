//! What happens to scalable targets.

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_types::Timestamp;

use crate::State;
use crate::event::AutoscalingEvent;
use crate::limits::ACTIVITIES_PER_SERVICE;
use crate::object::{
    CoolingPolicy, ScalableTarget, ScalableTargetSpec, ScalingActivity, ScalingPolicy, ScheduledAction,
    ServiceKey, Tags,
};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &AutoscalingEvent) {
    match event {
        AutoscalingEvent::ScalableTargetRegistered { key, id, spec } => registered(state, at, key, *id, spec),
        AutoscalingEvent::ScalableTargetDeregistered { key } => {
            state.scalable_targets.remove(key);
        }
        AutoscalingEvent::ScalableTargetTagged { key, tags } => {
            with(state, key, |target| target.tags.clone_from(tags));
        }
        AutoscalingEvent::ScalingPolicyPut { key, name, id, spec } => with(state, key, |target| {
            let created_at = target.policies.get(name).map_or(at, |policy| policy.created_at);
            let spec = (**spec).clone();
            let policy = ScalingPolicy { id: *id, spec, created_at, scaled_out: None, scaled_in: None };
            target.policies.insert(name.clone(), Arc::new(policy));
        }),
        AutoscalingEvent::ScalingPolicyDeleted { key, name } => with(state, key, |target| {
            target.policies.remove(name);
        }),
        AutoscalingEvent::ScheduledActionPut { key, name, id, spec, next } => with(state, key, |target| {
            let created_at = target.actions.get(name).map_or(at, |action| action.created_at);
            let action = ScheduledAction { id: *id, spec: (**spec).clone(), created_at, next: *next };
            target.actions.insert(name.clone(), Arc::new(action));
        }),
        AutoscalingEvent::ScheduledActionDeleted { key, name } => with(state, key, |target| {
            target.actions.remove(name);
        }),
        AutoscalingEvent::ScheduledActionTaken { key, name, next } => with(state, key, |target| {
            if let Some(action) = target.actions.get_mut(name) {
                Arc::make_mut(action).next = *next;
            }
        }),
        AutoscalingEvent::ScalingActivityRecorded { key, activity, policy } => {
            recorded(state, key, activity, policy.as_deref());
        }
    }
}

fn registered(state: &mut State, at: Timestamp, key: &ServiceKey, id: u128, spec: &ScalableTargetSpec) {
    let known = state.scalable_targets.get(key).cloned();
    let target = known.unwrap_or_else(|| {
        Arc::new(ScalableTarget {
            id,
            spec: spec.clone(),
            tags: Tags::new(),
            created_at: at,
            policies: BTreeMap::new(),
            actions: BTreeMap::new(),
            version: 0,
        })
    });
    state.scalable_targets.insert(key.clone(), target);
    with(state, key, |target| target.spec = spec.clone());
}

fn recorded(state: &mut State, key: &ServiceKey, activity: &ScalingActivity, policy: Option<&CoolingPolicy>) {
    let activities = Arc::make_mut(state.scaling_activities.entry(key.clone()).or_default());
    activities.push_front(activity.clone());
    activities.truncate(ACTIVITIES_PER_SERVICE);
    with(state, key, |target| {
        let Some(CoolingPolicy { name, scaled_out, scaled_in }) = policy else { return };
        if let Some(policy) = target.policies.get_mut(name) {
            let policy = Arc::make_mut(policy);
            policy.scaled_out = *scaled_out;
            policy.scaled_in = *scaled_in;
        }
    });
}

/// A service is to go, and its target with it.
pub(super) fn service_is_gone(state: &mut State, key: &ServiceKey) {
    state.scalable_targets.remove(key);
}

/// It is gone, and what was done to it is of no interest any more.
pub(super) fn service_is_inactive(state: &mut State, key: &ServiceKey) {
    state.scaling_activities.remove(key);
}

fn with(state: &mut State, key: &ServiceKey, change: impl FnOnce(&mut ScalableTarget)) {
    if let Some(target) = state.scalable_targets.get_mut(key) {
        let target = Arc::make_mut(target);
        change(target);
        target.version = target.version.saturating_add(1);
    }
}
