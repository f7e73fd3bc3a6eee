//! No two tasks have one address at the same time, wherever they are: also on machines that nobody hears.

use std::collections::BTreeMap;

use super::{Check, hold};
use crate::shared::Shared;

/// All machines now.
///
/// # Errors
/// Two tasks have the same address.
pub fn check(shared: &Shared) -> Check {
    let mut seen = BTreeMap::new();
    for host in shared.agents.borrow().iter() {
        for (address, task) in host.runtime.borrow().addresses() {
            let other = seen.insert(address.clone(), (host.name(), task.clone()));
            hold("an_address_is_one_tasks", other.is_none(), || {
                format!("{address}: {task} on {} and {other:?}", host.name())
            })?;
        }
    }
    Ok(())
}
