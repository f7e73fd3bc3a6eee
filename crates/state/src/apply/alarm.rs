//! What happens to alarms.

use std::sync::Arc;

use imbl::Vector;
use trireme_types::{DeploymentId, Timestamp};

use crate::State;
use crate::event::AlarmEvent;
use crate::limits::ALARM_HISTORY;
use crate::object::{
    Alarm, AlarmHappening, AlarmKey, AlarmNote, AlarmSpec, AlarmState, AlarmStatus, ServiceKey, Tags,
};

/// What an alarm says of itself that nobody has looked at yet.
const UNCHECKED: &str = "Unchecked: Initial alarm creation";

pub(super) fn happened(state: &mut State, at: Timestamp, event: &AlarmEvent) {
    match event {
        AlarmEvent::AlarmConfigured { key, spec, tags } => configured(state, at, key, spec, tags),
        AlarmEvent::AlarmDeleted { key } => {
            state.alarms.remove(key);
        }
        AlarmEvent::AlarmStateChanged { key, state: to, reason, reason_data } => {
            with(state, key, |alarm| {
                let from = alarm.status.value;
                if from != *to {
                    let what = AlarmHappening::Moved { from, to: *to, reason: reason.clone() };
                    note(alarm, at, what);
                    alarm.status.transitioned_at = at;
                }
                alarm.status.value = *to;
                alarm.status.reason.clone_from(reason);
                alarm.status.reason_data.clone_from(reason_data);
                alarm.status.updated_at = at;
            });
        }
        AlarmEvent::AlarmActionsSwitched { key, enabled } => with(state, key, |alarm| {
            alarm.spec.actions_enabled = *enabled;
            alarm.configured_at = at;
            note(alarm, at, AlarmHappening::Configured);
        }),
        AlarmEvent::AlarmTagged { key, tags } => with(state, key, |alarm| alarm.tags.clone_from(tags)),
        AlarmEvent::DeploymentAlarmsTriggered { key, deployment, alarms } => {
            let all = state.triggered_alarms.entry(key.clone()).or_default();
            Arc::make_mut(all).insert(*deployment, alarms.clone());
        }
    }
}

/// A new one has too little to say; one that was there stays in its state until it is looked at.
fn configured(state: &mut State, at: Timestamp, key: &AlarmKey, spec: &AlarmSpec, tags: &Tags) {
    if state.alarms.contains_key(key) {
        with(state, key, |alarm| {
            alarm.spec = spec.clone();
            alarm.configured_at = at;
            note(alarm, at, AlarmHappening::Configured);
        });
        return;
    }
    let status = AlarmStatus {
        value: AlarmState::InsufficientData,
        reason: UNCHECKED.to_owned(),
        reason_data: None,
        updated_at: at,
        transitioned_at: at,
    };
    let created = Alarm {
        key: key.clone(),
        spec: spec.clone(),
        status,
        configured_at: at,
        tags: tags.clone(),
        history: Vector::unit(AlarmNote { at, what: AlarmHappening::Created }),
        version: 1,
    };
    state.alarms.insert(key.clone(), Arc::new(created));
}

fn note(alarm: &mut Alarm, at: Timestamp, what: AlarmHappening) {
    alarm.history.push_front(AlarmNote { at, what });
    alarm.history.truncate(ALARM_HISTORY);
}

fn with(state: &mut State, key: &AlarmKey, change: impl FnOnce(&mut Alarm)) {
    if let Some(alarm) = state.alarms.get_mut(key) {
        let alarm = Arc::make_mut(alarm);
        change(alarm);
        alarm.version = alarm.version.saturating_add(1);
    }
}

/// What alarms said of deployments goes with the deployments' records.
pub(super) fn forget(state: &mut State, key: &ServiceKey, keeps: impl Fn(DeploymentId) -> bool) {
    let Some(all) = state.triggered_alarms.get(key) else { return };
    if all.keys().all(|id| keeps(*id)) {
        return;
    }
    let mut all = (**all).clone();
    all.retain(|id, _| keeps(*id));
    if all.is_empty() {
        state.triggered_alarms.remove(key);
    } else {
        state.triggered_alarms.insert(key.clone(), Arc::new(all));
    }
}
