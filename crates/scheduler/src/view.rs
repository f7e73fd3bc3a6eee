//! The nodes of one cluster as a working copy: what is free now, less what was placed on the copy.
//!
//! Reading order: this file (nodes) · `bits` (sets of them) · `catalog` (which are what) · `cells` (in which order they are looked at).

mod bits;
mod catalog;
mod cells;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use trireme_state::index::InstanceLoad;
use trireme_state::object::{ClusterKey, ContainerInstance, InstanceStatus};
use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_state::{Placement, State};
use trireme_types::{ContainerInstanceId, CpuUnits, Mebibytes, Port, Protocol, Zone};

pub(crate) use bits::Bits;
pub(crate) use catalog::{Catalog, Members, Of};
pub(crate) use cells::{Cells, Counts, Partition, Seat};

use crate::rank::Order;
use crate::requirement::Wanted;
use cells::Partitions;

/// One container instance with what is free on it.
#[derive(Debug, Clone)]
pub struct Node {
    instance: Arc<ContainerInstance>,
    load: Arc<InstanceLoad>,
    place: usize,
    /// Beside the rest of what is looked at for each task, so that a look at many nodes is one at little memory.
    active: bool,
    connected: bool,
    free_cpu: CpuUnits,
    free_memory: Mebibytes,
    tasks: usize,
    /// Ports placed on the copy, beside those of `load`.
    taken: BTreeSet<(Protocol, Port)>,
    /// GPUs that nobody held before the copy was made: looked for when they are asked for.
    gpus: OnceLock<u32>,
    /// GPUs placed on the copy.
    taken_gpus: u32,
}

impl Node {
    fn new(instance: Arc<ContainerInstance>, load: Arc<InstanceLoad>) -> Self {
        let total = &instance.registration.resources;
        Self {
            free_cpu: total.cpu.saturating_sub(load.cpu),
            free_memory: total.memory.saturating_sub(load.memory),
            tasks: load.tasks.len(),
            taken: BTreeSet::new(),
            gpus: OnceLock::new(),
            taken_gpus: 0,
            place: 0,
            active: instance.status == InstanceStatus::Active,
            connected: instance.connected,
            instance,
            load,
        }
    }

    /// The container instance.
    pub fn instance(&self) -> &ContainerInstance {
        &self.instance
    }

    /// Its id.
    pub fn id(&self) -> ContainerInstanceId {
        self.instance.id
    }

    /// Its zone.
    pub fn zone(&self) -> &Zone {
        &self.instance.registration.zone
    }

    /// Whether it is not being drained.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Whether its agent is heard.
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Its place among the nodes, which are sorted by id.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// Cpu units that nobody holds.
    pub fn free_cpu(&self) -> CpuUnits {
        self.free_cpu
    }

    /// Memory that nobody holds.
    pub fn free_memory(&self) -> Mebibytes {
        self.free_memory
    }

    /// GPUs that nobody holds.
    pub fn free_gpus(&self) -> u32 {
        let free = self.gpus.get_or_init(|| {
            let all = self.instance.registration.gpus();
            let free = all.iter().filter(|gpu| !self.load.gpus.contains(*gpu));
            u32::try_from(free.count()).unwrap_or(u32::MAX)
        });
        free.saturating_sub(self.taken_gpus)
    }

    /// Tasks on it, those placed on the copy among them.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// Whether a task may have this fixed host port.
    pub fn port_is_free(&self, port: (Protocol, Port)) -> bool {
        !self.load.ports.contains(&port)
            && !self.taken.contains(&port)
            && !self.instance.registration.resources.reserved_ports.contains(&port)
    }

    /// What a command says to place a task here.
    pub fn placement(&self) -> Placement {
        Placement { instance: self.instance.id, epoch: self.instance.epoch }
    }

    fn take(&mut self, wanted: &Wanted) {
        let held = &wanted.reservation;
        self.free_cpu = self.free_cpu.saturating_sub(held.cpu);
        self.free_memory = self.free_memory.saturating_sub(held.memory);
        self.taken.extend(held.ports.iter().copied());
        self.taken_gpus = self.taken_gpus.saturating_add(wanted.gpus);
        self.tasks = self.tasks.saturating_add(1);
    }
}

