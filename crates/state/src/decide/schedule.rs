//! Schedules, their groups and rules: made, changed, deleted. How they fire is `decide/fire.rs`.

use super::{Decided, Decision, delivery, fire, stale};
use crate::command::ScheduleCommand;
use crate::event::ScheduleEvent;
use crate::limits::{RULES, SCHEDULE_GROUPS, SCHEDULES, TAGS_PER_RESOURCE, TARGET_BYTES, TARGETS_PER_RULE};
use crate::object::{
    Due, FiringPolicy, RuleKey, RuleSpec, ScheduleGroupKey, ScheduleKey, ScheduleSpec, Tags, Target, Trigger,
};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn decide(state: &State, command: &ScheduleCommand, stamp: &mut Stamp) -> Decided {
    match command {
        ScheduleCommand::CreateGroup { key, tags } => create_group(state, key, tags),
        ScheduleCommand::DeleteGroup { key } => delete_group(state, key),
        ScheduleCommand::TagGroup { key, add, remove } => tag_group(state, key, add, remove),
        ScheduleCommand::Create { key, spec, next } => create(state, key, spec, *next),
        ScheduleCommand::Update { key, spec, next } => {
            known_schedule(state, key)?;
            put(state, key, spec, *next)
        }
        ScheduleCommand::Delete { key } => {
            known_schedule(state, key)?;
            Ok(one(ScheduleEvent::ScheduleDeleted { key: key.clone() }))
        }
        ScheduleCommand::PutRule { key, spec, next, tags, seen } => {
            if seen.is_some() && state.rule(key).map(|rule| rule.version) != *seen {
                return Err(stale(format!("rule {}", key.name)));
            }
            put_rule(state, key, spec, *next, tags)
        }
        ScheduleCommand::DeleteRule { key } => delete_rule(state, key),
        ScheduleCommand::TagRule { key, add, remove } => tag_rule(state, key, add, remove),
        ScheduleCommand::ChangeTargets { key, put, remove } => change_targets(state, key, put, remove),
        ScheduleCommand::Fire(step) => fire::fire(state, step, stamp),
        ScheduleCommand::Deliver(command) => delivery::decide(state, command, stamp),
    }
}

fn one(event: ScheduleEvent) -> Decision {
    Decision::one(Event::Schedule(event))
}

fn missing(what: &str, name: &str) -> Rejection {
    Rejection::ScheduleNotFound { what: format!("{what} {name}") }
}

fn there(what: &str, name: &str) -> Rejection {
    Rejection::ScheduleExists { what: format!("{what} {name}") }
}

fn at_most(count: usize, what: &str, limit: usize) -> Result<(), Rejection> {
    if count <= limit {
        return Ok(());
    }
    Err(Rejection::LimitExceeded { what: what.to_owned(), limit: limit as u64 })
}

fn checked(tags: &Tags) -> Result<(), Rejection> {
    at_most(tags.len(), "tags of a resource", TAGS_PER_RESOURCE)?;
    FiringPolicy::of(tags).map(drop).map_err(|message| Rejection::Invalid { message })
}

fn changed(before: &Tags, add: &Tags, remove: &[String]) -> Result<Tags, Rejection> {
    let mut tags = before.clone();
    tags.retain(|name, _| !remove.contains(name));
    tags.extend(add.clone());
    checked(&tags)?;
    Ok(tags)
}

fn create_group(state: &State, key: &ScheduleGroupKey, tags: &Tags) -> Decided {
    if key.is_default() || state.schedule_group(key).is_some() {
        return Err(there("schedule group", &key.name));
    }
    let count = state.schedule_groups_of(&key.scope).count().saturating_add(1);
    at_most(count, "schedule groups", SCHEDULE_GROUPS)?;
    checked(tags)?;
    Ok(one(ScheduleEvent::ScheduleGroupCreated { key: key.clone(), tags: tags.clone() }))
}

fn delete_group(state: &State, key: &ScheduleGroupKey) -> Decided {
    if key.is_default() {
        return Err(Rejection::Invalid { message: "the default schedule group stays".to_owned() });
    }
    state.schedule_group(key).ok_or_else(|| missing("schedule group", &key.name))?;
    Ok(one(ScheduleEvent::ScheduleGroupDeleted { key: key.clone() }))
}

/// The default group is written down when it gets tags.
fn tag_group(state: &State, key: &ScheduleGroupKey, add: &Tags, remove: &[String]) -> Decided {
    let Some(group) = state.schedule_group(key) else {
        if !key.is_default() {
            return Err(missing("schedule group", &key.name));
        }
        let tags = changed(&Tags::new(), add, remove)?;
        let made = ScheduleEvent::ScheduleGroupCreated { key: key.clone(), tags };
        return Ok(if add.is_empty() { Decision::nothing() } else { one(made) });
    };
    let tags = changed(&group.tags, add, remove)?;
    if tags == group.tags {
        return Ok(Decision::nothing());
    }
    Ok(one(ScheduleEvent::ScheduleGroupTagged { key: key.clone(), tags }))
}

