//! Turns to open a session. When a control node dies, or the network heals, thousands of agents dial at once. Each opening is a
//! command: so few are under way at a time, some wait, and the rest comes again. That an agent knocks shows that it lives: it is
//! not lost while it waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How long an agent may wait for its turn. It gives up itself a little later.
const PATIENCE: Duration = Duration::from_secs(2);

/// The turns of one node.
pub(crate) struct Turns {
    permits: Semaphore,
    waiting: AtomicUsize,
    most: usize,
}

/// Counts one that waits, however its wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    pub(crate) fn new(at_once: usize, waiting: usize) -> Self {
        Self { permits: Semaphore::new(at_once), waiting: AtomicUsize::new(0), most: waiting }
    }

    /// Waits for a turn; `None` when too many do, or for too long.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _counted = Waiting(&self.waiting);
        if before >= self.most {
            return None;
        }
        timeout(PATIENCE, self.permits.acquire()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_wait_and_the_rest_is_sent_away() {
        let turns = Turns::new(1, 1);
        let first = turns.take().await.unwrap();
        let (second, third) = tokio::join!(turns.take(), turns.take());
        assert!(second.is_none(), "its turn did not come in time");
        assert!(third.is_none(), "too many waited");
        let (second, ()) = tokio::join!(turns.take(), async { drop(first) });
        assert!(second.is_some());
        assert_eq!(turns.waiting.load(Ordering::Relaxed), 0);
    }
}
