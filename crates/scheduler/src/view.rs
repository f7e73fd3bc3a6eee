//! The nodes of one cluster as a working copy: what is free now, less what was placed on the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use trireme_state::index::InstanceLoad;
use trireme_state::object::{ClusterKey, ContainerInstance, Reservation};
use trireme_state::{Placement, State};
use trireme_types::{ContainerInstanceId, CpuUnits, Mebibytes, Port, Protocol, Zone};

/// One container instance with what is free on it.
#[derive(Debug, Clone)]
pub struct Node {
    instance: Arc<ContainerInstance>,
    load: Arc<InstanceLoad>,
    free_cpu: CpuUnits,
    free_memory: Mebibytes,
    tasks: usize,
    /// Ports placed on the copy, beside those of `load`.
    taken: BTreeSet<(Protocol, Port)>,
}

impl Node {
    fn new(instance: Arc<ContainerInstance>, load: Arc<InstanceLoad>) -> Self {
        let total = &instance.registration.resources;
        Self {
            free_cpu: total.cpu.saturating_sub(load.cpu),
            free_memory: total.memory.saturating_sub(load.memory),
            tasks: load.tasks.len(),
            taken: BTreeSet::new(),
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

    /// Cpu units that nobody holds.
    pub fn free_cpu(&self) -> CpuUnits {
        self.free_cpu
    }

    /// Memory that nobody holds.
    pub fn free_memory(&self) -> Mebibytes {
        self.free_memory
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

    fn take(&mut self, wanted: &Reservation) {
        self.free_cpu = self.free_cpu.saturating_sub(wanted.cpu);
        self.free_memory = self.free_memory.saturating_sub(wanted.memory);
        self.taken.extend(wanted.ports.iter().copied());
        self.tasks = self.tasks.saturating_add(1);
    }
}

/// A cluster's nodes, by id, grouped by zone.
#[derive(Debug, Clone, Default)]
pub struct Nodes {
    nodes: Vec<Node>,
    zones: BTreeMap<Zone, Vec<usize>>,
}

impl Nodes {
    /// The nodes of `cluster` as `view` has them. O(nodes).
    pub fn of_cluster(view: &State, cluster: &ClusterKey) -> Self {
        let ids = view.index().instances_of_cluster(cluster);
        Self::new(ids.iter().filter_map(|id| {
            let mut instance = view.instance(*id)?.clone();
            if instance.connected && !view.is_present(&instance) {
                // Its agent is away: it takes no tasks.
                Arc::make_mut(&mut instance).connected = false;
            }
            Some((instance, view.index().instance_load(*id)))
        }))
    }

    /// These nodes, in any order.
    pub fn new(nodes: impl Iterator<Item = (Arc<ContainerInstance>, Arc<InstanceLoad>)>) -> Self {
        let mut nodes: Vec<Node> = nodes.map(|(instance, load)| Node::new(instance, load)).collect();
        nodes.sort_by_key(Node::id);
        let mut zones: BTreeMap<Zone, Vec<usize>> = BTreeMap::new();
        for (at, node) in nodes.iter().enumerate() {
            match zones.get_mut(node.zone()) {
                Some(zone) => zone.push(at),
                None => {
                    zones.insert(node.zone().clone(), vec![at]);
                }
            }
        }
        Self { nodes, zones }
    }

    /// Every node, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// A node by its id.
    pub fn find(&self, id: ContainerInstanceId) -> Option<&Node> {
        self.nodes.binary_search_by_key(&id, Node::id).ok().and_then(|at| self.nodes.get(at))
    }

    /// Each zone with the places of its nodes.
    pub(crate) fn zones(&self) -> impl Iterator<Item = (&Zone, &[usize])> {
        self.zones.iter().map(|(zone, nodes)| (zone, nodes.as_slice()))
    }

    pub(crate) fn at(&self, place: usize) -> Option<&Node> {
        self.nodes.get(place)
    }

    pub(crate) fn take(&mut self, place: usize, wanted: &Reservation) -> Option<Placement> {
        let node = self.nodes.get_mut(place)?;
        node.take(wanted);
        Some(node.placement())
    }
}
