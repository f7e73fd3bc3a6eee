//! What happened to alarms that are there.

use serde_json::json;
use trireme_state::object::{Alarm, AlarmHappening, AlarmNote};

use super::shape::{DescribeHistory, History, HistoryItem};
use super::{invalid, page};
use crate::companion::Context;
use crate::error::Result;

const PAGE: usize = 100;
const LIST: &str = "DescribeAlarmHistory";

/// CloudWatch API: HistoryItemType.
const fn kind(what: &AlarmHappening) -> &'static str {
    match what {
        AlarmHappening::Created | AlarmHappening::Configured => "ConfigurationUpdate",
        AlarmHappening::Moved { .. } => "StateUpdate",
    }
}

fn item(alarm: &Alarm, note: &AlarmNote) -> HistoryItem {
    let name = &alarm.key.name;
    let (summary, data) = match &note.what {
        AlarmHappening::Created => {
            (format!("Alarm \"{name}\" created"), json!({"version": "1.0", "type": "Create"}))
        }
        AlarmHappening::Configured => {
            (format!("Alarm \"{name}\" updated"), json!({"version": "1.0", "type": "Update"}))
        }
        AlarmHappening::Moved { from, to, reason } => (
            format!("Alarm updated from {} to {}", from.name(), to.name()),
            json!({
                "version": "1.0",
                "oldState": {"stateValue": from.name()},
                "newState": {"stateValue": to.name(), "stateReason": reason},
            }),
        ),
    };
    HistoryItem {
        alarm_name: Some(name.clone()),
        alarm_type: Some("MetricAlarm"),
        timestamp: Some(note.at.epoch_seconds()),
        history_item_type: Some(kind(&note.what)),
        history_summary: Some(summary.chars().take(255).collect()),
        history_data: Some(data.to_string()),
    }
}

/// Where an item is among all, in the order of time.
fn place(alarm: &Alarm, note: &AlarmNote) -> String {
    format!("{:020}/{}/{}", note.at.millis(), alarm.key.name, kind(&note.what))
}

pub(super) async fn describe(cx: Context, request: DescribeHistory) -> Result<History> {
    let descending = match request.scan_by.as_deref() {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => {
            return Err(invalid(format!(
                "ScanBy must be TimestampDescending or TimestampAscending, not {other}."
            )));
        }
    };
    let size = page::size(request.max_records, PAGE)?;
    let after = page::after(LIST, request.next_token.as_deref())?;
    let types = request.alarm_types.unwrap_or_default();
    let of_metrics = types.is_empty() || types.iter().any(|one| one == "MetricAlarm");
    let view = cx.read().await?;
    let named = |alarm: &Alarm| request.alarm_name.as_ref().is_none_or(|name| *name == alarm.key.name);
    let wanted = |note: &AlarmNote| {
        of_metrics
            && request.history_item_type.as_deref().is_none_or(|wanted| wanted == kind(&note.what))
            && request.start_date.is_none_or(|start| note.at >= start.0)
            && request.end_date.is_none_or(|end| note.at <= end.0)
    };
    let alarms = view.alarms_of(cx.scope()).filter(|alarm| named(alarm));
    let notes =
        alarms.flat_map(|alarm| alarm.history.iter().map(move |note| (place(alarm, note), alarm, note)));
    let mut found: Vec<_> = notes.filter(|(_, _, note)| wanted(note)).collect();
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    if descending {
        found.reverse();
    }
    let beyond = |place: &String| match &after {
        None => true,
        Some(after) if descending => place < after,
        Some(after) => place > after,
    };
    let mut rest = found.into_iter().filter(|(place, ..)| beyond(place));
    let page: Vec<_> = rest.by_ref().take(size).collect();
    let more = rest.next().is_some();
    let next_token = page.last().filter(|_| more).map(|(place, ..)| page::token(LIST, place));
    let items = page.iter().map(|(_, alarm, note)| item(alarm, note)).collect();
    Ok(History { alarm_history_items: Some(items), next_token })
}
