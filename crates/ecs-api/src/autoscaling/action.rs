//! Scheduled actions.

use std::sync::Arc;

use trireme_schedule::{Expression, TimeZone};
use trireme_state::command::AutoscalingCommand;
use trireme_state::object::{ScheduledAction, ScheduledActionSpec, ServiceKey};
use trireme_types::Timestamp;

use super::name::{self, DIMENSION, NAMESPACE, null, resource_id};
use super::shape::{self, Action, Actions, Bounds, DescribeOf, Empty, OfOne, PutAction, count};
use super::target::parts;
use super::{invalid, missing, write};
use crate::companion::Context;
use crate::error::Result;

/// Application Auto Scaling API: ScheduledActionName.
const NAME_LENGTH: usize = 256;

fn check_name(name: &str) -> Result<()> {
    let wrong = |one: char| one.is_control() || [':', '/', '|'].contains(&one);
    let spaced = name.starts_with(' ') || name.ends_with(' ');
    if name.is_empty() || name.chars().count() > NAME_LENGTH || spaced || name.chars().any(wrong) {
        return Err(invalid(
            "ScheduledActionName has 1 to 256 characters, none of them a control character, a colon, a slash or a bar, and no space \
             at either end.",
        ));
    }
    Ok(())
}

fn instant(seconds: Option<f64>, member: &str) -> Result<Option<Timestamp>> {
    let Some(seconds) = seconds else { return Ok(None) };
    let millis = seconds * 1_000.0;
    if !(0.0..=253_402_300_799_999.0).contains(&millis) {
        return Err(invalid(format!("{member} is no time of this era.")));
    }
    Ok(Some(Timestamp::from_millis(millis as u64)))
}

pub(super) async fn put(cx: Context, request: PutAction) -> Result<Empty> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let name = request.scheduled_action_name.ok_or_else(|| null("scheduledActionName"))?;
    check_name(&name)?;
    let state = cx.read().await?;
    if cx.was_done(&state) {
        return Ok(Empty {});
    }
    let target = state.scalable_target(&service).ok_or_else(|| missing("scalable target", &service))?;
    let known = target.actions.get(&name).map(|action| action.spec.clone());
    let bounds = request.scalable_target_action.unwrap_or_default();
    let (min, max) = (count(bounds.min_capacity, "MinCapacity")?, count(bounds.max_capacity, "MaxCapacity")?);
    let new = known.is_none();
    let known = known.unwrap_or(ScheduledActionSpec {
        schedule: String::new(),
        timezone: None,
        start: None,
        end: None,
        min: None,
        max: None,
    });
    let named = min.is_some() || max.is_some();
    let spec = ScheduledActionSpec {
        schedule: request.schedule.unwrap_or(known.schedule),
        timezone: request.timezone.or(known.timezone),
        // Application Auto Scaling API: those that are not given again are no longer there.
        start: instant(request.start_time, "StartTime")?,
        end: instant(request.end_time, "EndTime")?,
        min: if named { min } else { known.min },
        max: if named { max } else { known.max },
    };
    if new && spec.schedule.is_empty() {
        return Err(invalid("Schedule is required for a new scheduled action."));
    }
    if spec.min.is_none() && spec.max.is_none() {
        return Err(invalid("ScalableTargetAction must name MinCapacity, MaxCapacity or both."));
    }
    let next = first(&cx, &spec)?;
    write(&cx, AutoscalingCommand::PutAction { service, name, spec, next }).await?;
    Ok(Empty {})
}

/// When it is taken first.
fn first(cx: &Context, spec: &ScheduledActionSpec) -> Result<Option<Timestamp>> {
    let wrong =
        |error: trireme_schedule::ExpressionError| invalid(format!("The schedule is not valid: {error}."));
    let expression = Expression::parse(&spec.schedule).map_err(wrong)?;
    let zone = spec.timezone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::parse).map_err(wrong)?;
    let now = cx.call.api.clock.now();
    if spec.end.is_some_and(|end| end <= now || spec.start.is_some_and(|start| end <= start)) {
        return Err(invalid("EndTime must be after StartTime, and not in the past."));
    }
    let anchor = spec.start.unwrap_or(now);
    // One that is due at the start is taken then.
    let after =
        spec.start.map_or(now, |start| now.max(Timestamp::from_millis(start.millis().saturating_sub(1))));
    let next =
        expression.next_after(after, &zone, anchor).filter(|next| spec.end.is_none_or(|end| *next <= end));
    if next.is_none() {
        return Err(invalid("The schedule has no time in the future."));
    }
    Ok(next)
}

pub(super) async fn delete(cx: Context, request: OfOne) -> Result<Empty> {
    let service =
        name::service(&cx, (&request.service_namespace, &request.scalable_dimension, &request.resource_id))?;
    let name = request.scheduled_action_name.ok_or_else(|| null("scheduledActionName"))?;
    let state = cx.read().await?;
    let known = state.scalable_target(&service).is_some_and(|target| target.actions.contains_key(&name));
    if !known && !cx.was_done(&state) {
        return Err(missing(&format!("scheduled action named {name}"), &service));
    }
    write(&cx, AutoscalingCommand::DeleteAction { service, name }).await?;
    Ok(Empty {})
}

pub(super) async fn describe(cx: Context, request: DescribeOf) -> Result<Actions> {
    name::check_namespace(request.service_namespace.as_deref())?;
    let names = request.scheduled_action_names.unwrap_or_default();
    let state = cx.read().await?;
    let found = parts(&state, cx.scope(), (request.resource_id.as_ref(), &names), |target| &target.actions);
    let page = (request.max_results, request.next_token.as_deref());
    let show = |(key, name, action): (&ServiceKey, &String, &Arc<ScheduledAction>)| shown(key, name, action);
    let (actions, next_token) = shape::page("DescribeScheduledActions", found, page, show)?;
    Ok(Actions { scheduled_actions: Some(actions), next_token })
}

fn shown(key: &ServiceKey, name: &str, action: &ScheduledAction) -> Action {
    let spec = &action.spec;
    Action {
        scheduled_action_name: Some(name.to_owned()),
        scheduled_action_arn: Some(name::action_arn(key, name, action.id)),
        service_namespace: Some(NAMESPACE.to_owned()),
        schedule: Some(spec.schedule.clone()),
        timezone: spec.timezone.clone(),
        resource_id: Some(resource_id(key)),
        scalable_dimension: Some(DIMENSION.to_owned()),
        start_time: spec.start.map(Timestamp::epoch_seconds),
        end_time: spec.end.map(Timestamp::epoch_seconds),
        scalable_target_action: Some(Bounds {
            min_capacity: spec.min.map(i64::from),
            max_capacity: spec.max.map(i64::from),
        }),
        creation_time: Some(action.created_at.epoch_seconds()),
    }
}
