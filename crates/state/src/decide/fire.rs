//! A trigger's step: that it goes on and what comes of its runs is one entry, so that each time is seen to once, whoever leads.

use trireme_types::TaskId;

use super::{Decided, Decision, execute_command, placement, stale};
use crate::command::{Advance, Command, Fire, Outcome, Run, RunResult};
use crate::event::ScheduleEvent;
use crate::limits::PENDING_PER_FIRING;
use crate::object::{DesiredStatus, Firing, StopCode, Trigger};
use crate::{Event, Rejection, Stamp, State, apply_event};

pub(super) fn fire(state: &State, step: &Fire, stamp: &mut Stamp) -> Decided {
    let trigger = &step.trigger;
    if state.trigger_version(trigger) != Some(step.version) {
        return Err(stale(trigger));
    }
    let firing = state.firing(trigger);
    // What one target takes is no longer there for the next.
    let mut working = Working { state: state.clone(), events: Vec::new() };
    if let Some(advance) = &step.advance {
        if firing.next.map(|due| due.at) != Some(advance.due) {
            return Err(stale(format!("when {trigger} is due")));
        }
        working.happens(advanced(trigger, advance), stamp);
    }
    let due = step.advance.as_ref().filter(|advance| advance.missed == 0).map(|advance| advance.due);
    for run in &step.runs {
        if Some(run.due) == due {
            if run.tries != 0 {
                return Err(stale(format!("a run of {trigger}")));
            }
        } else if firing.pending(run.due, &run.target).map(|pending| pending.tries) != Some(run.tries) {
            return Err(stale(format!("a run of {trigger}")));
        }
        one(&mut working, trigger, run, stamp)?;
    }
    complete(&mut working, trigger, stamp);
    Ok(Decision::of(working.events))
}

/// The state as the events so far leave it.
struct Working {
    state: State,
    events: Vec<Event>,
}

impl Working {
    fn happens(&mut self, event: Event, stamp: &Stamp) {
        apply_event(&mut self.state, stamp.now, &event);
        self.events.push(event);
    }
}

fn advanced(trigger: &Trigger, advance: &Advance) -> Event {
    let (trigger, next) = (trigger.clone(), advance.next);
    Event::Schedule(match advance.missed {
        0 => ScheduleEvent::TriggerFired { trigger, due: advance.due, next },
        count => ScheduleEvent::RunsMissed {
            trigger,
            from: advance.due,
            count,
            next,
            reason: advance.reason.clone(),
        },
    })
}

fn one(working: &mut Working, trigger: &Trigger, run: &Run, stamp: &mut Stamp) -> Result<(), Rejection> {
    let (due, target) = (run.due, run.target.clone());
    let failed = |reason: String| {
        Event::Schedule(ScheduleEvent::RunFailed {
            trigger: trigger.clone(),
            due,
            target: target.clone(),
            reason,
        })
    };
    match &run.result {
        RunResult::Fail { reason } => working.happens(failed(reason.clone()), stamp),
        RunResult::Defer { reason, .. } if is_full(working, trigger, run) => {
            working.happens(failed(format!("{reason}; and too many runs wait already")), stamp);
        }
        RunResult::Defer { again_at, reason, stop } => {
            stop_earlier(working, trigger, stop, stamp);
            let deferred = ScheduleEvent::RunDeferred {
                trigger: trigger.clone(),
                due,
                target: target.clone(),
                tries: run.tries.saturating_add(1),
                again_at: *again_at,
                reason: reason.clone(),
            };
            working.happens(Event::Schedule(deferred), stamp);
        }
        RunResult::Start { run, stop } => match started(&working.state, run, stamp) {
            Ok(Decision { events, outcome: Outcome::Tasks(tasks) }) => {
                stop_earlier(working, trigger, stop, stamp);
                events.into_iter().for_each(|event| working.happens(event, stamp));
                let started = ScheduleEvent::RunStarted {
                    trigger: trigger.clone(),
                    due,
                    target: target.clone(),
                    tasks,
                };
                working.happens(Event::Schedule(started), stamp);
            }
            Ok(_) => working.happens(failed("no tasks were asked for".to_owned()), stamp),
            Err(moved @ Rejection::Stale { .. }) => return Err(moved),
            // It would be refused again and again: the run is over, and the history says why.
            Err(refused) => working.happens(failed(refused.to_string()), stamp),
        },
    }
    Ok(())
}

/// A run that is pending already takes no further place.
fn is_full(working: &Working, trigger: &Trigger, run: &Run) -> bool {
    let firing = working.state.firing(trigger);
    firing.pending(run.due, &run.target).is_none() && firing.pending.len() >= PENDING_PER_FIRING
}

fn started(state: &State, run: &Command, stamp: &mut Stamp) -> Decided {
    match run {
        Command::RunAllowingCommands(inner) => {
            Ok(execute_command::allow(state, true, placement::run(state, inner, &[], stamp)?))
        }
        inner => placement::run(state, inner, &[], stamp),
    }
}

/// Earlier tasks of this trigger, and no others.
fn stop_earlier(working: &mut Working, trigger: &Trigger, tasks: &[TaskId], stamp: &Stamp) {
    let firing = working.state.firing(trigger);
    for id in tasks.iter().filter(|id| firing.tasks.iter().any(|(_, known)| known == *id)) {
        let wanted =
            working.state.task(*id).is_some_and(|task| task.desired_status == DesiredStatus::Running);
        if wanted {
            let event = Event::TaskStopRequested {
                task: *id,
                code: StopCode::UserInitiated,
                reason: format!("Replaced by the next run of {trigger}"),
            };
            working.happens(event, stamp);
        }
    }
}

/// A schedule that never fires again goes, if it is to.
fn complete(working: &mut Working, trigger: &Trigger, stamp: &Stamp) {
    let Trigger::Schedule(key) = trigger else { return };
    let over = |firing: &Firing| firing.next.is_none() && firing.pending.is_empty();
    let goes = working.state.schedule(key).is_some_and(|schedule| schedule.spec.delete_after);
    if goes && over(&working.state.firing(trigger)) {
        working.happens(Event::Schedule(ScheduleEvent::ScheduleDeleted { key: key.clone() }), stamp);
    }
}
