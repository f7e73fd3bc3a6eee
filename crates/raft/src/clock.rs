//! Time and randomness, injected, so that a simulation can bring its own.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trireme_types::Timestamp;

/// The two clocks of a machine.
pub trait Clock: Send + Sync + 'static {
    /// The time of day. It may jump.
    fn wall(&self) -> Timestamp;
    /// Time since some start. It only goes forward.
    fn monotonic(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A moment after which nobody waits any more, on the runtime's clock, which a simulation turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(tokio::time::Instant);

impl Deadline {
    /// So long from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self(tokio::time::Instant::now() + limit)
    }

    /// What is left of it.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }

    /// The moment itself.
    pub(crate) fn at(self) -> tokio::time::Instant {
        self.0
    }
}

/// Where random bits come from.
pub trait Random: Send + Sync + 'static {
    /// Fresh random bytes.
    fn seed(&self) -> [u8; 32];
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn seed(&self) -> [u8; 32] {
        rand::random()
    }
}

/// A decider's clock: the later of the time of day and the log's last entry when it took office, then as its
/// monotonic clock goes. It never goes back, whatever the time of day does.
#[derive(Clone)]
pub struct OfficeClock {
    base: Timestamp,
    started: Duration,
    clock: Arc<dyn Clock>,
}

impl OfficeClock {
    /// `ahead` is how far the time of day is taken to be too late; `last` is the time of the log's last entry.
    pub(crate) fn new(clock: Arc<dyn Clock>, ahead: Duration, last: Timestamp) -> Self {
        let ahead = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
        let wall = Timestamp::from_millis(clock.wall().millis().saturating_sub(ahead));
        Self { base: wall.max(last), started: clock.monotonic(), clock }
    }

    /// The decider's time.
    pub fn now(&self) -> Timestamp {
        self.base.plus(self.clock.monotonic().saturating_sub(self.started))
    }
}

impl std::fmt::Debug for OfficeClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OfficeClock({:?})", self.now())
    }
}
