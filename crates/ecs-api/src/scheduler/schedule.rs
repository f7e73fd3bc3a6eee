//! Schedules.

use serde_json::{Value, json};
use trireme_schedule::{Expression, TimeZone};
use trireme_scheduler::due;
use trireme_state::Command;
use trireme_state::command::ScheduleCommand;
use trireme_state::object::{self, ScheduleKey, ScheduleSpec, TargetInput};
use trireme_types::Timestamp;

use super::shape::{Empty, List, OfSchedule, Put, PutSchedule, Schedule, Schedules, Window};
use super::{Context, check_name, group, invalid, not_found, page_size};
use crate::convert::target;
use crate::error::Result;

/// EventBridge Scheduler API: Description.
const DESCRIPTION: usize = 512;
/// EventBridge Scheduler API: KmsKeyArn.
const KMS_KEY_ARN: usize = 2_048;
/// The last second that a date may have, in the year 9999.
const LAST_SECOND: f64 = 253_402_300_799.0;

fn key(cx: &Context, name: Option<&String>, group: Option<&String>) -> Result<ScheduleKey> {
    let name = name.map(String::as_str).unwrap_or_default();
    check_name("name", name)?;
    Ok(ScheduleKey { group: group::key(cx, group.map(String::as_str))?, name: name.to_owned() })
}

fn arn(key: &ScheduleKey) -> String {
    let scope = &key.group.scope;
    format!("arn:aws:scheduler:{}:{}:schedule/{}/{}", scope.region, scope.account, key.group.name, key.name)
}

fn date(member: &str, given: Option<f64>) -> Result<Option<Timestamp>> {
    let Some(seconds) = given else { return Ok(None) };
    if !(0.0..=LAST_SECOND).contains(&seconds) {
        return Err(invalid(format!("{member} is not a date.")));
    }
    // It is within the range of whole numbers that the type holds.
    Ok(Some(Timestamp::from_millis((seconds * 1_000.0).round() as u64)))
}

fn window(given: Option<&Window>) -> Result<u32> {
    let given = given.ok_or_else(|| invalid("FlexibleTimeWindow must not be null."))?;
    match (given.mode.as_str(), given.maximum_window_in_minutes) {
        ("OFF", None) => Ok(0),
        ("OFF", Some(_)) => Err(invalid("MaximumWindowInMinutes is for the mode FLEXIBLE only.")),
        ("FLEXIBLE", Some(minutes @ 1..=1_440)) => Ok(u32::try_from(minutes).unwrap_or(0)),
        ("FLEXIBLE", _) => {
            Err(invalid("MaximumWindowInMinutes must be between 1 and 1440 in the mode FLEXIBLE."))
        }
        _ => Err(invalid("FlexibleTimeWindow.Mode must be OFF or FLEXIBLE.")),
    }
}

fn one_of(member: &str, given: Option<&String>, (usual, other): (&str, &str)) -> Result<bool> {
    match given.map(String::as_str) {
        None => Ok(true),
        Some(value) if value == usual => Ok(true),
        Some(value) if value == other => Ok(false),
        Some(_) => Err(invalid(format!("{member} must be {usual} or {other}."))),
    }
}

