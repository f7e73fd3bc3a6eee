//! Log matching: the entry at an index that any node has applied is the same on all nodes, for ever.

use std::collections::BTreeMap;

use trireme_raft::Node;
use trireme_raft::config::LogId;
use trireme_raft::probe::Probe;

use super::{Check, Violation, hold};
use crate::control::ControlHost;

/// What was seen to be applied.
#[derive(Default)]
pub struct Logs {
    applied: BTreeMap<u64, LogId>,
    /// By node: its start, and the index up to which its log was read.
    read: BTreeMap<u64, (u64, u64)>,
}

impl Logs {
    /// What a node has applied since the last look.
    ///
    /// # Errors
    /// Another entry was applied there before.
    pub fn check(&mut self, host: &ControlHost, node: &Node, probe: &Probe) -> Check {
        let (starts, upto) = self.read.get(&host.number).copied().unwrap_or_default();
        // After a restart the whole log is looked at once more.
        let upto = if starts == host.starts.get() { upto } else { 0 };
        let Some(applied) = probe.applied else { return Ok(()) };
        // What a snapshot covers may still be in the log as it was before the snapshot came.
        let covered = probe.purged.max(probe.snapshot).map_or(0, |id| id.index);
        for index in (upto.max(covered) + 1)..=applied.index {
            let found = node
                .log_id_at(index)
                .map_err(|error| Violation::new("logs_match", format!("{}: {error}", host.name())))?;
            // Purged meanwhile, or covered by a snapshot.
            let Some(found) = found else { continue };
            let known = *self.applied.entry(index).or_insert(found);
            hold("logs_match", known == found, || {
                format!("{} has {found} where {known} was applied", host.name())
            })?;
        }
        self.read.insert(host.number, (host.starts.get(), applied.index));
        Ok(())
    }
}
