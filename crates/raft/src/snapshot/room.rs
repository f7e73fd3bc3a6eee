//! The room that has to be free before a state is written: one that runs out on the way costs more than it gives. openraft
//! takes a snapshot that fails for the end of the node.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What has to be left when the state is written.
const SLACK: u64 = 64 * 1024 * 1024;

/// The last measure of this node's room.
#[derive(Debug, Default)]
pub(crate) struct Room(OnceLock<Arc<Mutex<Option<u64>>>>);

impl Room {
    /// From now on it is measured here.
    pub(crate) fn measured_by(&self, free: &Arc<Mutex<Option<u64>>>) {
        let _first_stays = self.0.set(Arc::clone(free));
    }

    /// Whether there is room for a state, given the length of the last one. Room that nobody has measured is enough.
    pub(crate) fn has(&self, last: u64) -> bool {
        let free = self.0.get().and_then(|free| *free.lock().unwrap_or_else(PoisonError::into_inner));
        free.is_none_or(|free| free >= last.saturating_mul(2).saturating_add(SLACK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn twice_the_last_state_and_a_slack_must_be_free() {
        let room = Room::default();
        assert!(room.has(u64::MAX), "nobody has measured");
        let free = Arc::new(Mutex::new(Some(264 * MIB)));
        room.measured_by(&free);
        assert!(room.has(100 * MIB));
        assert!(!room.has(100 * MIB + 1));
        *free.lock().unwrap_or_else(PoisonError::into_inner) = None;
        assert!(room.has(100 * MIB + 1), "it could not be measured");
    }
}
