//! Alarms: configured, moved from state to state, switched, tagged, deleted.

use std::collections::BTreeSet;

use super::{Decided, Decision, stale};
use crate::command::AlarmCommand;
use crate::event::AlarmEvent;
use crate::limits::ALARMS;
use crate::object::{Alarm, AlarmKey, AlarmSpec, Tags};
use crate::{Event, Rejection, State};

pub(super) fn decide(state: &State, command: &AlarmCommand) -> Decided {
    match command {
        AlarmCommand::Put { key, spec, tags } => put(state, key, spec, tags),
        AlarmCommand::Delete { keys } => {
            let there = there(state, keys);
            let deleted = there.map(|alarm| AlarmEvent::AlarmDeleted { key: alarm.key.clone() });
            Ok(Decision::of(deleted.map(Event::Alarm).collect()))
        }
        AlarmCommand::SetState { key, version, state: value, reason, reason_data } => {
            let alarm = known(state, key)?;
            if version.is_some_and(|version| version != alarm.version) {
                return Err(stale(format!("alarm {}", key.name)));
            }
            let status = &alarm.status;
            if status.value == *value && status.reason == *reason && status.reason_data == *reason_data {
                return Ok(Decision::nothing());
            }
            Ok(Decision::one(Event::Alarm(AlarmEvent::AlarmStateChanged {
                key: key.clone(),
                state: *value,
                reason: reason.clone(),
                reason_data: reason_data.clone(),
            })))
        }
        AlarmCommand::SwitchActions { keys, enabled } => {
            let others = there(state, keys).filter(|alarm| alarm.spec.actions_enabled != *enabled);
            let switched = others
                .map(|alarm| AlarmEvent::AlarmActionsSwitched { key: alarm.key.clone(), enabled: *enabled });
            Ok(Decision::of(switched.map(Event::Alarm).collect()))
        }
        AlarmCommand::Tag { key, add, remove } => tag(state, key, add, remove),
    }
}

fn put(state: &State, key: &AlarmKey, spec: &AlarmSpec, tags: &Tags) -> Decided {
    match state.alarm(key) {
        Some(alarm) if alarm.spec == *spec => return Ok(Decision::nothing()),
        Some(_) => {}
        None if state.alarms_of(&key.scope).count() >= ALARMS => {
            return Err(Rejection::LimitExceeded { what: "alarms".to_owned(), limit: ALARMS as u64 });
        }
        None => super::tag::check_all(tags, "an alarm")?,
    }
    Ok(Decision::one(Event::Alarm(AlarmEvent::AlarmConfigured {
        key: key.clone(),
        spec: Box::new(spec.clone()),
        tags: tags.clone(),
    })))
}

fn tag(state: &State, key: &AlarmKey, add: &Tags, remove: &[String]) -> Decided {
    let tags = super::tag::changed(&known(state, key)?.tags, add, remove, "an alarm")?;
    let tagged = |tags| Decision::one(Event::Alarm(AlarmEvent::AlarmTagged { key: key.clone(), tags }));
    Ok(tags.map_or_else(Decision::nothing, tagged))
}

fn known<'a>(state: &'a State, key: &AlarmKey) -> Result<&'a Alarm, Rejection> {
    state.alarm(key).map(std::convert::AsRef::as_ref).ok_or(Rejection::AlarmNotFound)
}

/// Each of them that is there, once.
fn there<'a>(state: &'a State, keys: &'a [AlarmKey]) -> impl Iterator<Item = &'a Alarm> {
    let keys: BTreeSet<&AlarmKey> = keys.iter().collect();
    keys.into_iter().filter_map(|key| state.alarm(key)).map(std::convert::AsRef::as_ref)
}