/// Where a node is among nodes that are sorted by id.
pub(crate) fn place_of(nodes: &[Node], id: ContainerInstanceId) -> Option<usize> {
    nodes.binary_search_by_key(&id, Node::id).ok()
}

/// A node's value of an attribute over which tasks are spread. The zone is what the instance is registered in, whatever is said of it.
pub(crate) fn spread_value<'a>(
    view: &'a State,
    instance: &'a ContainerInstance,
    name: &str,
) -> Option<&'a str> {
    if name == ZONE_ATTRIBUTE {
        return Some(instance.registration.zone.as_str());
    }
    view.attribute(instance, name)
}

/// A cluster's nodes, by id.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    view: State,
    nodes: Vec<Node>,
    catalog: Catalog,
    partitions: Partitions,
    /// Where tasks were placed on the copy, in order.
    taken: Vec<usize>,
    /// The same by the tasks' groups.
    placed: BTreeMap<String, Bits>,
}

impl Nodes {
    /// The nodes of `cluster` as `view` has them. O(nodes).
    pub fn of_cluster(view: &State, cluster: &ClusterKey) -> Self {
        let ids = view.index().instances_of_cluster(cluster);
        let nodes = Self::new(ids.iter().filter_map(|id| {
            let mut instance = view.instance(*id)?.clone();
            if instance.connected && !view.is_present(&instance) {
                // Its agent is away: it takes no tasks.
                Arc::make_mut(&mut instance).connected = false;
            }
            Some((instance, view.index().instance_load(*id)))
        }));
        Self { view: view.clone(), ..nodes }
    }

    /// These nodes, in any order. Nothing is known of them beside.
    pub fn new(nodes: impl Iterator<Item = (Arc<ContainerInstance>, Arc<InstanceLoad>)>) -> Self {
        let mut nodes: Vec<Node> = nodes.map(|(instance, load)| Node::new(instance, load)).collect();
        nodes.sort_by_key(Node::id);
        nodes.iter_mut().enumerate().for_each(|(place, node)| node.place = place);
        Self { nodes, ..Self::default() }
    }

    /// Every node, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// A node by its id.
    pub fn find(&self, id: ContainerInstanceId) -> Option<&Node> {
        place_of(&self.nodes, id).and_then(|at| self.nodes.get(at))
    }

    pub(crate) fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// What is known of the nodes, and what it is known of.
    pub(crate) fn catalog(&mut self) -> (&mut Catalog, Of<'_>) {
        let Self { view, nodes, catalog, placed, .. } = self;
        (catalog, Of { view, nodes, placed })
    }

    /// The copy, to place on: its nodes in cells of these attributes, and in each cell in this order.
    pub(crate) fn in_cells(&mut self, fields: &[String], order: Option<Order>) -> Desk<'_> {
        let (catalog, of) = self.catalog();
        let ready = catalog.ready(of);
        let Self { view, nodes, catalog, partitions, taken, .. } = self;
        let partition = partitions.get(fields, view, nodes);
        if let Some(order) = order {
            partition.follow(order, nodes, &ready, taken);
        }
        Desk { view, nodes, catalog, partition, taken }
    }

    /// Tasks of a group were placed on these nodes.
    pub(crate) fn remember(&mut self, group: &str, places: &Bits) {
        match self.placed.get_mut(group) {
            Some(known) => known.or(places),
            None => {
                self.placed.insert(group.to_owned(), places.clone());
            }
        }
    }
}

/// A copy while tasks of one request are placed on it.
pub(crate) struct Desk<'a> {
    pub view: &'a State,
    pub nodes: &'a mut [Node],
    pub partition: &'a Partition,
    catalog: &'a mut Catalog,
    taken: &'a mut Vec<usize>,
}

impl Desk<'_> {
    pub fn take(&mut self, place: usize, wanted: &Wanted) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        node.take(wanted);
        self.catalog.took(place, &wanted.reservation.ports);
        self.taken.push(place);
    }
}
