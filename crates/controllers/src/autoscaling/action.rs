//! Scheduled actions: taken when they are due, each due time once. One that was due while nobody led is taken late, and once.

use trireme_schedule::{Expression, TimeZone};
use trireme_state::Command;
use trireme_state::command::AutoscalingCommand;
use trireme_state::object::{ScalableTarget, ScheduledAction, ServiceKey};
use trireme_types::Timestamp;

use crate::driver::Plan;

/// Takes what is due of a target. Gives whether there was something.
pub(super) fn due(plan: &mut Plan, key: &ServiceKey, target: &ScalableTarget, now: Timestamp) -> bool {
    let mut due: Vec<(Timestamp, &String, &ScheduledAction)> = Vec::new();
    for (name, action) in &target.actions {
        match action.next {
            Some(next) if next <= now => due.push((next, name, action)),
            Some(next) => plan.wake(next),
            None => {}
        }
    }
    // The last word counts.
    due.sort_by_key(|(at, name, _)| (*at, *name));
    for (at, name, action) in &due {
        plan.report.say(format!("service {}: scheduled action {name}", key.name));
        let command = AutoscalingCommand::TakeAction {
            service: key.clone(),
            name: (*name).clone(),
            due: *at,
            next: next(action, now),
        };
        plan.commands.push(Command::Autoscaling(Box::new(command)));
    }
    !due.is_empty()
}

/// When an action is taken next, after now. What cannot be read was refused when it came.
fn next(action: &ScheduledAction, now: Timestamp) -> Option<Timestamp> {
    let spec = &action.spec;
    let expression = Expression::parse(&spec.schedule).ok()?;
    let zone = spec.timezone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::parse).ok()?;
    // A rate counts from when it was due, whoever's clock said so first.
    let anchor = spec.start.or(action.next).unwrap_or(action.created_at);
    expression.next_after(now, &zone, anchor).filter(|next| spec.end.is_none_or(|end| *next <= end))
}
