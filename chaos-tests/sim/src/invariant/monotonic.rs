//! I5: votes, committed and applied entries only go forward, also over a restart as far as they are durable; and on each node
//! purged ≤ snapshot ≤ committed, and applied ≤ committed.

use std::collections::BTreeMap;

use trireme_raft::probe::Probe;

use super::{Check, hold};
use crate::control::ControlHost;

/// What was seen of each node last.
#[derive(Default)]
pub struct Marks {
    seen: BTreeMap<u64, (u64, Probe)>,
}

impl Marks {
    /// A node's log now.
    ///
    /// # Errors
    /// Something went back, or is out of order.
    pub fn check(&mut self, host: &ControlHost, probe: &Probe) -> Check {
        let starts = host.starts.get();
        let Some((known_starts, known)) = self.seen.get(&host.number) else {
            self.seen.insert(host.number, (starts, probe.clone()));
            return in_order(host, probe);
        };
        if known == probe {
            return Ok(());
        }
        let (old, new) = (&known.vote, &probe.vote);
        // Whether a quorum has confirmed a vote is known only to those who heard so.
        let vote = (new.0, new.1) >= (old.0, old.1) || new.0 > old.0;
        hold("votes_only_rise", vote, || format!("{}: {old:?} then {new:?}", host.name()))?;
        if *known_starts == starts {
            let forward = probe.committed >= known.committed && probe.applied >= known.applied;
            hold("committed_and_applied_only_rise", forward, || {
                format!("{}: {known:?} then {probe:?}", host.name())
            })?;
        }
        self.seen.insert(host.number, (starts, probe.clone()));
        in_order(host, probe)
    }
}

fn in_order(host: &ControlHost, probe: &Probe) -> Check {
    // A snapshot that is being installed is ahead of what is applied, and of what is in the log.
    let sorted = [probe.purged, probe.snapshot, probe.committed].is_sorted();
    let holds = sorted && probe.applied <= probe.committed;
    hold("marks_are_in_order", holds, || format!("{}: {probe:?}", host.name()))
}