/// What is asked for, but for the anchor.
fn spec(
    cx: &Context,
    state: &trireme_state::State,
    request: PutSchedule,
    now: Timestamp,
) -> Result<ScheduleSpec> {
    let expression = request.schedule_expression.unwrap_or_default();
    if let Err(error) = Expression::parse(&expression) {
        return Err(invalid(format!("Invalid Schedule Expression {expression}: {error}.")));
    }
    let zone = request.schedule_expression_timezone.unwrap_or_else(|| "UTC".to_owned());
    TimeZone::parse(&zone)
        .map_err(|error| invalid(format!("Invalid ScheduleExpressionTimezone: {error}.")))?;
    let (start, end) = (date("StartDate", request.start_date)?, date("EndDate", request.end_date)?);
    if end.is_some_and(|end| end <= start.unwrap_or(now)) {
        return Err(invalid("The EndDate you specify must be later than the StartDate, and in the future."));
    }
    if request.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION) {
        return Err(invalid(format!("Description can have at most {DESCRIPTION} characters.")));
    }
    if request.kms_key_arn.as_ref().is_some_and(|arn| arn.len() > KMS_KEY_ARN) {
        return Err(invalid(format!("KmsKeyArn can have at most {KMS_KEY_ARN} characters.")));
    }
    let given = request.target.ok_or_else(|| invalid("Target must not be null."))?;
    let target = target::parse(state, cx.scope(), String::new(), with_defaults(given))?;
    if !matches!(target.input, TargetInput::Event | TargetInput::Constant(_)) {
        return Err(invalid("Target has an Input, and neither an InputPath nor an InputTransformer."));
    }
    Ok(ScheduleSpec {
        expression,
        zone,
        start,
        end,
        window_minutes: window(request.flexible_time_window.as_ref())?,
        enabled: one_of("State", request.state.as_ref(), ("ENABLED", "DISABLED"))?,
        delete_after: !one_of(
            "ActionAfterCompletion",
            request.action_after_completion.as_ref(),
            ("NONE", "DELETE"),
        )?,
        description: request.description,
        kms_key_arn: request.kms_key_arn,
        anchor: start.unwrap_or(now),
        target,
    })
}

/// As EventBridge Scheduler describes a target that says no more.
fn with_defaults(mut target: Value) -> Value {
    if let Some(members) = target.as_object_mut() {
        let policy = members.entry("RetryPolicy").or_insert_with(|| json!({}));
        if let Some(policy) = policy.as_object_mut() {
            policy.entry("MaximumEventAgeInSeconds").or_insert_with(|| json!(86_400));
            policy.entry("MaximumRetryAttempts").or_insert_with(|| json!(185));
        }
    }
    target
}

pub(super) async fn create(cx: Context, request: PutSchedule) -> Result<Put> {
    let key = key(&cx, request.name.as_ref(), request.group_name.as_ref())?;
    let (state, now) = (cx.read().await?, cx.call.api.clock.now());
    let arn = arn(&key);
    if cx.was_done(&state) {
        return Ok(Put { schedule_arn: Some(arn) });
    }
    let spec = spec(&cx, &state, request, now)?;
    // A rate without a start date begins at once (EventBridge Scheduler: rate-based schedules).
    let before = Timestamp::from_millis(now.millis().saturating_sub(1));
    let after = if spec.expression.starts_with("rate") { before } else { now };
    let next = due::of_schedule(&key, &spec, after);
    cx.write(ask(ScheduleCommand::Create { key, spec: Box::new(spec), next })).await?;
    Ok(Put { schedule_arn: Some(arn) })
}

pub(super) async fn update(cx: Context, request: PutSchedule) -> Result<Put> {
    let key = key(&cx, request.name.as_ref(), request.group_name.as_ref())?;
    let (state, now) = (cx.read().await?, cx.call.api.clock.now());
    let arn = arn(&key);
    if cx.was_done(&state) {
        return Ok(Put { schedule_arn: Some(arn) });
    }
    let known = state.schedule(&key).ok_or_else(|| not_found("Schedule", &key.name))?;
    let mut spec = spec(&cx, &state, request, now)?;
    if spec.expression == known.spec.expression && spec.start == known.spec.start {
        spec.anchor = known.spec.anchor;
    }
    // If its times stay, so does when it is due: what was due a moment ago is still to be seen to.
    let next = due::of_schedule(&key, &spec, now);
    cx.write(ask(ScheduleCommand::Update { key, spec: Box::new(spec), next })).await?;
    Ok(Put { schedule_arn: Some(arn) })
}

fn ask(command: ScheduleCommand) -> Command {
    Command::Schedule(Box::new(command))
}

pub(super) async fn delete(cx: Context, request: OfSchedule) -> Result<Empty> {
    let key = key(&cx, request.name.as_ref(), request.group_name.as_ref())?;
    cx.write(ask(ScheduleCommand::Delete { key })).await?;
    Ok(Empty {})
}

pub(super) async fn get(cx: Context, request: OfSchedule) -> Result<Schedule> {
    let key = key(&cx, request.name.as_ref(), request.group_name.as_ref())?;
    let state = cx.read().await?;
    let schedule = state.schedule(&key).ok_or_else(|| not_found("Schedule", &key.name))?;
    Ok(described(schedule))
}

