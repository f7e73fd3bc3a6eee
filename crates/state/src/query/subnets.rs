//! Subnets, and which of their addresses are free.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trireme_types::{Scope, SubnetId, TaskId, Timestamp};

use crate::State;
use crate::object::{Interface, Service, ServiceStatus, Subnet};

/// So long after its agent came back a machine may still run what it was not told to stop: an agent removes such containers before
/// it does anything else.
const STRAYS_GONE_AFTER: Duration = Duration::from_secs(120);

impl State {
    /// A subnet.
    pub fn subnet(&self, id: SubnetId) -> Option<&Arc<Subnet>> {
        self.subnets.get(&id)
    }

    /// Every subnet, by id.
    pub fn subnets(&self) -> impl Iterator<Item = &Arc<Subnet>> {
        self.subnets.values()
    }

    /// A subnet of this account and region.
    pub fn subnet_of(&self, scope: &Scope, id: SubnetId) -> Option<&Arc<Subnet>> {
        self.subnet(id).filter(|subnet| subnet.scope == *scope)
    }

    /// A task's network interface, until the task is forgotten.
    pub fn interface(&self, task: TaskId) -> Option<&Arc<Interface>> {
        self.interfaces.get(&task)
    }

    /// How many addresses of a subnet new tasks may have.
    pub fn free_addresses(&self, subnet: &Subnet) -> u32 {
        let Some(load) = self.index.addresses.of(subnet.id) else { return subnet.capacity() };
        let lost: BTreeSet<u32> = load
            .lost
            .iter()
            .filter(|(address, task)| {
                !load.held.contains_key(address) && self.may_run_still(*task, self.clock)
            })
            .map(|(address, _)| *address)
            .collect();
        let taken = load.held.len().saturating_add(lost.len());
        subnet.capacity().saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Whether no task holds an address, nor one that may run somewhere still.
    pub(crate) fn is_address_free(&self, subnet: SubnetId, address: u32, now: Timestamp) -> bool {
        let Some(load) = self.index.addresses.of(subnet) else { return true };
        let from = (address, TaskId::from_bits(0));
        let mut lost = load.lost.range(from..).take_while(|(known, _)| *known == address);
        !load.held.contains_key(&address) && !lost.any(|(_, task)| self.may_run_still(*task, now))
    }

    /// Whether a lost task may run on its machine: until its agent has been back for a while, or the machine is gone for good.
    fn may_run_still(&self, task: TaskId, now: Timestamp) -> bool {
        let Some(instance) = self.tasks.get(&task).and_then(|task| self.instances.get(&task.instance)) else {
            return false;
        };
        !instance.connected || now.since(instance.session_opened_at) < STRAYS_GONE_AFTER
    }

    /// The first service that names a subnet, or whose deployments or task sets do, and is not inactive.
    pub(crate) fn service_in_subnet(&self, subnet: SubnetId) -> Option<&Arc<Service>> {
        let name = subnet.to_string();
        let names = |described: &crate::object::Described| {
            described.get(crate::object::NETWORK_CONFIGURATION).is_some_and(|json| json.contains(&name))
        };
        self.services.values().find(|service| {
            let sets = self.task_sets.get(&service.key);
            service.status != ServiceStatus::Inactive
                && (names(&service.spec.described)
                    || sets.is_some_and(|sets| sets.sets.iter().any(|set| names(&set.spec.described))))
        })
    }
}
