//! What a hook is told of a pool: how many machines there are to be, and which may go. Never that any be added: who is told twice does
//! nothing twice.

use trireme_state::State;
use trireme_state::object::{CapacityProvider, ContainerInstance, InstanceStatus, PoolSize};
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

/// Whether a machine that is to go is one of which the hook is told.
pub(super) fn may_go(view: &State, instance: &ContainerInstance) -> bool {
    let empty = || view.index().instance_load(instance.id).tasks.is_empty();
    instance.status == InstanceStatus::Draining && empty()
}

/// What is to be done to a pool; `None` when it is as it should be, or no cluster has it. Each machine that is to go is told of as soon as
/// it may: one that does not come to rest holds up no other.
pub fn order(view: &State, provider: &CapacityProvider, size: &PoolSize) -> Option<Order> {
    if !provider.group.managed_scaling.enabled {
        return None;
    }
    view.clusters_of_provider(&provider.key).next()?;
    let there = view.instances_of_provider(provider);
    let there: Vec<_> = there.iter().filter(|instance| instance.connected).collect();
    let leaving = there.iter().filter(|one| size.leaving.contains(&one.id));
    let stays = there.len().saturating_sub(leaving.clone().count());
    let removable: Vec<ContainerInstanceId> =
        leaving.filter(|one| may_go(view, one)).map(|one| one.id).collect();
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
