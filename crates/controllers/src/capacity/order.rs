//! What a hook is told of a pool: how many machines there are to be, and which may go. Never that any be added: who is told twice does
//! nothing twice.

use trireme_state::State;
use trireme_state::object::{CapacityProvider, InstanceStatus, PoolSize};
use trireme_types::ContainerInstanceId;

/// An order to the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The pool.
    pub pool: String,
    /// Names the decision: the same number means the same.
    pub request: u128,
    /// How many machines there are to be.
    pub wanted: u32,
    /// How many there are, those that may go among them.
    pub present: u32,
    /// Machines that may go: they are drained, and nothing runs on them. No others may.
    pub removable: Vec<ContainerInstanceId>,
    /// Why, for people.
    pub reason: String,
}

/// What is to be done to a pool; `None` when it is as it should be. Machines that are to go are told of only when all of them may.
pub fn order(view: &State, provider: &CapacityProvider, size: &PoolSize) -> Option<Order> {
    if !provider.group.managed_scaling.enabled {
        return None;
    }
    let there = view.instances_of_provider(provider);
    let there: Vec<_> = there.iter().filter(|instance| instance.connected).collect();
    let leaving = there.iter().filter(|one| size.leaving.contains(&one.id));
    let stays = there.len().saturating_sub(leaving.clone().count());
    let is_drained =
        |status: InstanceStatus| !provider.group.managed_draining || status == InstanceStatus::Draining;
    let may_go = leaving
        .clone()
        .all(|one| is_drained(one.status) && view.index().instance_load(one.id).tasks.is_empty());
    let removable: Vec<ContainerInstanceId> = leaving.map(|one| one.id).filter(|_| may_go).collect();
    let lacks = stays < size.wanted as usize;
    (lacks || !removable.is_empty()).then(|| Order {
        pool: provider.group.pool().to_owned(),
        request: size.request,
        wanted: size.wanted,
        present: u32::try_from(there.len()).unwrap_or(u32::MAX),
        removable,
        reason: size.reason.clone(),
    })
}
