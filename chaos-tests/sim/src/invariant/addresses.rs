//! No two tasks have one address at the same time, wherever they are: also on machines that nobody hears.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, hold};
use crate::shared::Shared;

/// Addresses that tasks had.
#[derive(Default)]
pub struct Addresses {
    seen: BTreeSet<(String, String)>,
}

impl Addresses {
    /// How often a task had an address.
    pub fn count(&self) -> u64 {
        self.seen.len() as u64
    }

    /// All machines now.
    ///
    /// # Errors
    /// Two tasks have the same address.
    pub fn check(&mut self, shared: &Shared) -> Check {
        if !shared.plan.networks {
            return Ok(());
        }
        let mut now = BTreeMap::new();
        for host in shared.agents.borrow().iter() {
            for (address, task) in host.runtime.borrow().addresses() {
                let other = now.insert(address.clone(), (host.name(), task.clone()));
                hold("an_address_is_one_tasks", other.is_none(), || {
                    format!("{address}: {task} on {} and {other:?}", host.name())
                })?;
                self.seen.insert((address, task));
            }
        }
        Ok(())
    }
}
