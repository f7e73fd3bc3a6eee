//! What becomes of alarms by their users' word.

use trireme_state::Command;
use trireme_state::command::AlarmCommand;
use trireme_state::object::{AlarmKey, AlarmState};

use super::shape::{Empty, OfAlarms, SetState, check_length, required, text};
use super::{common, invalid};
use crate::companion::Context;
use crate::error::Result;

/// CloudWatch API: AlarmNames.
const NAMES: usize = 100;

/// The alarms that are named.
pub(super) fn keys(cx: &Context, names: &[String]) -> Result<Vec<AlarmKey>> {
    if names.len() > NAMES {
        return Err(invalid(format!("AlarmNames must have at most {NAMES} elements, not {}.", names.len())));
    }
    for name in names {
        check_length(name, "AlarmNames", 1..=255)?;
    }
    Ok(names.iter().map(|name| cx.alarm_key(name)).collect())
}

fn named(cx: &Context, request: OfAlarms) -> Result<Vec<AlarmKey>> {
    keys(cx, &required(request.alarm_names, "AlarmNames")?)
}

/// Names of alarms that are not there are passed over, as AWS does.
pub(super) async fn delete(cx: Context, request: OfAlarms) -> Result<Empty> {
    let keys = named(&cx, request)?;
    cx.write(Command::Alarm(Box::new(AlarmCommand::Delete { keys }))).await?;
    Ok(Empty {})
}

async fn switch_actions(cx: &Context, request: OfAlarms, enabled: bool) -> Result<Empty> {
    let keys = named(cx, request)?;
    cx.write(Command::Alarm(Box::new(AlarmCommand::SwitchActions { keys, enabled }))).await?;
    Ok(Empty {})
}

pub(super) async fn enable_actions(cx: Context, request: OfAlarms) -> Result<Empty> {
    switch_actions(&cx, request, true).await
}

pub(super) async fn disable_actions(cx: Context, request: OfAlarms) -> Result<Empty> {
    switch_actions(&cx, request, false).await
}

/// It stays so until the alarm is next evaluated.
pub(super) async fn set(cx: Context, request: SetState) -> Result<Empty> {
    let name = text(request.alarm_name, "AlarmName", 255)?;
    let value = required(request.state_value, "StateValue")?;
    let state = AlarmState::named(&value)
        .ok_or_else(|| invalid(format!("StateValue must be OK, ALARM or INSUFFICIENT_DATA, not {value}.")))?;
    let reason = required(request.state_reason, "StateReason")?;
    check_length(&reason, "StateReason", 0..=1_023)?;
    let reason_data = request.state_reason_data;
    if let Some(data) = &reason_data {
        check_length(data, "StateReasonData", 0..=4_000)?;
        if serde_json::from_str::<serde::de::IgnoredAny>(data).is_err() {
            return Err(common("InvalidFormatFault", "StateReasonData must be JSON."));
        }
    }
    let key = cx.alarm_key(&name);
    let command = AlarmCommand::SetState { key, version: None, state, reason, reason_data };
    cx.write(Command::Alarm(Box::new(command))).await?;
    Ok(Empty {})
}
