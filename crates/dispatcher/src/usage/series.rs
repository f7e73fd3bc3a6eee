//! What one task used over time, in memory: each five seconds of the last five minutes, each minute of the last twenty, each five minutes of
//! the last three hours. About two and a half kilobytes.

use std::collections::VecDeque;
use std::time::Duration;

use super::TaskUsage;

/// The length of the finest step in milliseconds. Agents say what is used as often.
pub const STEP_MILLIS: u64 = 5_000;
/// The same.
pub const STEP: Duration = Duration::from_millis(STEP_MILLIS);

/// Of the finest steps, how many are kept.
const FINE: usize = 60;
/// Of longer steps, how many of the finest one has, and how many are kept.
const MINUTE: (u64, usize) = (12, 20);
const COARSE: (u64, usize) = (60, 36);

/// What a task used in one step, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// How long ago the step was the last one, counted in the finest steps from the one that is under way.
    pub age: Duration,
    /// How long it is.
    pub step: Duration,
    /// Thousandths of a processor.
    pub cpu_millis: f64,
    /// Memory in bytes.
    pub memory_bytes: f64,
    /// What was moved, where that is kept: of longer steps, unless it was said before this node led.
    pub rates: Option<Rates>,
}

/// What was moved, in bytes a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Received; not in the machine's network.
    pub network_received: f32,
    /// Sent.
    pub network_sent: f32,
    /// Read from disks.
    pub disk_read: f32,
    /// Written to disks.
    pub disk_written: f32,
}

/// A sample of the finest part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fine {
    /// Thousandths of a processor; all bits set: nothing was said.
    pub cpu_millis: u32,
    /// Memory in KiB.
    pub memory_kib: u32,
}

impl Fine {
    const ABSENT: Self = Self { cpu_millis: u32::MAX, memory_kib: 0 };

    /// Of what an agent said.
    pub fn of(usage: &TaskUsage) -> Self {
        let memory_kib = u32::try_from(usage.memory_bytes / 1_024).unwrap_or(u32::MAX);
        Self { cpu_millis: usage.cpu_millis.min(u32::MAX - 1), memory_kib }
    }

    fn there(self) -> Option<Self> {
        (self.cpu_millis != u32::MAX).then_some(self)
    }
}

/// Means over a longer step, and of how many samples; of none: nothing was said.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    samples: u8,
    rated: u8,
    cpu_millis: f32,
    memory_kib: f32,
    rates: Rates,
}

impl Mean {
    fn add(&mut self, fine: Fine, rates: Option<Rates>) {
        let towards = |mean: &mut f32, value: f32, count: u8| *mean += (value - *mean) / f32::from(count);
        self.samples = self.samples.saturating_add(1);
        towards(&mut self.cpu_millis, fine.cpu_millis as f32, self.samples);
        towards(&mut self.memory_kib, fine.memory_kib as f32, self.samples);
        let Some(rates) = rates else { return };
        self.rated = self.rated.saturating_add(1);
        towards(&mut self.rates.network_received, rates.network_received, self.rated);
        towards(&mut self.rates.network_sent, rates.network_sent, self.rated);
        towards(&mut self.rates.disk_read, rates.disk_read, self.rated);
        towards(&mut self.rates.disk_written, rates.disk_written, self.rated);
    }
}

/// Values by steps that follow each other without a gap, up to the newest.
#[derive(Debug)]
struct Ring<T> {
    newest: u64,
    values: VecDeque<T>,
}

impl<T: Copy> Ring<T> {
    const fn new() -> Self {
        Self { newest: 0, values: VecDeque::new() }
    }

    /// The value of a step that is not before the newest.
    fn at(&mut self, step: u64, capacity: usize, absent: T) -> &mut T {
        let ahead = step.saturating_sub(self.newest);
        if self.values.is_empty() || ahead >= capacity as u64 {
            self.values.clear();
            self.push(capacity, absent);
        } else {
            (0..ahead).for_each(|_| self.push(capacity, absent));
        }
        self.newest = step;
        let last = self.values.len().saturating_sub(1);
        &mut self.values[last]
    }

    fn push(&mut self, capacity: usize, value: T) {
        if self.values.len() == capacity {
            self.values.pop_front();
        } else {
            // All of it at once: what grows step by step leaves holes in the memory.
            self.values.reserve_exact(capacity.saturating_sub(self.values.len()));
        }
        self.values.push_back(value);
    }

    /// From the newest back, with the steps.
    fn back(&self) -> impl Iterator<Item = (u64, T)> {
        self.values.iter().rev().zip(0..).map(|(value, back)| (self.newest.saturating_sub(back), *value))
    }

    /// The first step that is there. What was before a full ring's is in the next one, whose steps are so long: it begins with one of them.
    fn first(&self, capacity: usize, next: u64) -> u64 {
        let first = self.newest.saturating_add(1).saturating_sub(self.values.len() as u64);
        if self.values.len() == capacity { first.next_multiple_of(next) } else { first }
    }
}

/// One task's.
#[derive(Debug)]
pub struct Series {
    fine: Ring<Fine>,
    minutes: Ring<Mean>,
    coarse: Ring<Mean>,
    latest: TaskUsage,
    /// When `latest` was said, in milliseconds.
    at: u64,
    /// Whether `latest` has what was moved in all, so that the next sample tells how fast.
    counted: bool,
    rates: Option<Rates>,
}

