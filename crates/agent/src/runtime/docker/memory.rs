//! Whether a container was killed for lack of memory. Docker tells of the lack by an event of its own, before that of the end. To
//! ask it at the end would take until Docker has taken the container's network and files apart.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::clock;

/// The two events come on different ways: that of the lack may be later by this.
const LATE: Duration = Duration::from_millis(20);
/// Containers that lacked memory and are not known to have ended.
const MOST: usize = 1_000;

/// Containers that lacked memory.
#[derive(Default)]
pub(super) struct LackOfMemory {
    seen: Mutex<BTreeSet<String>>,
    told: Notify,
}

impl LackOfMemory {
    /// An event said that a container lacked memory.
    pub(super) fn note(&self, container: &str) {
        let mut seen = self.lock();
        while seen.len() >= MOST {
            seen.pop_first();
        }
        seen.insert(container.to_owned());
        drop(seen);
        self.told.notify_waiters();
    }

    /// Whether a container that was killed had lacked memory.
    pub(super) async fn took(&self, container: &str) -> bool {
        let until = clock::now() + LATE;
        loop {
            let mut told = pin!(self.told.notified());
            // From before the look: nothing is missed between them.
            told.as_mut().enable();
            if self.forget(container) {
                return true;
            }
            if timeout_at(until, told).await.is_err() {
                return self.forget(container);
            }
        }
    }

    /// A container ended otherwise.
    pub(super) fn forget(&self, container: &str) -> bool {
        self.lock().remove(container)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use trireme_testkit::hold;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lack_counts_before_the_end_and_just_after_it() {
        let memory = LackOfMemory::default();
        memory.note("before");
        assert!(memory.took("before").await);
        assert!(!memory.took("before").await, "it is told once");
        let late = async {
            memory.note("another");
            hold(LATE / 2).await;
            memory.note("after");
        };
        let (took, ()) = tokio::join!(memory.took("after"), late);
        assert!(took);
        let too_late = async {
            hold(LATE * 2).await;
            memory.note("never");
        };
        let (took, ()) = tokio::join!(memory.took("never"), too_late);
        assert!(!took);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let memory = LackOfMemory::default();
        (0..2 * MOST).for_each(|number| memory.note(&number.to_string()));
        assert_eq!(memory.lock().len(), MOST);
    }
}
