//! Each time that a schedule or a rule is due comes to one thing for each target: tasks, a refusal, or that it was passed over. None comes
//! twice, none is left out, whoever leads.

use std::collections::{BTreeMap, BTreeSet};

use trireme_scheduler::due::Times;
use trireme_state::event::ScheduleEvent;
use trireme_state::object::{Due, Trigger};
use trireme_state::store::Record;
use trireme_state::{Event, State};
use trireme_types::{TaskId, Timestamp};

use super::{Check, hold};

/// A run of a target.
type Run = (Timestamp, String);

/// How far a trigger has come, as its events say.
#[derive(Default)]
struct Stand {
    next: Option<Due>,
    /// Runs that found no place yet.
    waiting: BTreeSet<Run>,
    /// Runs that are over.
    over: BTreeSet<Run>,
}

/// All triggers.
#[derive(Default)]
pub struct Dues {
    stands: BTreeMap<Trigger, Stand>,
    /// Runs whose tasks were started.
    pub runs: u64,
    /// Times that were passed over.
    pub passed: u64,
}

impl Dues {
    /// One command's events.
    ///
    /// # Errors
    /// A time that was seen to twice, too early or not at all.
    pub fn check(&mut self, before: &State, after: &State, records: &[Record]) -> Check {
        let mut fired: BTreeSet<(Trigger, Run)> = BTreeSet::new();
        for record in records {
            let Event::Schedule(event) = &record.event else { continue };
            match event {
                ScheduleEvent::SchedulePut { key, next, .. } => {
                    self.put(before, after, &Trigger::Schedule(key.clone()), *next)?;
                }
                ScheduleEvent::RulePut { key, next, .. } => {
                    self.put(before, after, &Trigger::Rule(key.clone()), *next)?;
                }
                ScheduleEvent::TriggerFired { trigger, due, next } => {
                    self.goes_on(before, trigger, (*due, 1, *next), record.at)?;
                    let targets =
                        before.trigger_targets(trigger).iter().filter(|target| target.tasks().is_some());
                    fired.extend(targets.map(|target| (trigger.clone(), (*due, target.id.clone()))));
                }
                ScheduleEvent::RunsMissed { trigger, from, count, next, .. } => {
                    self.passed += u64::from(*count);
                    self.goes_on(before, trigger, (*from, *count, *next), record.at)?;
                }
                ScheduleEvent::RunStarted { trigger, due, target, tasks } => {
                    self.runs += 1;
                    started((before, after), (trigger, target), tasks, records)?;
                    let run = (*due, target.clone());
                    self.over(trigger, &run, fired.remove(&(trigger.clone(), run.clone())))?;
                }
                ScheduleEvent::RunFailed { trigger, due, target, .. } => {
                    let run = (*due, target.clone());
                    self.over(trigger, &run, fired.remove(&(trigger.clone(), run.clone())))?;
                }
                ScheduleEvent::RunDeferred { trigger, due, target, .. } => {
                    let run = (*due, target.clone());
                    self.waits(trigger, &run, fired.remove(&(trigger.clone(), run.clone())))?;
                }
                _ => {}
            }
        }
        // Those that are deleted have nothing to come any more.
        self.stands.retain(|trigger, _| after.trigger_version(trigger).is_some());
        hold("what_is_due_comes_to_something", fired.is_empty(), || format!("{fired:?}"))?;
        let steps = records.iter().any(|record| matches!(record.event, Event::Schedule(_)));
        if steps { self.stand_as_told(after) } else { Ok(()) }
    }

    /// What the events came to is what the state says.
    fn stand_as_told(&self, after: &State) -> Check {
        for (trigger, stand) in &self.stands {
            let firing = after.firing(trigger);
            let waiting = firing.pending.iter().map(|pending| (pending.due, pending.target.clone()));
            let same = firing.next == stand.next && stand.waiting == waiting.collect();
            hold("triggers_stand_where_they_are_told_to", same, || {
                format!(
                    "{trigger} stands at {:?} with {:?}, and {firing:?} is kept",
                    stand.next, stand.waiting
                )
            })?;
        }
        Ok(())
    }

