//! What simulated tasks use: those of a service the same, by turns busy, full and idle, as the seed has it. Now and then a machine
//! cannot say it for a while. When each task was looked at is kept for the checks.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trireme_agent::runtime::fake;
use trireme_agent::runtime::{Failure, FailureKind, NewContainer, Reading};
use trireme_types::TaskId;

use crate::shim;

/// How long a service is busy, and how long it is idle then: more than the minute after which tasks are taken away. In milliseconds.
const BUSY_FOR: u64 = 40_000;
const IDLE_FOR: u64 = 80_000;
const CYCLE: u64 = BUSY_FOR + IDLE_FOR;
/// Percent of what is reserved that is used when a service is idle, and when it is busy, full, or more than that.
const IDLE: u64 = 4;
const BUSY: [u64; 3] = [55, 97, 140];
/// A machine may be blind in each so many seconds.
const BLIND_EVERY: u64 = 100;
/// How long it is.
const BLIND_FOR: u64 = 55;
/// Of so many such times it is blind in one, in every other run: where one is, nothing is taken away.
const BLIND_ONE_IN: u64 = 3;
/// Looks that are kept of a task.
const LOOKS: usize = 64;
/// Cpu units of a processor.
const UNITS: u64 = 1_024;
const MEBIBYTE: u64 = 1 << 20;

/// What all tasks of a run use.
#[derive(Debug, Default)]
pub struct Load {
    seed: u64,
    looks: Mutex<BTreeMap<TaskId, Vec<Duration>>>,
}

impl Load {
    /// The load of a seed.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, looks: Mutex::default() })
    }

    /// The load of one machine, for its runtime.
    pub fn of_machine(self: &Arc<Self>, number: u64) -> fake::Load {
        let load = Arc::clone(self);
        Arc::new(move |task, new| load.read(number, task, new))
    }

    /// When a task was looked at last, the oldest first.
    pub fn looks(&self, task: TaskId) -> Vec<Duration> {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.get(&task).cloned().unwrap_or_default()
    }

    fn read(&self, machine: u64, task: TaskId, new: &NewContainer) -> Result<Reading, Failure> {
        let now = shim::now();
        if self.is_blind(machine, now.as_secs()) {
            return Err(Failure::new(FailureKind::Timeout, "the machine does not say what is used"));
        }
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = looks.entry(task).or_default();
        looks.push(now);
        let beyond = looks.len().saturating_sub(LOOKS);
        looks.drain(..beyond);
        let of = if new.task.service_name.is_empty() { &new.task.family } else { &new.task.service_name };
        let (container, at) = (new.definition(), self.place(of, now));
        let memory = u64::from(container.memory_mib) * MEBIBYTE;
        Ok(Reading {
            cpu_nanos: self.cpu_millis(of, at) * u64::from(container.cpu_units) * 1_000_000 / UNITS,
            memory_bytes: memory / 100 * (5 + self.level(of, at) / 2),
            ..Reading::default()
        })
    }

    fn is_blind(&self, machine: u64, second: u64) -> bool {
        let all_see = drawn((self.seed, "blind")).is_multiple_of(2);
        let blind = drawn((self.seed, "blind", machine, second / BLIND_EVERY)).is_multiple_of(BLIND_ONE_IN);
        !all_see && blind && second % BLIND_EVERY < BLIND_FOR
    }

    /// Where a service is in its cycles, in milliseconds: each begins somewhere else in them.
    fn place(&self, of: &str, now: Duration) -> u64 {
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX) + drawn((self.seed, of)) % CYCLE
    }

    fn busy(&self, of: &str, cycle: u64) -> u64 {
        let index = drawn((self.seed, of, cycle)) % BUSY.len() as u64;
        BUSY[usize::try_from(index).unwrap_or(0)]
    }

    fn level(&self, of: &str, at: u64) -> u64 {
        if at % CYCLE < BUSY_FOR { self.busy(of, at / CYCLE) } else { IDLE }
    }

    /// The milliseconds for which one processor was busy since the first cycle began, if all of it were reserved.
    fn cpu_millis(&self, of: &str, at: u64) -> u64 {
        let in_cycle = |cycle: u64| {
            let passed = (at - cycle * CYCLE).min(CYCLE);
            let busy = passed.min(BUSY_FOR);
            busy * self.busy(of, cycle) + (passed - busy) * IDLE
        };
        (0..=at / CYCLE).map(in_cycle).sum::<u64>() / 100
    }
}

/// The same number for the same words in each run.
fn drawn(words: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}