fn known_schedule(state: &State, key: &ScheduleKey) -> Result<(), Rejection> {
    state.schedule(key).map(drop).ok_or_else(|| missing("schedule", &key.name))
}

fn create(state: &State, key: &ScheduleKey, spec: &ScheduleSpec, next: Option<Due>) -> Decided {
    if !key.group.is_default() && state.schedule_group(&key.group).is_none() {
        return Err(missing("schedule group", &key.group.name));
    }
    if state.schedule(key).is_some() {
        return Err(there("schedule", &key.name));
    }
    at_most(state.schedules.len().saturating_add(1), "schedules", SCHEDULES)?;
    put(state, key, spec, next)
}

/// One whose times stay stands where it stood: what it has fired since the asker looked, it does not fire again.
fn put(state: &State, key: &ScheduleKey, spec: &ScheduleSpec, next: Option<Due>) -> Decided {
    at_most(spec.target.described.len(), "bytes of a target", TARGET_BYTES)?;
    let stays = |known: &ScheduleSpec| known.enabled && spec.enabled && known.same_times(spec);
    let next = match state.schedule(key) {
        Some(known) if stays(&known.spec) => state.firing(&Trigger::Schedule(key.clone())).next,
        _ => next,
    };
    let next = next.filter(|_| spec.enabled);
    Ok(one(ScheduleEvent::SchedulePut { key: key.clone(), spec: Box::new(spec.clone()), next }))
}

/// As [`put`]: one whose times stay stands where it stood.
fn put_rule(state: &State, key: &RuleKey, spec: &RuleSpec, next: Option<Due>, tags: &Tags) -> Decided {
    let stays = |known: &RuleSpec| {
        let same = (&known.expression, known.anchor) == (&spec.expression, spec.anchor);
        known.enabled && spec.enabled && same
    };
    let next = match state.rule(key) {
        Some(known) if stays(&known.spec) => state.firing(&Trigger::Rule(key.clone())).next,
        _ => next,
    };
    let next = next.filter(|_| spec.enabled);
    let put = ScheduleEvent::RulePut { key: key.clone(), spec: Box::new(spec.clone()), next };
    if state.rule(key).is_some() {
        return Ok(one(put));
    }
    at_most(state.rules_of(&key.scope).count().saturating_add(1), "rules", RULES)?;
    checked(tags)?;
    let mut events = vec![Event::Schedule(put)];
    if !tags.is_empty() {
        events.push(Event::Schedule(ScheduleEvent::RuleTagged { key: key.clone(), tags: tags.clone() }));
    }
    Ok(Decision::of(events))
}

/// EventBridge API: DeleteRule: one that is not there is success.
fn delete_rule(state: &State, key: &RuleKey) -> Decided {
    match state.rule(key) {
        None => Ok(Decision::nothing()),
        Some(rule) if !rule.targets.is_empty() => {
            Err(Rejection::Invalid { message: "Rule can't be deleted since it has targets.".to_owned() })
        }
        Some(_) => Ok(one(ScheduleEvent::RuleDeleted { key: key.clone() })),
    }
}

fn tag_rule(state: &State, key: &RuleKey, add: &Tags, remove: &[String]) -> Decided {
    let rule = state.rule(key).ok_or_else(|| missing("rule", &key.name))?;
    let tags = changed(&rule.tags, add, remove)?;
    if tags == rule.tags {
        return Ok(Decision::nothing());
    }
    Ok(one(ScheduleEvent::RuleTagged { key: key.clone(), tags }))
}

fn change_targets(state: &State, key: &RuleKey, put: &[Target], remove: &[String]) -> Decided {
    let rule = state.rule(key).ok_or_else(|| missing("rule", &key.name))?;
    let goes = |target: &Target| remove.contains(&target.id) || put.iter().any(|new| new.id == target.id);
    let mut targets: Vec<Target> = rule.targets.iter().filter(|target| !goes(target)).cloned().collect();
    targets.extend(put.iter().cloned());
    targets.sort_by(|a, b| a.id.cmp(&b.id));
    at_most(targets.len(), "targets of a rule", TARGETS_PER_RULE)?;
    let bytes = targets.iter().map(|target| target.described.len()).fold(0_usize, usize::saturating_add);
    at_most(bytes, "bytes of a rule's targets", TARGET_BYTES)?;
    if targets == rule.targets {
        return Ok(Decision::nothing());
    }
    Ok(one(ScheduleEvent::RuleTargetsChanged { key: key.clone(), targets }))
}
