//! I2: at most one node leads in a term.

use std::collections::BTreeMap;

use trireme_raft::probe::Probe;

use super::{Check, hold};
use crate::control::ControlHost;

/// Who was seen to lead in each term, confirmed by a quorum.
#[derive(Default)]
pub struct Leaders {
    seen: BTreeMap<(u64, u64), u64>,
}

impl Leaders {
    /// A node now.
    ///
    /// # Errors
    /// It leads where another one does, or under another one's vote.
    pub fn check(&mut self, host: &ControlHost, probe: &Probe) -> Check {
        let (term, node, confirmed) = probe.vote;
        if !probe.leads || !confirmed {
            return Ok(());
        }
        let own = host.identity.get().map_or(node, |identity| identity.node_id);
        let first = *self.seen.entry((term, node)).or_insert(own);
        hold("one_leader_per_term", first == own && node == own, || {
            format!("term {term}: nodes {first} and {own}, vote for {node}")
        })
    }
}
