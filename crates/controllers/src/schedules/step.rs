//! One trigger: the times that passed, the one that is due, and runs that are tried again.

use std::time::Duration;

use trireme_scheduler::due::Times;
use trireme_state::State;
use trireme_state::command::{Advance, Fire, Run, RunResult};
use trireme_state::limits::TARGETS_PER_RULE;
use trireme_state::object::{Due, Firing, MissedRuns, Target, Trigger};
use trireme_types::{Timestamp, planted};

use super::{Places, target};
use crate::driver::Report;

/// Who is later than this has missed it, for those who do not want it then. EventBridge promises the minute.
const LATE: Duration = Duration::from_secs(60);
/// Times that one command passes over; the next pass goes on, after the other triggers.
const PASSED: u32 = 200;
/// Runs that one command tries again, as many as a rule has targets; the next pass goes on.
const AGAIN: usize = TARGETS_PER_RULE;

/// What a trigger comes to now; `None`: nothing, or it is gone. A time that is due comes first, and runs that wait have a command of their own.
pub(super) fn plan(view: &State, places: &mut Places, trigger: &Trigger, now: Timestamp) -> Option<Fire> {
    let version = view.trigger_version(trigger)?;
    let firing = view.firing(trigger);
    let mut fire = Fire { trigger: trigger.clone(), version, advance: None, runs: Vec::new() };
    match firing.next.filter(|next| next.fires_at <= now) {
        Some(next) => go_on(view, places, &mut fire, next, now),
        None => again(view, places, &mut fire, &firing, now),
    }
    (fire.advance.is_some() || !fire.runs.is_empty()).then_some(fire)
}

/// Whether there is more to do for a trigger now than the command does.
pub(super) fn goes_on(view: &State, fire: &Fire, now: Timestamp) -> bool {
    let firing = view.firing(&fire.trigger);
    let waits = firing.pending.iter().filter(|pending| pending.again_at <= now).count();
    match &fire.advance {
        Some(advance) => waits > 0 || advance.next.is_some_and(|next| next.fires_at <= now),
        None => waits > fire.runs.len(),
    }
}

/// Runs whose tasks found no place, and whose time has come again.
fn again(view: &State, places: &mut Places, fire: &mut Fire, firing: &Firing, now: Timestamp) {
    let enabled = is_enabled(view, &fire.trigger);
    for pending in firing.pending.iter().filter(|pending| pending.again_at <= now).take(AGAIN) {
        let found = view.trigger_targets(&fire.trigger).iter().find(|one| one.id == pending.target);
        let result = match found {
            _ if !enabled => RunResult::Fail { reason: "it was disabled meanwhile".to_owned() },
            Some(of) => target::run(view, places, (&fire.trigger, of), (pending.due, pending.tries), now),
            None => RunResult::Fail { reason: "the target is gone".to_owned() },
        };
        fire.runs.push(Run {
            due: pending.due,
            target: pending.target.clone(),
            tries: pending.tries,
            result,
        });
    }
}

/// The time that is due is run or passed over.
fn go_on(view: &State, places: &mut Places, fire: &mut Fire, next: Due, now: Timestamp) {
    let trigger = fire.trigger.clone();
    let targets = view.trigger_targets(&trigger);
    let times = times(view, &trigger);
    let following = |after: Timestamp| times.as_ref().and_then(|times| times.after(after));
    let policy = view.firing_policy(&trigger).missed;
    let window = times.as_ref().map_or(Duration::ZERO, Times::window);
    let missed = passed_over(policy, (following, window), targets, next, now);
    if let Some((missed, next_one, reason)) = missed {
        fire.advance = Some(Advance { due: next.at, next: next_one, missed, reason });
        return;
    }
    fire.advance = Some(Advance { due: next.at, next: following(next.at), missed: 0, reason: String::new() });
    // Half a second is what a change of leaders takes.
    if planted::is("late-time-starts-nothing") && now.since(next.fires_at) > Duration::from_millis(500) {
        return;
    }
    // What is called is told by the delivery, which finds in the history that the time has come.
    for of in targets.iter().filter(|of| of.tasks().is_some()) {
        let result = target::run(view, places, (&trigger, of), (next.at, 0), now);
        fire.runs.push(Run { due: next.at, target: of.id.clone(), tries: 0, result });
    }
}

fn is_enabled(view: &State, trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Schedule(key) => view.schedule(key).is_some_and(|schedule| schedule.spec.enabled),
        Trigger::Rule(key) => view.rule(key).is_some_and(|rule| rule.spec.enabled),
    }
}

/// When a trigger is due, read once: a search through what was missed asks often.
fn times<'a>(view: &'a State, trigger: &'a Trigger) -> Option<Times<'a>> {
    match trigger {
        Trigger::Schedule(key) => Times::of_schedule(key, &view.schedule(key)?.spec),
        Trigger::Rule(key) => Times::of_rule(&view.rule(key)?.spec),
    }
}

/// How many times are passed over, `first` among them, where the trigger stands then, and why. None is late within its flexible time window: in
/// one that is longer than the pause between two times each waits for the one before.
fn passed_over(
    policy: MissedRuns,
    (following, window): (impl Fn(Timestamp) -> Option<Due>, Duration),
    targets: &[Target],
    first: Due,
    now: Timestamp,
) -> Option<(u32, Option<Due>, String)> {
    let oldest = targets.iter().map(|target| target.retry.max_age_seconds).max().unwrap_or(u32::MAX);
    let oldest = Duration::from_secs(oldest.into());
    let is_over = |due: Due, after: Option<Due>| {
        let late = now.since(due.at.plus(window));
        let begins = |after: Due| !late.is_zero() && after.fires_at <= now;
        match policy {
            _ if late > oldest => Some("later than the retry policy allows"),
            MissedRuns::Skip if late > LATE => Some("more than a minute late, and missed runs are skipped"),
            MissedRuns::Latest if after.is_some_and(begins) => {
                Some("late, and only the latest missed run is made up for")
            }
            _ => None,
        }
    };
    let (mut count, mut at) = (0_u32, Some(first));
    let mut because = None;
    while let Some(due) = at
        && count < PASSED
    {
        let after = following(due.at);
        let Some(reason) = is_over(due, after) else { break };
        because = Some(reason);
        count = count.saturating_add(1);
        at = after;
    }
    because.map(|reason| (count, at, reason.to_owned()))
}

/// What a step does, for the log of the leader.
pub(super) fn report(fire: &Fire, now: Timestamp, report: &mut Report) {
    let trigger = &fire.trigger;
    if let Some(advance) = fire.advance.as_ref().filter(|advance| advance.missed > 0) {
        report.say(format!("{trigger} passes over {} runs: {}", advance.missed, advance.reason));
    }
    for run in &fire.runs {
        let due = run.due;
        match &run.result {
            RunResult::Start { .. } => {
                report.say(format!("{trigger} of {due} starts {} ms late", now.since(due).as_millis()));
            }
            RunResult::Defer { reason, .. } => report.say(format!("{trigger} of {due} waits: {reason}")),
            RunResult::Fail { reason } => report.say(format!("{trigger} of {due} does not run: {reason}")),
        }
    }
}
