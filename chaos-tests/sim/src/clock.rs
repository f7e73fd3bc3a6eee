//! A host's own clocks: the simulation's time, plus an offset and a drift that faults set.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use trireme_raft::clock::{Clock, Random};
use trireme_types::Timestamp;

use crate::shim;

#[derive(Debug, Clone, Copy, Default)]
struct Skew {
    /// Since when the drift counts.
    since: Duration,
    /// At that moment, in milliseconds.
    offset: i64,
    /// Millionths by which this clock is too fast.
    drift: i64,
}

impl Skew {
    fn millis(&self, now: Duration) -> i64 {
        let run = i64::try_from(now.saturating_sub(self.since).as_millis()).unwrap_or(i64::MAX);
        self.offset.saturating_add(run.saturating_mul(self.drift) / 1_000_000)
    }
}

/// The clock of one host. What it shows may be wrong; its monotonic side only goes forward, if too fast or too slow.
#[derive(Debug, Default)]
pub struct SimClock {
    wall: Mutex<Skew>,
    steady: Mutex<Skew>,
}

impl SimClock {
    /// The time of day jumps by so many milliseconds.
    pub fn jump(&self, millis: i64) {
        let mut skew = self.wall.lock().unwrap_or_else(PoisonError::into_inner);
        skew.offset = skew.offset.saturating_add(millis);
    }

    /// Both clocks go too fast by so many millionths, or too slow.
    pub fn drift(&self, millionths: i64) {
        let now = shim::now();
        for skew in [&self.wall, &self.steady] {
            let mut skew = skew.lock().unwrap_or_else(PoisonError::into_inner);
            *skew = Skew { since: now, offset: skew.millis(now), drift: millionths };
        }
    }

    /// The clock is right again, as far as a clock can be set: the monotonic one goes on from where it is.
    pub fn set_right(&self) {
        self.drift(0);
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner) = Skew::default();
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        let now = shim::now();
        let skew = self.wall.lock().unwrap_or_else(PoisonError::into_inner).millis(now);
        let right = u64::try_from((shim::EPOCH + now).as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(right.saturating_add_signed(skew))
    }

    fn monotonic(&self) -> Duration {
        let now = shim::now();
        let skew = self.steady.lock().unwrap_or_else(PoisonError::into_inner).millis(now);
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(skew);
        Duration::from_millis(millis)
    }
}

/// Random bytes: the shim's, as for everything else.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimRandom;

impl Random for SimRandom {
    fn seed(&self) -> [u8; 32] {
        rand::random()
    }
}
