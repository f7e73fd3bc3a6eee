//! What need not be looked at again: services that needed nothing, until something changes that they were judged by. Forgetting it
//! changes no plan.
//!
//! What changed since the pass before is found by comparing, at the cost of what changed: the state's maps share what did not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{ClusterKey, InstanceStatus, Launching, Service, ServiceKey};
use trireme_state::query::{Occupancy, Topology};
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

use super::room::{Change, Room, Wait};

/// What of the machines a service was judged by, beside those that its tasks are on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machines {
    /// Nothing.
    #[default]
    None,
    /// Which zones have some that take tasks.
    Zones,
    /// What each of them is.
    All,
}

/// A service that needed nothing, with what it was judged by.
pub struct Quiet {
    pub service: Arc<Service>,
    pub load: Arc<ServiceLoad>,
    /// It needs nothing before this.
    pub until: Option<Timestamp>,
    pub machines: Machines,
    /// Tasks for which there was no place.
    pub unplaced: usize,
    /// What they wait for.
    pub waits: Vec<Wait>,
}

impl Quiet {
    /// The cluster that its machines are in.
    fn machines_in(&self) -> ClusterKey {
        Launching::of(&self.service.spec.described).machines(&self.service.key.cluster)
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Services that needed nothing, each kind by key, as the state lists them.
#[derive(Default)]
pub struct Known {
    pub daemons: Vec<Quiet>,
    pub others: Vec<Quiet>,
}

/// Walks beside the state's services, in the same order: most comparisons are of two pointers.
pub struct Walk(std::iter::Peekable<std::vec::IntoIter<Quiet>>);

impl Walk {
    pub fn new(known: Vec<Quiet>) -> Self {
        Self(known.into_iter().peekable())
    }

    pub fn quiet(
        &mut self,
        service: &Arc<Service>,
        load: &Arc<ServiceLoad>,
        now: Timestamp,
    ) -> Option<Quiet> {
        let before = |known: &Quiet| !Arc::ptr_eq(&known.service, service) && known.service.key < service.key;
        while self.0.next_if(before).is_some() {}
        self.0.next_if(|known| {
            Arc::ptr_eq(&known.service, service) && is_same(&known.load, load) && !known.is_over(now)
        })
    }
}

/// Whether two loads are one. Of a service without any task each look gets another.
fn is_same(one: &Arc<ServiceLoad>, other: &Arc<ServiceLoad>) -> bool {
    let is_empty = |load: &ServiceLoad| load.tasks.is_empty() && load.stopped.is_empty();
    Arc::ptr_eq(one, other) || (is_empty(one) && is_empty(other))
}

/// The machines as one pass sees them.
#[derive(Clone, Default)]
pub struct Sight {
    topology: Topology,
    occupancy: Occupancy,
    /// Where no task may stay.
    pub draining: BTreeSet<ContainerInstanceId>,
    /// The zones of each cluster that have machines which take tasks.
    pub zones: BTreeMap<ClusterKey, BTreeSet<Zone>>,
}

impl Sight {
    /// How they are, given how they were.
    pub fn of(view: &State, before: &Self) -> Self {
        let (topology, occupancy) = (view.topology(), view.occupancy());
        if before.topology.is(&topology) {
            return Self { topology, occupancy, ..before.clone() };
        }
        let draining = view.instances().filter(|instance| instance.status == InstanceStatus::Draining);
        let draining = draining.map(|instance| instance.id).collect();
        Self { topology, occupancy, draining, zones: view.ready_zones() }
    }
}

/// What is kept from one pass to the next.
#[derive(Default)]
pub struct Memory {
    pub sight: Sight,
    pub healthy_after: Duration,
    pub quiet: Known,
    /// Where the last pass placed tasks: whoever was judged after that took them for there, and they may not have come.
    pub taken: BTreeSet<ContainerInstanceId>,
}

/// What is another than in the pass before.
#[derive(Default)]
pub struct News {
    /// Each machine, by cluster.
    changes: BTreeMap<ClusterKey, Vec<Change>>,
    /// Clusters whose machines themselves changed.
    machines: BTreeSet<ClusterKey>,
    /// Clusters of which other zones have machines that take tasks.
    zones: BTreeSet<ClusterKey>,
    /// Services with tasks on machines that began or ceased to be drained.
    drained: BTreeSet<ServiceKey>,
}

impl News {
    /// What changed since `memory`.
    pub fn of(view: &State, memory: &Memory, now: &Sight) -> Self {
        let before = &memory.sight;
        let machines = now.topology.changed_since(&before.topology);
        let loads = now.occupancy.changed_since(&before.occupancy);
        let all: BTreeSet<ContainerInstanceId> =
            machines.iter().chain(loads.keys()).chain(&memory.taken).copied().collect();
        let mut news = Self::default();
        for id in all {
            let Some(instance) = now.topology.instance(id).or_else(|| before.topology.instance(id)) else {
                continue;
            };
            let cluster = &instance.registration.cluster;
            let changed = machines.contains(&id);
            if changed {
                news.machines.insert(cluster.clone());
            }
            let more = changed || loads.get(&id) == Some(&true) || memory.taken.contains(&id);
            let room = if more { room(view, id) } else { Room::Less };
            let change = Change { instance: id, zone: instance.registration.zone.clone(), room };
            news.changes.entry(cluster.clone()).or_default().push(change);
        }
        let clusters = before.zones.keys().chain(now.zones.keys());
        news.zones = clusters.filter(|key| before.zones.get(key) != now.zones.get(key)).cloned().collect();
        let drained = before.draining.symmetric_difference(&now.draining);
        let tasks = drained.flat_map(|id| view.tasks_of_instance(*id));
        news.drained = tasks.filter_map(|task| task.service()).collect();
        news
    }

    /// Whether any of it is a reason to look again at a service that needed nothing, given where this pass has placed tasks so far.
    pub fn concerns(&self, quiet: &Quiet, taken: &BTreeSet<ContainerInstanceId>) -> bool {
        let key = &quiet.service.key;
        let machines = match quiet.machines {
            Machines::None => false,
            Machines::Zones => self.zones.contains(&quiet.machines_in()),
            Machines::All => self.machines.contains(&quiet.machines_in()),
        };
        let ends = |wait: &Wait| {
            let mut changes = self.changes.get(wait.cluster()).into_iter().flatten();
            changes.any(|change| wait.may_end(change)) || taken.iter().any(|id| wait.tells_of(*id))
        };
        machines || self.drained.contains(key) || quiet.waits.iter().any(ends)
    }
}

/// What there is on a machine.
fn room(view: &State, id: ContainerInstanceId) -> Room {
    let ready = |instance: &&Arc<_>| view.is_present(instance);
    let active = view.instance(id).filter(|instance| instance.status == InstanceStatus::Active);
    let Some(instance) = active.filter(ready) else { return Room::None };
    let (all, load) = (&instance.registration.resources, view.index().instance_load(id));
    Room::Free(all.cpu.saturating_sub(load.cpu), all.memory.saturating_sub(load.memory))
}
