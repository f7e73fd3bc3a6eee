//! What agents say of a later incarnation of the cluster. One agent may be wrong, or belong to a copy of the cluster that someone
//! tries out; most of those that are here cannot. Instances that are lost say nothing, and are not waited for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use trireme_state::State;
use trireme_types::ContainerInstanceId;

/// The highest incarnation that each registered instance has named.
#[derive(Debug, Default)]
pub(crate) struct Later(Mutex<BTreeMap<ContainerInstanceId, u64>>);

impl Later {
    /// Notes what an instance says; the highest incarnation that more than half of the instances name at least, if there is
    /// one. Those count that are connected, or have named one.
    pub(crate) fn note(&self, state: &State, instance: ContainerInstanceId, incarnation: u64) -> Option<u64> {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = named.entry(instance).or_default();
        *highest = incarnation.max(*highest);
        named.retain(|id, _| state.instance(*id).is_some());
        let mut all: Vec<u64> = named.values().copied().collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        let others =
            state.instances().filter(|one| state.is_present(one) && !named.contains_key(&one.id)).count();
        all.get((all.len() + others) / 2).copied()
    }
}
