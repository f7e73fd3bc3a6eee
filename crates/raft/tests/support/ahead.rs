//! A clock ahead of the machine's.
#![allow(dead_code, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trireme_raft::clock::{Clock, SystemClock};
use trireme_types::Timestamp;

/// A clock that can be put forward.
#[derive(Default)]
pub struct Ahead {
    inner: SystemClock,
    pub millis: Arc<AtomicU64>,
}

impl Clock for Ahead {
    fn wall(&self) -> Timestamp {
        self.inner.wall().plus(Duration::from_millis(self.millis.load(Ordering::Relaxed)))
    }
    fn monotonic(&self) -> Duration {
        self.inner.monotonic() + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}