impl Series {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            fine: Ring::new(),
            minutes: Ring::new(),
            coarse: Ring::new(),
            latest: TaskUsage::NONE,
            at: 0,
            counted: false,
            rates: None,
        }
    }

    /// The last step of which something was said.
    pub fn newest(&self) -> Option<u64> {
        (!self.fine.values.is_empty()).then_some(self.fine.newest)
    }

    /// What was said last, in full, and when.
    pub const fn latest(&self) -> (&TaskUsage, u64) {
        (&self.latest, self.at)
    }

    /// How fast things were moved when something was said last, if that is known.
    pub const fn rates(&self) -> Option<Rates> {
        self.rates
    }

    /// Something is said of a moment. What is of an earlier one than what is known came too late, or is known. Gives whether it was news.
    pub fn say(&mut self, at: u64, usage: &TaskUsage) -> bool {
        // The same word, told twice, comes a little sooner or later.
        if self.newest().is_some() && at < self.at.saturating_add(STEP_MILLIS / 2) {
            return false;
        }
        let rates = self.moved(at, usage);
        if !self.put(self.step_of(at), Fine::of(usage), rates) {
            return false;
        }
        self.rates = rates.or(self.rates.filter(|_| self.counted));
        (self.latest, self.at, self.counted) = (*usage, at, true);
        true
    }

    /// The step that a moment counts to. Who speaks at the border of two steps speaks now before it, now behind it, and twice in one step
    /// before there is none in the next: what comes in time for a step is that step's.
    fn step_of(&self, at: u64) -> u64 {
        let step = at / STEP_MILLIS;
        let in_time = at.saturating_sub(self.at) < STEP_MILLIS.saturating_mul(3) / 2;
        match self.newest() {
            Some(newest) if newest.saturating_add(2) == step && in_time => newest.saturating_add(1),
            _ => step,
        }
    }

    /// The same of a step, of which it was not kept what was moved.
    pub fn say_again(&mut self, step: u64, fine: Fine) -> bool {
        if self.newest().is_some_and(|newest| step <= newest) || !self.put(step, fine, None) {
            return false;
        }
        let memory_bytes = u64::from(fine.memory_kib).saturating_mul(1_024);
        self.latest = TaskUsage { cpu_millis: fine.cpu_millis, memory_bytes, ..TaskUsage::NONE };
        (self.at, self.counted, self.rates) = (step.saturating_mul(STEP_MILLIS), false, None);
        true
    }

    fn put(&mut self, step: u64, fine: Fine, rates: Option<Rates>) -> bool {
        let newest = self.newest();
        if newest.is_some_and(|newest| step < newest) {
            return false;
        }
        *self.fine.at(step, FINE, Fine::ABSENT) = fine;
        // The second word on a step replaces the first, and counts once.
        if newest != Some(step) {
            for (ring, (length, count)) in [(&mut self.minutes, MINUTE), (&mut self.coarse, COARSE)] {
                ring.at(step / length, count, Mean::default()).add(fine, rates);
            }
        }
        true
    }

    fn moved(&self, at: u64, usage: &TaskUsage) -> Option<Rates> {
        let millis = at.checked_sub(self.at).filter(|millis| *millis > 0 && self.counted)?;
        let rate = |of: fn(&TaskUsage) -> u64| {
            of(usage).saturating_sub(of(&self.latest)) as f32 * 1_000.0 / millis as f32
        };
        Some(Rates {
            network_received: rate(|usage| usage.network_received_bytes),
            network_sent: rate(|usage| usage.network_sent_bytes),
            disk_read: rate(|usage| usage.disk_read_bytes),
            disk_written: rate(|usage| usage.disk_written_bytes),
        })
    }

    /// Of each step after `after`, the oldest first, what was said.
    pub fn since(&self, after: Option<u64>) -> Vec<(u64, Fine)> {
        let later = self.fine.back().take_while(|(step, _)| after.is_none_or(|after| *step > after));
        let mut known: Vec<_> = later.filter_map(|(step, fine)| Some((step, fine.there()?))).collect();
        known.reverse();
        known
    }

    /// All that is kept, the newest first: fine steps, then minutes, then longer ones; without an overlap.
    pub fn points(&self) -> Vec<Point> {
        let length = |steps: u64| Duration::from_millis(STEP_MILLIS.saturating_mul(steps));
        let age = |step: u64| length(self.fine.newest.saturating_sub(step));
        let fine_from = self.fine.first(FINE, MINUTE.0);
        let fine = self.fine.back().take_while(|(step, _)| *step >= fine_from);
        let fine = fine.filter_map(|(step, fine)| {
            let Fine { cpu_millis, memory_kib } = fine.there()?;
            let memory_bytes = f64::from(memory_kib) * 1_024.0;
            Some(Point {
                age: age(step),
                step: STEP,
                cpu_millis: cpu_millis.into(),
                memory_bytes,
                rates: None,
            })
        });
        let longer = |ring: &Ring<Mean>, steps: u64, from: u64, before: u64| -> Vec<Point> {
            let end = |at: u64| at.saturating_add(1).saturating_mul(steps);
            let means =
                ring.back().filter(|(at, mean)| *at >= from && mean.samples > 0 && end(*at) <= before);
            let point = |(at, mean): (u64, Mean)| Point {
                age: age(end(at).saturating_sub(1)),
                step: length(steps),
                cpu_millis: mean.cpu_millis.into(),
                memory_bytes: f64::from(mean.memory_kib) * 1_024.0,
                rates: (mean.rated > 0).then_some(mean.rates),
            };
            means.map(point).collect()
        };
        let minutes_from = self.minutes.first(MINUTE.1, COARSE.0 / MINUTE.0);
        let minutes = longer(&self.minutes, MINUTE.0, minutes_from, fine_from);
        let before = minutes_from.saturating_mul(MINUTE.0).min(fine_from);
        let coarse = longer(&self.coarse, COARSE.0, 0, before);
        fine.chain(minutes).chain(coarse).collect()
    }
}
