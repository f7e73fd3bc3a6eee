//! Events of clients.

use trireme_rpc::logs::answer::Answer as Kind;
use trireme_rpc::logs::question::Question as Asked;
use trireme_rpc::logs::{Append, Record};
use trireme_state::object::LogGroup;

use super::shape::{InputEvent, Put, PutEvents, Rejected, check_stream_name, required};
use super::{Context, ask, invalid, no_stream, unavailable};
use crate::error::Result;

/// logs API: PutLogEvents.
const EVENTS: usize = 10_000;
const BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const HOUR: u64 = 3_600 * 1_000;
const SPAN: u64 = 24 * HOUR;
const TOO_NEW: u64 = 2 * HOUR;
const TOO_OLD: u64 = 14 * 24 * HOUR;

/// Durable on one agent's disk when it is answered. A repeat whose first answer got lost may be there twice.
pub(super) async fn put(cx: Context, request: PutEvents) -> Result<Put> {
    let name = required(request.log_stream_name, "logStreamName")?;
    check_stream_name(&name)?;
    let events = checked(required(request.log_events, "logEvents")?)?;
    let state = cx.read().await?;
    let group = cx.log_group(&state, Some(&required(request.log_group_name, "logGroupName")?), None)?;
    let now = cx.call.api.clock.now().millis();
    let (kept, rejected) = judged(events, &group, now);
    let asked = Asked::Append(Append { stream: name.clone(), records: kept });
    // Most likely it is where new streams of this name go.
    let first = ask::preferred(&state, &group, &name).first().copied();
    let mut taken = None;
    if let Some(instance) = first {
        taken = took(ask::one(&cx, instance, &group, &asked).await);
    }
    if taken != Some(true) {
        let (place, answers) = ask::place_of(&cx, &state, &group, &name).await;
        match place {
            Some(instance) => taken = took(ask::one(&cx, instance, &group, &asked).await),
            None => {
                answers.sure()?;
                return Err(no_stream());
            }
        }
    }
    match taken {
        Some(true) => {
            Ok(Put { next_sequence_token: Some(now.to_string()), rejected_log_events_info: rejected })
        }
        Some(false) => Err(no_stream()),
        None => Err(unavailable(
            "The container instance that keeps the stream cannot be reached now. Retry.".to_owned(),
        )),
    }
}

/// Whether the stream is there; nothing when nobody answered.
fn took(answer: Option<Kind>) -> Option<bool> {
    match answer {
        Some(Kind::Done(done)) => Some(done.known),
        _ => None,
    }
}

fn checked(events: Vec<InputEvent>) -> Result<Vec<Record>> {
    if events.is_empty() || events.len() > EVENTS {
        return Err(invalid(format!(
            "1 validation error detected: Value of length {} at 'logEvents' failed to satisfy constraint: Member must have \
             length between 1 and {EVENTS}",
            events.len()
        )));
    }
    let mut records = Vec::with_capacity(events.len());
    let mut bytes = 0;
    for (index, event) in events.into_iter().enumerate() {
        let member = |name: &str| format!("logEvents.{}.member.{name}", index + 1);
        let at = required(event.timestamp, &member("timestamp"))?;
        let message = required(event.message, &member("message"))?;
        if message.is_empty() {
            return Err(invalid("Log event message must not be empty."));
        }
        bytes += message.len() + EVENT_OVERHEAD;
        let at = u64::try_from(at).map_err(|_| invalid("Log event timestamps must not be negative."))?;
        records.push(Record { at, message, ..Record::default() });
    }
    if bytes > BATCH_BYTES {
        return Err(invalid(format!("Upload too large: {bytes} bytes exceeds limit of {BATCH_BYTES}")));
    }
    if !records.is_sorted_by_key(|record| record.at) {
        return Err(invalid("Log events in a single PutLogEvents request must be in chronological order."));
    }
    let span = records.last().map_or(0, |last| last.at) - records.first().map_or(0, |first| first.at);
    if span > SPAN {
        return Err(invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(records)
}

/// Without those that are too old or too new.
fn judged(records: Vec<Record>, group: &LogGroup, now: u64) -> (Vec<Record>, Option<Rejected>) {
    let expired = group.retention_days.map_or(0, |days| now.saturating_sub(u64::from(days) * 24 * HOUR));
    let old = now.saturating_sub(TOO_OLD);
    let count = |before: u64| records.iter().filter(|record| record.at < before).count();
    let (expired, old) = (count(expired), count(old));
    let new = records.iter().position(|record| record.at > now + TOO_NEW);
    let some = |count: usize| (count > 0).then_some(count);
    let rejected = Rejected {
        too_new_log_event_start_index: new,
        too_old_log_event_end_index: some(old),
        expired_log_event_end_index: some(expired),
    };
    let (from, to) = (expired.max(old), new.unwrap_or(records.len()));
    let any = from > 0 || new.is_some();
    let kept = records.into_iter().take(to).skip(from).collect();
    (kept, any.then_some(rejected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64) -> InputEvent {
        InputEvent { timestamp: Some(at), message: Some("x".to_owned()) }
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for (events, words) in [
            (vec![], "length"),
            (vec![event(2), event(1)], "chronological"),
            (vec![event(0), event(25 * 3_600 * 1_000)], "24 hours"),
            (vec![event(-1)], "negative"),
            (vec![InputEvent { timestamp: Some(1), message: Some(String::new()) }], "empty"),
            (vec![InputEvent { timestamp: Some(1), message: None }], "logEvents.1.member.message"),
        ] {
            let error = checked(events).unwrap_err().message;
            assert!(error.contains(words), "{error}");
        }
        let large = InputEvent { timestamp: Some(1), message: Some("x".repeat(BATCH_BYTES)) };
        assert!(checked(vec![large]).unwrap_err().message.starts_with("Upload too large"));
        assert_eq!(checked(vec![event(1), event(1), event(2)]).unwrap().len(), 3);
    }

    #[test]
    fn what_is_too_old_or_too_new_is_left_out_and_told() {
        let now = 1_000 * HOUR;
        let key = trireme_state::object::LogGroupKey {
            scope: trireme_types::Scope::development(),
            name: "g".to_owned(),
        };
        let group = LogGroup {
            key,
            created_at: trireme_types::Timestamp::EPOCH,
            retention_days: Some(1),
            tags: std::collections::BTreeMap::new(),
        };
        let at = |hours: u64| Record { at: hours * HOUR, ..Record::default() };
        let all = vec![at(1), at(900), at(990), at(1_001), at(1_003)];
        let (kept, rejected) = judged(all, &group, now);
        assert_eq!(kept, [at(990), at(1_001)]);
        let rejected = rejected.unwrap();
        assert_eq!(rejected.too_old_log_event_end_index, Some(1));
        assert_eq!(rejected.expired_log_event_end_index, Some(2));
        assert_eq!(rejected.too_new_log_event_start_index, Some(4));
        let (kept, rejected) = judged(vec![at(999)], &group, now);
        assert!(kept.len() == 1 && rejected.is_none());
    }
}
