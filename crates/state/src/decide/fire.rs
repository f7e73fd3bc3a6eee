//! A trigger's step: that it goes on and what comes of its runs is one entry, so that each time is seen to once, whoever leads.

use std::time::Duration;

use trireme_types::{TaskId, Timestamp};

use super::{Decided, Decision, capacity, execute_command, placement, stale};
use crate::codec::encode_event;
use crate::command::{Advance, CapacityCommand, Command, Fire, Outcome, Run, RunResult};
use crate::event::ScheduleEvent;
use crate::limits::{BYTES_PER_COMMAND, EVENTS_PER_COMMAND, PENDING_PER_FIRING};
use crate::object::{DesiredStatus, Firing, RunEnd, StopCode, Trigger};
use crate::{Event, Rejection, Stamp, State, apply_event};

/// When a run is tried again that had no room beside others of its step.
const SOON: Duration = Duration::from_secs(1);
/// Events that are left for the runs after one that starts.
const EVENTS_LEFT: usize = 20;
/// The same in bytes.
const BYTES_LEFT: usize = 32 * 1024;

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

    /// Whether a run of this step has started tasks.
    fn has_started(&self) -> bool {
        let started = |event: &Event| matches!(event, Event::Schedule(ScheduleEvent::RunStarted { .. }));
        self.events.iter().any(started)
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
    match &run.result {
        RunResult::Fail { reason } => working.happens(failed(trigger, run, reason.clone()), stamp),
        RunResult::Defer { again_at, reason, stop } => {
            defer(working, (trigger, run), (*again_at, reason), stop, stamp);
        }
        RunResult::Start { run: command, stop } => match started(&working.state, command, stamp) {
            Ok(Decision { events, outcome: Outcome::Tasks(tasks) }) => {
                start(working, (trigger, run), (events, tasks), stop, stamp);
            }
            Ok(_) => working.happens(failed(trigger, run, "no tasks were asked for".to_owned()), stamp),
            // The runs before it in this step may be why, and a plan would always be the same. Another step sees what they took.
            Err(moved @ Rejection::Stale { .. }) if working.has_started() => {
                defer(working, (trigger, run), (stamp.now.plus(SOON), &moved.to_string()), stop, stamp);
            }
            Err(moved @ Rejection::Stale { .. }) => return Err(moved),
            // It would be refused again and again: the run is over, and the history says why.
            Err(refused) => working.happens(failed(trigger, run, refused.to_string()), stamp),
        },
    }
    Ok(())
}

fn failed(trigger: &Trigger, run: &Run, reason: String) -> Event {
    Event::Schedule(ScheduleEvent::RunFailed {
        trigger: trigger.clone(),
        due: run.due,
        target: run.target.clone(),
        reason,
    })
}

/// Its tasks start. What is too much beside the runs before it is for another step; what is too much by itself never starts.
fn start(
    working: &mut Working,
    (trigger, run): (&Trigger, &Run),
    (events, tasks): (Vec<Event>, Vec<TaskId>),
    stop: &[TaskId],
    stamp: &Stamp,
) {
    let mut trial = Working { state: working.state.clone(), events: Vec::new() };
    stop_earlier(&mut trial, trigger, stop, stamp);
    events.into_iter().for_each(|event| trial.happens(event, stamp));
    let (due, target) = (run.due, run.target.clone());
    let all = ScheduleEvent::RunStarted { trigger: trigger.clone(), due, target, tasks };
    trial.happens(Event::Schedule(all), stamp);
    if fits(working, &trial) {
        working.state = trial.state;
        working.events.append(&mut trial.events);
        return;
    }
    let reason = format!("its {} events are too many or too large for one command", trial.events.len());
    if working.has_started() {
        defer(working, (trigger, run), (stamp.now.plus(SOON), &reason), stop, stamp);
    } else {
        working.happens(failed(trigger, run, reason), stamp);
    }
}

/// Whether one command may cause all these events, and what is said of a few runs more.
fn fits(working: &Working, trial: &Working) -> bool {
    let all = || working.events.iter().chain(&trial.events);
    let bytes = all().map(|event| encode_event(event).len()).fold(0, usize::saturating_add);
    all().count() <= EVENTS_PER_COMMAND.saturating_sub(EVENTS_LEFT)
        && bytes <= BYTES_PER_COMMAND.saturating_sub(BYTES_LEFT)
}

/// It is tried again later, if there is room to wait.
fn defer(
    working: &mut Working,
    (trigger, run): (&Trigger, &Run),
    (again_at, reason): (Timestamp, &str),
    stop: &[TaskId],
    stamp: &Stamp,
) {
    if is_full(working, trigger, run) {
        let reason = format!("{reason}; and too many runs wait already");
        working.happens(failed(trigger, run, reason), stamp);
        return;
    }
    stop_earlier(working, trigger, stop, stamp);
    let deferred = ScheduleEvent::RunDeferred {
        trigger: trigger.clone(),
        due: run.due,
        target: run.target.clone(),
        tries: run.tries.saturating_add(1),
        again_at,
        reason: reason.to_owned(),
    };
    working.happens(Event::Schedule(deferred), stamp);
}

/// A run that is pending already takes no further place.
fn is_full(working: &Working, trigger: &Trigger, run: &Run) -> bool {
    let firing = working.state.firing(trigger);
    firing.pending(run.due, &run.target).is_none() && firing.pending.len() >= PENDING_PER_FIRING
}

/// What a command that runs tasks comes to.
pub(super) fn started(state: &State, run: &Command, stamp: &mut Stamp) -> Decided {
    match run {
        Command::RunAllowingCommands(inner) => {
            Ok(execute_command::allow(state, true, tasks(state, inner, stamp)?))
        }
        inner => tasks(state, inner, stamp),
    }
}

/// Commands that run tasks, and no others.
fn tasks(state: &State, run: &Command, stamp: &mut Stamp) -> Decided {
    let Command::Capacity(launched) = run else { return placement::run(state, run, &[], stamp) };
    match &**launched {
        CapacityCommand::RunTasks { .. } => capacity::run_when_due(state, launched, stamp),
        _ => Ok(Decision::nothing()),
    }
}

/// Earlier tasks of this trigger, and no others. One that still waits for a machine ends there.
fn stop_earlier(working: &mut Working, trigger: &Trigger, tasks: &[TaskId], stamp: &Stamp) {
    let firing = working.state.firing(trigger);
    for id in tasks.iter().filter(|id| firing.tasks.iter().any(|(_, known)| known == *id)) {
        let (code, reason) = (StopCode::UserInitiated, format!("Replaced by the next run of {trigger}"));
        let wanted =
            working.state.task(*id).is_some_and(|task| task.desired_status == DesiredStatus::Running);
        if wanted {
            working.happens(Event::TaskStopRequested { task: *id, code, reason }, stamp);
        } else if working.state.waiting_run(*id).is_some_and(|run| run.end.is_none()) {
            working.happens(capacity::ended(*id, RunEnd { at: stamp.now, code, reason }), stamp);
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