fn described(schedule: &object::Schedule) -> Schedule {
    let spec = &schedule.spec;
    let flexible = spec.window_minutes > 0;
    Schedule {
        schedule_expression: Some(spec.expression.clone()),
        start_date: spec.start.map(Timestamp::epoch_seconds),
        end_date: spec.end.map(Timestamp::epoch_seconds),
        description: spec.description.clone(),
        schedule_expression_timezone: Some(spec.zone.clone()),
        kms_key_arn: spec.kms_key_arn.clone(),
        target: serde_json::from_str(&spec.target.described).ok(),
        flexible_time_window: Some(Window {
            mode: if flexible { "FLEXIBLE" } else { "OFF" }.to_owned(),
            maximum_window_in_minutes: flexible.then(|| spec.window_minutes.into()),
        }),
        action_after_completion: Some(if spec.delete_after { "DELETE" } else { "NONE" }),
        ..summary(schedule)
    }
}

fn summary(schedule: &object::Schedule) -> Schedule {
    let given: Value = serde_json::from_str(&schedule.spec.target.described).unwrap_or_default();
    Schedule {
        arn: Some(arn(&schedule.key)),
        group_name: Some(schedule.key.group.name.clone()),
        name: Some(schedule.key.name.clone()),
        state: Some(if schedule.spec.enabled { "ENABLED" } else { "DISABLED" }),
        creation_date: Some(schedule.created_at.epoch_seconds()),
        last_modification_date: Some(schedule.changed_at.epoch_seconds()),
        target: Some(json!({ "Arn": given["Arn"] })),
        ..Schedule::default()
    }
}

pub(super) async fn list(cx: Context, request: List) -> Result<Schedules> {
    let size = page_size(request.max_results)?;
    let state = cx.read().await?;
    let within = request.group_name.as_deref().map(|name| group::key(&cx, Some(name))).transpose()?;
    if let Some(group) = within.as_ref().filter(|group| !group.is_default())
        && state.schedule_group(group).is_none()
    {
        return Err(not_found("Schedule group", &group.name));
    }
    let prefix = request.name_prefix.unwrap_or_default();
    let enabled = match &request.state {
        None => None,
        given => Some(one_of("State", given.as_ref(), ("ENABLED", "DISABLED"))?),
    };
    let after = request.next_token.unwrap_or_default();
    let (group_after, name_after) = after.split_once('/').unwrap_or_default();
    let wanted = |schedule: &&std::sync::Arc<object::Schedule>| {
        let key = &schedule.key;
        within.as_ref().is_none_or(|group| key.group == *group)
            && key.name.starts_with(&prefix)
            && enabled.is_none_or(|enabled| schedule.spec.enabled == enabled)
            && (key.group.name.as_str(), key.name.as_str()) > (group_after, name_after)
    };
    let mut found = state.schedules_in(cx.scope()).filter(wanted);
    let page: Vec<Schedule> = found.by_ref().take(size).map(|schedule| summary(schedule)).collect();
    let more = found.next().is_some();
    let token = |last: &Schedule| Some(format!("{}/{}", last.group_name.as_ref()?, last.name.as_ref()?));
    let next_token = page.last().filter(|_| more).and_then(token);
    Ok(Schedules { schedules: Some(page), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_seconds() {
        assert_eq!(date("StartDate", Some(1.5)).unwrap(), Some(Timestamp::from_millis(1_500)));
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e15] {
            assert!(date("StartDate", Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn windows() {
        let of = |mode: &str, minutes| {
            window(Some(&Window { mode: mode.to_owned(), maximum_window_in_minutes: minutes })).ok()
        };
        assert_eq!(of("OFF", None), Some(0));
        assert_eq!(of("FLEXIBLE", Some(15)), Some(15));
        for wrong in [("OFF", Some(15)), ("FLEXIBLE", None), ("FLEXIBLE", Some(0)), ("ON", None)] {
            assert_eq!(of(wrong.0, wrong.1), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_target_without_a_policy_has_the_usual_one() {
        let target = with_defaults(json!({ "RetryPolicy": { "MaximumRetryAttempts": 0 } }));
        assert_eq!(
            target["RetryPolicy"],
            json!({ "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 86_400 })
        );
    }
}
