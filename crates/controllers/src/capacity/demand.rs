//! How many machines the tasks of a capacity provider need: those on which they run, and as many more as the tasks without a place would
//! fill. The latter is found out by placing them on machines that are not there: copies of those that are, empty, filled one after another.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_scheduler::{Nodes, Request, place_on, share};
use trireme_state::State;
use trireme_state::index::InstanceLoad;
use trireme_state::object::{
    BinpackField, CapacityProvider, ClusterKey, ContainerInstance, InstanceStatus, Launch, PlacementRules,
    PlacementStrategy, SchedulingStrategy, Task, WaitingRun,
};
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

use super::{Copies, copy};
use crate::unit::{self, Unit};

/// Machines of one zone that are thought of; more are found out about when these are there.
const THOUGHT_OF: u32 = 200;

/// A pool as it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Demand {
    /// Machines that take tasks and are to stay.
    pub usable: Vec<Arc<ContainerInstance>>,
    /// Of them, those that nothing but daemons runs on or is about to.
    pub empty: BTreeSet<ContainerInstanceId>,
    /// Machines that someone else drains.
    pub drained: u32,
    /// Machines whose agents are heard, all of them.
    pub present: u32,
    /// How many are needed.
    pub needed: u32,
}

/// A pool as it stands, for people and metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Machines whose agents are heard.
    pub present: u32,
    /// Machines that its tasks need.
    pub needed: u32,
    /// ECS API: CapacityProviderReservation, in percent.
    pub reservation: u32,
}

impl Demand {
    pub fn standing(&self) -> Standing {
        let there = u32::try_from(self.usable.len()).unwrap_or(u32::MAX);
        Standing {
            present: self.present,
            needed: self.needed,
            reservation: super::size::reservation(self.needed, there),
        }
    }
}

/// How a provider's pool stands.
pub fn standing(view: &State, provider: &CapacityProvider, now: Timestamp) -> Standing {
    standings(view, std::iter::once(provider), now)
        .into_iter()
        .next()
        .map(|(_, found)| found)
        .unwrap_or_default()
}

/// How providers' pools stand, found out together: what waits is placed once for all of them.
pub fn standings<'a>(
    view: &State,
    providers: impl Iterator<Item = &'a CapacityProvider>,
    now: Timestamp,
) -> Vec<(&'a CapacityProvider, Standing)> {
    let mut copies = Copies::new();
    let waiting = super::CapacityController::default();
    let mut plan = crate::Plan::default();
    let without = super::waiting::plan(&waiting, view, now, &mut copies, &mut plan);
    let mut standing = |provider| of(view, provider, &without, &mut copies, now).standing();
    providers.map(|provider| (provider, standing(provider))).collect()
}

pub(super) fn of(
    view: &State,
    provider: &CapacityProvider,
    waiting: &[(&Arc<WaitingRun>, Request)],
    copies: &mut Copies,
    now: Timestamp,
) -> Demand {
    let leaving = view.pool_size(&provider.key).map_or(&[][..], |size| &size.leaving);
    let (mut demand, mut requests) = (Demand::default(), Vec::new());
    let name = &provider.key.name;
    for cluster in view.clusters_of_provider(&provider.key) {
        requests.extend(lacking(view, cluster, provider, copies, now));
        let of_cluster = |run: &WaitingRun| run.cluster == *cluster && run.launch.provider() == Some(name);
        let own = waiting.iter().filter(|(run, _)| of_cluster(run)).map(|(_, request)| request.clone());
        requests.extend(own);
    }
    for instance in view.instances_of_provider(provider).into_iter().filter(|one| one.connected) {
        demand.present = demand.present.saturating_add(1);
        if leaving.contains(&instance.id) {
            continue;
        }
        if instance.status != InstanceStatus::Active || !view.is_present(&instance) {
            demand.drained = demand.drained.saturating_add(1);
            continue;
        }
        let copied = copies.get(&instance.registration.cluster).and_then(|nodes| nodes.find(instance.id));
        let placed =
            copied.is_some_and(|node| node.tasks() > view.index().instance_load(instance.id).tasks.len());
        if placed || runs_others(view, instance.id) {
            demand.needed = demand.needed.saturating_add(1);
        } else {
            demand.empty.insert(instance.id);
        }
        demand.usable.push(instance);
    }
    let more = more(&demand.usable, &requests);
    demand.needed = demand.needed.saturating_add(more);
    if !requests.is_empty() {
        // As long as anything waits one machine stays, to say what machines of the pool are: without it another would come and go.
        demand.needed = demand.needed.max(1);
    }
    demand
}

