//! I1, I5 over a restart: a process finds on its disk what the one before it knew, or the beginning of it, and nothing that was
//! cut off or never there. What a node's own snapshot covers is in its history.

use std::collections::{BTreeMap, BTreeSet};

use trireme_raft::Node;
use trireme_raft::config::LogId;
use trireme_raft::probe::Probe;

use super::{Check, Violation, hold};
use crate::control::{ControlHost, Woke};

/// What a node knew when it was looked at last.
struct Life {
    start: u64,
    last: Option<LogId>,
    entries: BTreeMap<u64, LogId>,
    /// Entries that were in the log at any time.
    ever: BTreeSet<LogId>,
    /// Its history has no gap.
    whole: bool,
    /// The last look was the last moment of the process.
    sure: bool,
}

/// All nodes.
#[derive(Default)]
pub struct Lives {
    seen: BTreeMap<u64, Life>,
}

impl Lives {
    /// A host now.
    ///
    /// # Errors
    /// It woke with another log than it fell asleep with.
    pub fn check(&mut self, host: &ControlHost) -> Check {
        let woke = host.woke.borrow();
        let Some(woke) = woke.as_ref() else { return Ok(()) };
        let known = self.seen.get(&host.number);
        if known.is_none_or(|life| life.start != woke.start) {
            if let Some(life) = known.filter(|life| life.sure) {
                as_it_was(host, life, woke)?;
            }
            host.dark.set(false);
            self.seen.insert(host.number, Life::new(woke));
        }
        let Some(life) = self.seen.get_mut(&host.number) else { return Ok(()) };
        life.sure &= host.over.get().is_none();
        match host.node.borrow().as_ref() {
            Some(node) if life.start == host.starts.get() => life.look(host, node, &node.probe()),
            _ => Ok(()),
        }
    }
}

impl Life {
    fn new(woke: &Woke) -> Self {
        let entries = woke.entries.iter().map(|id| (id.index, *id)).collect();
        let ever = woke.entries.iter().copied().collect();
        Self { start: woke.start, last: woke.probe.last, entries, ever, whole: woke.whole, sure: true }
    }

    /// Follows the log: what is new at its end, and what was cut off. What was purged may be back after a loss of power.
    fn look(&mut self, host: &ControlHost, node: &Node, probe: &Probe) -> Check {
        if self.last == probe.last {
            return Ok(());
        }
        self.last = probe.last;
        self.whole = whole(node);
        let end = probe.last.map_or(0, |id| id.index + 1);
        let _cut = self.entries.split_off(&end);
        let first = probe.floor.map_or(0, |id| id.index + 1);
        for index in (first..end).rev() {
            let found = node
                .log_id_at(index)
                .map_err(|error| Violation::new("logs_can_be_read", format!("{}: {error}", host.name())))?;
            let known = self.entries.get(&index).copied();
            if found.is_none() || known == found {
                break;
            }
            self.entries.extend(found.map(|id| (index, id)));
            self.ever.extend(found);
        }
        Ok(())
    }
}

/// Whether a node's history begins with the first event.
pub fn whole(node: &Node) -> bool {
    node.records(trireme_types::Sequence::new(1), 1).ok().flatten().is_some()
}

fn as_it_was(host: &ControlHost, before: &Life, woke: &Woke) -> Check {
    let floor = woke.probe.floor.map_or(0, |id| id.index);
    let covered = woke.snapshot.map_or(floor, |(index, ..)| index.max(floor));
    for found in woke.entries.iter().filter(|id| id.index > covered) {
        let known = before.entries.get(&found.index);
        // A cut that was not synced is undone by a loss of power.
        let back = host.dark.get() && before.ever.contains(found);
        hold("a_log_wakes_as_it_was", known == Some(found) || back, || {
            format!("{} finds {found}, and had {known:?} there before it ended", host.name())
        })?;
    }
    let terms = woke.entries.windows(2).all(|two| two[0].leader_id <= two[1].leader_id);
    hold("a_log_wakes_in_order", terms, || format!("{} finds {:?}", host.name(), woke.entries))?;
    // A snapshot from a leader goes beyond the log. One of its own does not, and has the history before it.
    let own = woke.snapshot.filter(|(index, term, node)| {
        let known = before.entries.get(index);
        known.is_some_and(|id| (id.leader_id.term, id.leader_id.node_id) == (*term, *node))
    });
    hold("a_snapshot_has_its_history", own.is_none() || woke.whole || !before.whole, || {
        format!("{} has a snapshot up to {own:?}, and not the events that it covers", host.name())
    })
}
