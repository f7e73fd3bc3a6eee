//! One metric in one unit over time, at falling resolution: each second of the last minutes, each minute of the last hours, and so on. Every
//! sample goes into each of them that reaches back so far. Only what there is takes room.

use std::collections::VecDeque;
use std::time::Duration;

use trireme_types::Timestamp;

use crate::sample::StatisticSet;

/// The length of a step in seconds, and how many of them are kept.
const LEVELS: [(u32, u32); 4] = [(1, 300), (60, 180), (300, 288), (3_600, 72)];

/// Steps for which room is made at a time: twice as much as there is would be a lot, of so many.
const GROWTH: usize = 16;

/// How long anything is kept.
pub const KEPT: Duration = Duration::from_secs(72 * 3_600);

/// What a step holds.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When it begins, in seconds since 1970.
    start: u32,
    set: StatisticSet,
}

/// Steps of one length, the oldest first.
#[derive(Debug, Default)]
struct Level(VecDeque<Bucket>);

/// The place in [`LEVELS`] of the longest step of which a period consists.
fn level(period: u32) -> usize {
    LEVELS.iter().rposition(|(step, _)| period.is_multiple_of(*step)).unwrap_or(0)
}

/// For how long samples are kept so finely that periods of so many seconds can be told apart.
pub fn kept_for(period: u32) -> Duration {
    let (step, steps) = LEVELS[level(period)];
    Duration::from_secs(u64::from(step) * u64::from(steps))
}

/// Whole seconds since 1970.
pub fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / 1_000).unwrap_or(u32::MAX)
}

impl Level {
    /// Forgets what is too old. Gives the second from which on nothing is.
    fn prune(&mut self, (step, steps): (u32, u32), now: u32) -> u32 {
        let oldest = now.saturating_sub(step.saturating_mul(steps));
        while self.0.front().is_some_and(|bucket| bucket.start.saturating_add(step) <= oldest) {
            self.0.pop_front();
        }
        oldest
    }

    fn add(&mut self, (step, steps): (u32, u32), now: u32, at: u32, set: StatisticSet) -> bool {
        let oldest = self.prune((step, steps), now);
        let start = at - at % step;
        if start.saturating_add(step) <= oldest {
            return false;
        }
        match self.0.binary_search_by_key(&start, |bucket| bucket.start) {
            Ok(place) => self.0[place].set = self.0[place].set.with(set),
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(GROWTH);
                }
                self.0.insert(place, Bucket { start, set });
            }
        }
        // Samples from the future may be more than there is room for.
        if self.0.len() > steps as usize + 1 {
            self.0.pop_front();
        }
        true
    }
}

/// One metric in one unit.
#[derive(Debug, Default)]
pub struct Series([Level; LEVELS.len()]);

impl Series {
    /// Adds a sample; false if it is older than anything that is kept.
    pub fn add(&mut self, now: Timestamp, at: Timestamp, set: StatisticSet) -> bool {
        let (now, at) = (seconds(now), seconds(at));
        let mut kept = false;
        for (level, kind) in self.0.iter_mut().zip(LEVELS) {
            kept |= level.add(kind, now, at, set);
        }
        kept
    }

    /// Forgets what is too old, and gives back its room.
    pub fn prune(&mut self, now: Timestamp) {
        for (level, kind) in self.0.iter_mut().zip(LEVELS) {
            level.prune(kind, seconds(now));
            level.0.shrink_to(level.0.len().next_multiple_of(GROWTH));
        }
    }

    /// When the newest sample was, to a second or a step.
    pub fn newest(&self) -> u32 {
        self.0.iter().filter_map(|level| level.0.back()).map(|bucket| bucket.start).max().unwrap_or(0)
    }

    /// What periods of so many seconds hold that begin at `from` or later and before `to`; those without samples are left out.
    pub fn periods(&self, period: u32, from: u32, to: u32) -> Vec<(u32, StatisticSet)> {
        let period = period.max(1);
        let steps = &self.0[level(period)].0;
        let first = steps.partition_point(|bucket| bucket.start < from);
        let mut found: Vec<(u32, StatisticSet)> = Vec::new();
        for bucket in steps.iter().skip(first) {
            let start = bucket.start - bucket.start % period;
            if start >= to {
                break;
            }
            if start < from {
                continue;
            }
            match found.last_mut().filter(|(last, _)| *last == start) {
                Some((_, set)) => *set = set.with(bucket.set),
                None => found.push((start, bucket.set)),
            }
        }
        found
    }

    /// All that it holds, the coarsest first, so that who adds it up elsewhere can tell the levels apart.
    pub fn steps(&self) -> impl Iterator<Item = (u32, u32, StatisticSet)> {
        let levels = LEVELS.iter().zip(&self.0);
        levels.flat_map(|((step, _), level)| level.0.iter().map(|one| (*step, one.start, one.set)))
    }

    /// Takes a step of another node's, where this one has less of it.
    pub fn adopt(&mut self, now: Timestamp, step: u32, start: u32, set: StatisticSet) {
        let Some(place) = LEVELS.iter().position(|(known, _)| *known == step) else { return };
        let level = &mut self.0[place];
        match level.0.binary_search_by_key(&start, |bucket| bucket.start) {
            Ok(at) if level.0[at].set.count < set.count => level.0[at].set = set,
            Ok(_) => {}
            Err(_) => {
                level.add(LEVELS[place], seconds(now), start, set);
            }
        }
    }
}
