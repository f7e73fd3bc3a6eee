//! Moments that are bad ones to lose power at: between a write and its sync, right after a vote, a cut, a purge, a snapshot.
//! Drawn at random they would hardly ever be met; so a fault may wait for one.

use trireme_raft::config::LogId;
use trireme_raft::probe::Probe;

use crate::control::ControlHost;

/// What a fault waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Something was written and is not synced.
    Unsynced,
    /// The node has voted, and the vote is not synced with anything yet.
    Voted,
    /// The log was cut, and is shorter than it was.
    Cut,
    /// The log was purged.
    Purged,
    /// There is a new snapshot.
    Snapshot,
    /// The node leads from now on.
    Leads,
    /// Entries were applied.
    Applied,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Unsynced, Self::Voted, Self::Cut, Self::Purged, Self::Snapshot, Self::Leads, Self::Applied];

    /// Whether it is now.
    pub fn is_now(self, host: &ControlHost, before: &Probe, now: &Probe) -> bool {
        match self {
            Self::Unsynced => host.disk.unsynced() > 0,
            Self::Voted => (before.vote.0, before.vote.1) != (now.vote.0, now.vote.1),
            Self::Cut => index(now.last) < index(before.last),
            Self::Purged => now.purged != before.purged,
            Self::Snapshot => now.snapshot != before.snapshot,
            Self::Leads => now.leads && !before.leads,
            Self::Applied => now.applied != before.applied,
        }
    }
}

fn index(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index)
}
