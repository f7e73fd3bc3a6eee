//! A host's own clocks: the simulation's time, plus an offset and a drift that faults set. Its timers, the runtime's, go by the
//! same clock: [`keep_pace`] turns them on when it is too fast. A clock that is too slow is one that others are faster than.

use std::sync::{Arc, Mutex, PoisonError};
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
    timers: Mutex<Skew>,
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
        let mut timers = self.timers.lock().unwrap_or_else(PoisonError::into_inner);
        *timers = Skew { since: now, offset: timers.millis(now), drift: millionths.max(0) };
    }

    /// By how many milliseconds the timers are ahead of the simulation's time in all; never less than before.
    fn timers_ahead(&self) -> i64 {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner).millis(shim::now())
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

/// Between two looks at how far the timers are.
const PACE: Duration = Duration::from_millis(25);
/// Timers that are off by less stay as they are: a step of the simulation is not split.
const SLACK: i64 = 8;

/// Turns on the timers of the host on which it runs, for as long as it is polled. Without a drift it does nothing.
pub async fn keep_pace(clock: Arc<SimClock>) {
    let (began, started, before) = (tokio::time::Instant::now(), shim::now(), clock.timers_ahead());
    loop {
        tokio::time::sleep(PACE).await;
        let wanted = clock.timers_ahead().saturating_sub(before);
        let passed = shim::now().saturating_sub(started);
        let ahead = i64::try_from(began.elapsed().saturating_sub(passed).as_millis()).unwrap_or(i64::MAX);
        let missing = u64::try_from(wanted.saturating_sub(ahead)).unwrap_or(0);
        if wanted > 0 && wanted.saturating_sub(ahead) > SLACK {
            tokio::time::advance(Duration::from_millis(missing)).await;
        }
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