/// Whether anything but daemons runs on a machine.
pub(super) fn runs_others(view: &State, instance: ContainerInstanceId) -> bool {
    let is_daemon = |task: &Task| {
        let service = task.service().and_then(|key| view.service(&key).cloned());
        service.is_some_and(|one| SchedulingStrategy::of(&one.spec.described) == SchedulingStrategy::Daemon)
    };
    view.tasks_of_instance(instance).iter().any(|task| !is_daemon(task))
}

/// What a cluster's services lack of a provider, once what finds a place is placed on the copy.
fn lacking(
    view: &State,
    cluster: &ClusterKey,
    provider: &CapacityProvider,
    copies: &mut Copies,
    now: Timestamp,
) -> Vec<Request> {
    let mut lacking = Vec::new();
    for service in view.services_of_cluster(cluster) {
        for unit in Unit::of_service(view, service) {
            let launching = unit.launching();
            let strategy = launching.strategy();
            let Some(item) = strategy.iter().position(|item| item.provider == provider.key.name) else {
                continue;
            };
            let tasks = view.tasks_of_service(&service.key);
            let there: Vec<&Arc<Task>> = tasks.iter().filter(|task| unit.holds(view, task)).collect();
            let there = || there.iter().map(|task| &***task);
            let missing = (unit.desired as usize).saturating_sub(there().count());
            let counts = unit::shares(view, strategy, there());
            let count = share::split(strategy, &counts, missing).get(item).copied().unwrap_or(0);
            if count == 0 {
                continue;
            }
            let launch = Launch::Provider(provider.key.name.clone());
            let Some(request) = unit.request_on(view, there(), (count, Some(&launch)), now) else { continue };
            let placed = place_on(copy(copies, view, cluster), &request);
            let unplaced = placed.unplaced.map_or(0, |why| why.unplaced);
            if unplaced > 0 {
                lacking.push(Request { count: unplaced, ..request });
            }
        }
    }
    lacking
}

/// How many machines more these would fill. Nothing is known of the machines of a pool that has none: then one
/// is enough to begin with, and more follow once it has said what it is.
fn more(usable: &[Arc<ContainerInstance>], requests: &[Request]) -> u32 {
    let all = requests.iter().fold(0_usize, |sum, request| sum.saturating_add(request.count));
    if all == 0 || usable.is_empty() {
        return u32::from(all > 0);
    }
    let mut nodes = thought_of(usable, u32::try_from(all).unwrap_or(u32::MAX).min(THOUGHT_OF));
    let mut filled: BTreeSet<ContainerInstanceId> = BTreeSet::new();
    for request in requests {
        let strategy = vec![PlacementStrategy::Binpack(BinpackField::Memory)];
        let rules = PlacementRules { strategy, ..request.rules.clone() };
        let placed = place_on(&mut nodes, &Request { rules, ..request.clone() });
        filled.extend(placed.placements.iter().map(|placement| placement.instance));
    }
    u32::try_from(filled.len()).unwrap_or(u32::MAX)
}

/// Empty machines like the largest that each zone has.
fn thought_of(usable: &[Arc<ContainerInstance>], count: u32) -> Nodes {
    let mut zones: Vec<(&Zone, &Arc<ContainerInstance>)> = Vec::new();
    for instance in usable {
        let size = |one: &ContainerInstance| {
            let resources = &one.registration.resources;
            (resources.memory, resources.cpu)
        };
        let zone = &instance.registration.zone;
        match zones.iter_mut().find(|(known, _)| *known == zone) {
            Some((_, largest)) if size(largest) < size(instance) => *largest = instance,
            Some(_) => {}
            None => zones.push((zone, instance)),
        }
    }
    let mut id = 0_u128;
    let mut nodes = Vec::new();
    for (_, like) in zones {
        for _ in 0..count {
            id = id.saturating_add(1);
            let mut instance = (**like).clone();
            instance.id = ContainerInstanceId::from_bits(id);
            nodes.push((Arc::new(instance), Arc::new(InstanceLoad::default())));
        }
    }
    Nodes::new(nodes.into_iter())
}