    /// It stands where it stood if its times are the same. With other times it is another one.
    fn put(&mut self, before: &State, after: &State, trigger: &Trigger, next: Option<Due>) -> Check {
        let stand = self.stands.entry(trigger.clone()).or_default();
        if same_times(before, after, trigger) {
            hold("a_put_moves_no_time", stand.next == next, || {
                format!("{trigger} stood at {:?}, and is put at {next:?}", stand.next)
            })?;
        } else {
            stand.over.clear();
        }
        stand.next = next;
        Ok(())
    }

    /// From the time that it stood at, by so many times, to the next.
    fn goes_on(
        &mut self,
        before: &State,
        trigger: &Trigger,
        (from, count, next): (Timestamp, u32, Option<Due>),
        at: Timestamp,
    ) -> Check {
        let stand = self.stands.entry(trigger.clone()).or_default();
        hold("no_time_comes_twice", stand.next.map(|due| due.at) == Some(from), || {
            format!("{trigger} stands at {:?}, and {from} was seen to", stand.next)
        })?;
        hold("nothing_fires_early", stand.next.is_some_and(|due| due.fires_at <= at), || {
            format!("{trigger} of {:?} was seen to at {at}", stand.next)
        })?;
        let mut last = stand.next;
        for _ in 0..count {
            last = last.and_then(|due| times(before, trigger)?.after(due.at));
        }
        hold("no_time_is_left_out", last == next, || {
            format!("{trigger} goes from {from} by {count} to {next:?}, not to {last:?}")
        })?;
        stand.next = next;
        Ok(())
    }

    fn over(&mut self, trigger: &Trigger, run: &Run, fired: bool) -> Check {
        let stand = self.stands.entry(trigger.clone()).or_default();
        let known = stand.waiting.remove(run) || fired;
        let first = stand.over.insert(run.clone());
        hold("a_run_ends_once", known && first, || format!("{trigger}: {run:?} is over, and was not due"))
    }

    fn waits(&mut self, trigger: &Trigger, run: &Run, fired: bool) -> Check {
        let stand = self.stands.entry(trigger.clone()).or_default();
        let known = !stand.waiting.insert(run.clone()) || fired;
        hold("a_run_ends_once", known && !stand.over.contains(run), || {
            format!("{trigger}: {run:?} waits, and was not due")
        })
    }
}

fn times<'a>(state: &'a State, trigger: &'a Trigger) -> Option<Times<'a>> {
    match trigger {
        Trigger::Schedule(key) => Times::of_schedule(key, &state.schedule(key)?.spec),
        Trigger::Rule(key) => Times::of_rule(&state.rule(key)?.spec),
    }
}

fn same_times(before: &State, after: &State, trigger: &Trigger) -> bool {
    match trigger {
        Trigger::Schedule(key) => {
            let specs = before.schedule(key).zip(after.schedule(key));
            specs.is_some_and(|(a, b)| a.spec.enabled && b.spec.enabled && a.spec.same_times(&b.spec))
        }
        Trigger::Rule(key) => before.rule(key).zip(after.rule(key)).is_some_and(|(a, b)| {
            let same = (&a.spec.expression, a.spec.anchor) == (&b.spec.expression, b.spec.anchor);
            a.spec.enabled && b.spec.enabled && same
        }),
    }
}

/// All tasks that the target asks for, made by the same command.
fn started(
    (before, after): (&State, &State),
    (trigger, target): (&Trigger, &str),
    tasks: &[TaskId],
    records: &[Record],
) -> Check {
    let made: BTreeSet<TaskId> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::TaskCreated { task } => Some(task.id),
            _ => None,
        })
        .collect();
    let asked = before.trigger_targets(trigger).iter().find(|one| one.id == target);
    let count = asked.and_then(|asked| asked.tasks()).map(|asked| asked.count as usize);
    // One that waits for a machine of a pool is promised.
    let there = |task: &TaskId| made.contains(task) || after.waiting_run(*task).is_some();
    hold("a_run_has_all_its_tasks", count == Some(tasks.len()) && tasks.iter().all(there), || {
        format!("{trigger} target {target}: {tasks:?} of {made:?}")
    })
}

/// What should have been seen to before.
pub fn overdue(state: &State, before: Timestamp) -> Option<String> {
    let (at, trigger) = state.index().due().iter().next()?;
    (at < before).then(|| format!("{trigger} was due at {at}"))
}
