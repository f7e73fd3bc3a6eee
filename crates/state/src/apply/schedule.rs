//! What happens to schedules, their groups and rules, and when they fire.

use std::sync::Arc;

use trireme_types::Timestamp;

use super::delivery;
use crate::State;
use crate::event::ScheduleEvent;
use crate::limits::TASKS_PER_FIRING;
use crate::object::{
    Due, Firing, Pending, Rule, RuleKey, Schedule, ScheduleGroup, ScheduleGroupKey, ScheduleKey, Trigger,
};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &ScheduleEvent) {
    match event {
        ScheduleEvent::ScheduleGroupCreated { key, tags } => {
            let group =
                ScheduleGroup { key: key.clone(), created_at: at, changed_at: at, tags: tags.clone() };
            state.schedule_groups.insert(key.clone(), Arc::new(group));
        }
        ScheduleEvent::ScheduleGroupDeleted { key } => group_deleted(state, key),
        ScheduleEvent::ScheduleGroupTagged { key, tags } => {
            if let Some(group) = state.schedule_groups.get_mut(key).map(Arc::make_mut) {
                group.tags.clone_from(tags);
                group.changed_at = at;
            }
        }
        ScheduleEvent::SchedulePut { key, spec, next } => {
            let known = state.schedules.get(key);
            let schedule = Schedule {
                key: key.clone(),
                created_at: known.map_or(at, |known| known.created_at),
                changed_at: at,
                version: known.map_or(0, |known| known.version).saturating_add(1),
                spec: (**spec).clone(),
            };
            state.schedules.insert(key.clone(), Arc::new(schedule));
            stands_at(state, Trigger::Schedule(key.clone()), *next);
        }
        ScheduleEvent::ScheduleDeleted { key } => {
            state.schedules.remove(key);
            forget(state, &Trigger::Schedule(key.clone()));
        }
        ScheduleEvent::RulePut { .. }
        | ScheduleEvent::RuleDeleted { .. }
        | ScheduleEvent::RuleTagged { .. }
        | ScheduleEvent::RuleTargetsChanged { .. } => rule(state, at, event),
        ScheduleEvent::TriggerFired { trigger, next, .. }
        | ScheduleEvent::RunsMissed { trigger, next, .. } => {
            stands_at(state, trigger.clone(), *next);
        }
        ScheduleEvent::RunStarted { .. }
        | ScheduleEvent::RunDeferred { .. }
        | ScheduleEvent::RunFailed { .. } => ran(state, event),
    }
}

fn group_deleted(state: &mut State, key: &ScheduleGroupKey) {
    state.schedule_groups.remove(key);
    let schedules: Vec<ScheduleKey> = state.schedules_of(key).map(|schedule| schedule.key.clone()).collect();
    for schedule in schedules {
        state.schedules.remove(&schedule);
        forget(state, &Trigger::Schedule(schedule));
    }
}

fn rule(state: &mut State, at: Timestamp, event: &ScheduleEvent) {
    match event {
        ScheduleEvent::RulePut { key, spec, next } => {
            let fresh = || Rule {
                key: key.clone(),
                created_at: at,
                version: 0,
                spec: (**spec).clone(),
                targets: Vec::new(),
                tags: crate::object::Tags::new(),
            };
            let known = state.rules.entry(key.clone()).or_insert_with(|| Arc::new(fresh()));
            let rule = Arc::make_mut(known);
            rule.spec = (**spec).clone();
            rule.version = rule.version.saturating_add(1);
            stands_at(state, Trigger::Rule(key.clone()), *next);
            delivery::follow(state, key);
        }
        ScheduleEvent::RuleDeleted { key } => {
            state.rules.remove(key);
            forget(state, &Trigger::Rule(key.clone()));
            delivery::follow(state, key);
        }
        ScheduleEvent::RuleTagged { key, tags } => with_rule(state, key, |rule| rule.tags.clone_from(tags)),
        ScheduleEvent::RuleTargetsChanged { key, targets } => {
            with_rule(state, key, |rule| {
                rule.targets.clone_from(targets);
                rule.version = rule.version.saturating_add(1);
            });
            delivery::follow(state, key);
        }
        _ => {}
    }
}

fn with_rule(state: &mut State, key: &RuleKey, change: impl FnOnce(&mut Rule)) {
    if let Some(rule) = state.rules.get_mut(key) {
        change(Arc::make_mut(rule));
    }
}

/// A run's target has come to something.
fn ran(state: &mut State, event: &ScheduleEvent) {
    match event {
        ScheduleEvent::RunStarted { trigger, due, target, tasks } => {
            let mut known = state.firing(trigger).tasks.clone();
            known.retain(|(_, id)| state.is_under_way(*id));
            known.extend(tasks.iter().map(|id| (*due, *id)));
            let beyond = known.len().saturating_sub(TASKS_PER_FIRING);
            known.drain(..beyond);
            with_firing(state, trigger, |firing| {
                firing.tasks = known;
                firing.pending.retain(|pending| pending.due != *due || pending.target != *target);
            });
        }
        ScheduleEvent::RunDeferred { trigger, due, target, tries, again_at, reason } => {
            with_firing(state, trigger, |firing| {
                firing.pending.retain(|pending| pending.due != *due || pending.target != *target);
                firing.pending.push(Pending {
                    due: *due,
                    target: target.clone(),
                    tries: *tries,
                    again_at: *again_at,
                    reason: reason.clone(),
                });
                firing.pending.sort_by(|a, b| (a.due, &a.target).cmp(&(b.due, &b.target)));
            });
        }
        ScheduleEvent::RunFailed { trigger, due, target, .. } => with_firing(state, trigger, |firing| {
            firing.pending.retain(|pending| pending.due != *due || pending.target != *target);
        }),
        _ => {}
    }
}

fn stands_at(state: &mut State, trigger: Trigger, next: Option<Due>) {
    if !state.firings.contains_key(&trigger) {
        state.firings.insert(trigger.clone(), Arc::default());
    }
    with_firing(state, &trigger, |firing| firing.next = next);
}

fn with_firing(state: &mut State, trigger: &Trigger, change: impl FnOnce(&mut Firing)) {
    let Some(firing) = state.firings.get_mut(trigger) else { return };
    state.index.due.remove(trigger, firing);
    change(Arc::make_mut(firing));
    state.index.due.add(trigger, firing);
}

fn forget(state: &mut State, trigger: &Trigger) {
    if let Some(firing) = state.firings.remove(trigger) {
        state.index.due.remove(trigger, &firing);
    }
}
