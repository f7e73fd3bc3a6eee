//! What a service's running tasks use, as utilisation: 100 × used ÷ reserved.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use trireme_state::object::{Task, TrackedMetric};
use trireme_types::{TaskId, Timestamp, planted};

use crate::observed::{USAGE_STEP, UsageSample};

/// A sample that is older says nothing of now: agents look every step, and what they say is here a little later.
const FRESH: u32 = 4;
/// So many steps are looked at before tasks are taken away: a minute.
pub(super) const WINDOW: u32 = 12;
/// A task that runs for so many steps has a sample of each later one: nothing is known of its first look.
const FIRST: u32 = 3;
/// Thousandths of a processor in one cpu unit, the other way round: 1,024 units are 1,000.
const UNITS_PER_MILLI: f64 = 1.024;
const MEBIBYTE: f64 = 1_048_576.0;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Cpu,
    Memory,
}

impl Sort {
    /// What a tracked metric measures of tasks; nothing when it is a customized one.
    pub fn of(metric: &TrackedMetric) -> Option<Self> {
        match metric {
            TrackedMetric::Cpu { .. } => Some(Self::Cpu),
            TrackedMetric::Memory { .. } => Some(Self::Memory),
            TrackedMetric::Customized { .. } => None,
        }
    }

    /// In the unit of [`Self::reserved`].
    fn used(self, sample: &UsageSample) -> f64 {
        match self {
            Self::Cpu => f64::from(sample.cpu_millis) * UNITS_PER_MILLI,
            Self::Memory => sample.memory_bytes as f64 / MEBIBYTE,
        }
    }

    fn reserved(self, task: &Task) -> f64 {
        f64::from(match self {
            Self::Cpu => task.reservation.cpu.get(),
            Self::Memory => task.reservation.memory.get(),
        })
    }
}

/// A service's running tasks, and what is known of their use.
#[derive(Debug)]
pub(super) struct Running<'a> {
    tasks: Vec<(&'a Task, &'a [UsageSample])>,
    now: Timestamp,
}

impl<'a> Running<'a> {
    pub fn new(
        tasks: &'a [Arc<Task>],
        usage: &'a BTreeMap<TaskId, Vec<UsageSample>>,
        now: Timestamp,
    ) -> Self {
        let of = |task: &'a Arc<Task>| (&**task, usage.get(&task.id).map_or(&[][..], Vec::as_slice));
        Self { tasks: tasks.iter().map(of).collect(), now }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tasks.len()
    }

    /// Utilisation in the last seconds, by the newest sample of each task and by the one before, where a task of which nothing is known uses
    /// nothing. `None` when nothing is known of any, or nothing is reserved.
    pub fn now(&self, sort: Sort) -> Option<(f64, f64)> {
        Some((self.recent(sort, 0)?, self.recent(sort, 1)?))
    }

    /// Utilisation by each task's newest sample but so many.
    fn recent(&self, sort: Sort, back: usize) -> Option<f64> {
        let (mut used, mut reserved, mut known) = (0.0, 0.0, false);
        for (task, samples) in &self.tasks {
            let mut fresh = samples.iter().filter(|sample| sample.steps_ago <= FRESH);
            if let Some(sample) = fresh.nth(back) {
                used += sort.used(sample);
                known = true;
            }
            reserved += sort.reserved(task);
        }
        (known && reserved > 0.0).then(|| 100.0 * used / reserved)
    }

    /// The largest utilisation of a step within a minute, and within the newer half of it; both with what is known of now. `None` when a
    /// step is missing of a task that ran then, or no task did.
    pub fn peak(&self, sort: Sort) -> Option<(f64, f64)> {
        let largest = |steps: RangeInclusive<u32>| {
            let steps = steps.map(|step| self.at(sort, step));
            steps.reduce(|one, other| Some(one?.max(other?))).flatten()
        };
        let (newer, older) = (largest(1..=WINDOW / 2)?, largest(WINDOW / 2 + 1..=WINDOW)?);
        // The step that is under way need not have been told by everyone.
        let under_way = [self.at(sort, 0), self.recent(sort, 0)];
        let newer = under_way.into_iter().flatten().fold(newer, f64::max);
        Some((newer.max(older), newer))
    }

    /// Utilisation in one step, of the tasks that ran then.
    fn at(&self, sort: Sort, step: u32) -> Option<f64> {
        let (mut used, mut reserved) = (0.0, 0.0);
        for (task, samples) in &self.tasks {
            // Two looks may fall into one step, and none into the next.
            let near = |sample: &&UsageSample| sample.steps_ago.abs_diff(step) <= 1;
            let sample = samples.iter().filter(near).min_by_key(|sample| sample.steps_ago.abs_diff(step));
            match sample {
                Some(sample) => {
                    used += sort.used(sample);
                    reserved += sort.reserved(task);
                }
                None if self.ran_for(task) < USAGE_STEP.saturating_mul(step.saturating_add(FIRST)) => {}
                None if planted::is("unknown-use-is-none") => reserved += sort.reserved(task),
                None => return None,
            }
        }
        (reserved > 0.0).then(|| 100.0 * used / reserved)
    }

    fn ran_for(&self, task: &Task) -> std::time::Duration {
        self.now.since(task.times.started_at.unwrap_or(self.now))
    }
}
