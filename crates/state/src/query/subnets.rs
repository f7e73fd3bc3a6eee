//! Subnets, and which of their addresses are free.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use trireme_types::{Scope, SubnetId, TaskId, Timestamp, planted};

use crate::State;
use crate::object::{Hold, Interface, Service, ServiceStatus, Subnet};

/// So long after its agent came back, or after its instance was deregistered, a machine may still run what it should not: an agent removes
/// such containers before it does anything else.
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
    pub fn free_addresses(&self, subnet: &Subnet, now: Timestamp) -> u32 {
        let held = self.index.addresses.of(subnet.id).map_or(0, |load| load.held.len());
        let taken = held.saturating_add(self.waiting_addresses(subnet.id, now).len());
        subnet.capacity().saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Addresses of a subnet that nobody may have, as lost tasks may run there still.
    pub fn waiting_addresses(&self, subnet: SubnetId, now: Timestamp) -> BTreeSet<u32> {
        let Some(load) = self.index.addresses.of(subnet) else { return BTreeSet::new() };
        let waits = |(address, task): &&(u32, TaskId)| {
            !load.held.contains_key(address) && self.may_run_still(*task, now)
        };
        load.lost.iter().filter(waits).map(|(address, _)| *address).collect()
    }

    /// Whether no task holds an address, nor one that may run somewhere still.
    pub(crate) fn is_address_free(&self, subnet: SubnetId, address: u32, now: Timestamp) -> bool {
        let Some(load) = self.index.addresses.of(subnet) else { return true };
        let from = (address, TaskId::from_bits(0));
        let mut lost = load.lost.range(from..).take_while(|(known, _)| *known == address);
        !load.held.contains_key(&address) && !lost.any(|(_, task)| self.may_run_still(*task, now))
    }

    /// Whether a task that is STOPPED has an address that nobody else may have yet: then it is not forgotten either.
    pub fn holds_address(&self, task: TaskId, now: Timestamp) -> bool {
        self.interfaces.contains_key(&task) && self.may_run_still(task, now)
    }

    /// Whether a lost task may run on its machine: until its agent has been back for a while. An agent that cannot remove what it is not
    /// to run begins another session. Of a machine that was deregistered an operator says that it is gone; its agent, if it hears of
    /// it, needs a while too.
    fn may_run_still(&self, task: TaskId, now: Timestamp) -> bool {
        if planted::is("lost-address-is-free") {
            return false;
        }
        match self.interfaces.get(&task).map(|interface| interface.hold) {
            Some(Hold::Deregistered(at)) => return now.since(at) < STRAYS_GONE_AFTER,
            Some(Hold::Lost) => {}
            Some(Hold::Task | Hold::Nobody) | None => return false,
        }
        let Some(task) = self.tasks.get(&task) else { return false };
        let Some(instance) = self.instances.get(&task.instance) else {
            return task.times.stopped_at.is_some_and(|at| now.since(at) < STRAYS_GONE_AFTER);
        };
        // One that was back and fell silent is connected until it is lost again.
        let silent = self.lost_after(&instance.registration.cluster).unwrap_or_default();
        !self.is_present(instance) || now.since(instance.session_opened_at) < STRAYS_GONE_AFTER.max(silent)
    }

    /// The first service that is not inactive and names a subnet, or whose task sets do, or what it may be rolled back to.
    pub(crate) fn service_in_subnet(&self, subnet: SubnetId) -> Option<&Arc<Service>> {
        let name = subnet.to_string();
        let names = |described: &crate::object::Described| {
            described.get(crate::object::NETWORK_CONFIGURATION).is_some_and(|json| json.contains(&name))
        };
        self.services.values().find(|service| {
            let sets = self.task_sets.get(&service.key);
            let history = self.deployment_history(&service.key);
            let under_way = history.deployments.iter().filter(|one| one.status.is_under_way());
            let mut revisions =
                under_way.filter_map(|one| history.revision(one.target)).chain(history.last_successful());
            service.status != ServiceStatus::Inactive
                && (names(&service.spec.described)
                    || revisions.any(|revision| names(&revision.spec.described))
                    || sets.is_some_and(|sets| sets.sets.iter().any(|set| names(&set.spec.described))))
        })
    }
}
