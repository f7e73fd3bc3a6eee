//! How much of the history is kept.

use serde::{Deserialize, Serialize};

/// How much of the history is kept. What is older than either limit may be trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The newest events that are kept.
    pub events: u64,
    /// How long an event is kept, in milliseconds.
    pub millis: u64,
}

impl Retention {
    /// The fewest events that a retention may keep: a checkpoint has to fit in between.
    pub const EVENTS_MIN: u64 = 1_000;
}

impl Default for Retention {
    fn default() -> Self {
        // About half a GiB, and a month.
        Self { events: 1_000_000, millis: 30 * 24 * 60 * 60 * 1_000 }
    }
}
