//! A control node's process ends by itself only for a reason that the simulation gave it: a disk that fails, or a removal.

use std::collections::BTreeSet;

use super::{Check, hold};
use crate::control::ControlHost;
use crate::shared::Shared;

/// Ends that were judged already.
#[derive(Default)]
pub struct Alive {
    judged: BTreeSet<(u64, u64)>,
}

impl Alive {
    /// A host now.
    ///
    /// # Errors
    /// It ended without a reason.
    pub fn check(&mut self, host: &ControlHost, shared: &Shared) -> Check {
        let ended = host.ended.borrow();
        let Some(reason) = ended.as_ref() else { return Ok(()) };
        if !self.judged.insert((host.number, host.starts.get())) {
            return Ok(());
        }
        let id = host.identity.get().map_or(0, |identity| identity.node_id);
        let removed = shared.leaving.borrow().contains(&id);
        // The step in which the power goes ends the process before the host.
        let fails = reason.contains("the power is off")
            || reason.contains("the disk fails its syncs")
            || reason.contains("fsync failed");
        let disk = fails && (host.spoiled.get() || host.dark.get());
        hold("nodes_end_for_a_reason", removed || disk, || format!("{}: {reason}", host.name()))
    }
}
