//! Spread: a group's tasks evenly over zones, then over nodes. Stopping takes the same way back: from the most crowded.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use trireme_state::object::{Task, TaskStatus};
use trireme_types::{ContainerInstanceId, TaskId, Timestamp, Zone};

use crate::view::Node;

/// Whose tasks are spread.
#[derive(Debug, Clone, Default)]
pub enum Group {
    /// All tasks count, whoever wants them: for tasks without a service.
    #[default]
    EveryTask,
    /// Only these count.
    Counted(GroupCounts),
}

/// A group's tasks, counted.
#[derive(Debug, Clone, Default)]
pub struct GroupCounts {
    zones: BTreeMap<Zone, u32>,
    nodes: BTreeMap<ContainerInstanceId, u32>,
}

impl Group {
    /// A group of these tasks. Those to be stopped are not to be among them: their places are free soon.
    pub fn of_tasks<'a>(tasks: impl Iterator<Item = &'a Task>) -> Self {
        let mut counts = GroupCounts::default();
        for task in tasks {
            let zone = counts.zones.entry(task.zone.clone()).or_default();
            *zone = zone.saturating_add(1);
            let node = counts.nodes.entry(task.instance).or_default();
            *node = node.saturating_add(1);
        }
        Self::Counted(counts)
    }

    pub(crate) fn on_node(&self, node: &Node) -> u32 {
        match self {
            Self::EveryTask => u32::try_from(node.tasks()).unwrap_or(u32::MAX),
            Self::Counted(counts) => counts.nodes.get(&node.id()).copied().unwrap_or(0),
        }
    }

    pub(crate) fn in_zone<'a>(&self, zone: &Zone, nodes: impl Iterator<Item = &'a Node>) -> u32 {
        match self {
            Self::EveryTask => nodes.fold(0, |sum: u32, node| sum.saturating_add(self.on_node(node))),
            Self::Counted(counts) => counts.zones.get(zone).copied().unwrap_or(0),
        }
    }
}

/// What makes one of a node's tasks go before another: not yet running, then newer, then the higher id.
type StopKey = (bool, Timestamp, TaskId);

/// A node in the order of stopping: tasks of the group on it, its first task to stop, its id.
type NodeKey = (usize, StopKey, ContainerInstanceId);

#[derive(Default)]
struct ZoneTasks {
    count: usize,
    nodes: BTreeMap<ContainerInstanceId, BTreeSet<StopKey>>,
    order: BTreeSet<NodeKey>,
}

impl ZoneTasks {
    fn node_key(&self, node: ContainerInstanceId) -> Option<NodeKey> {
        let tasks = self.nodes.get(&node)?;
        Some((tasks.len(), *tasks.last()?, node))
    }

    fn take(&mut self) -> Option<TaskId> {
        let (_, first, node) = self.order.pop_last()?;
        self.nodes.get_mut(&node)?.remove(&first);
        self.count = self.count.saturating_sub(1);
        if let Some(key) = self.node_key(node) {
            self.order.insert(key);
        }
        Some(first.2)
    }
}

/// Which `count` of a group's tasks to stop, so that the rest stays as even as it can: from the most crowded zone, there from
/// the most crowded node, of its tasks one that does not run yet, else the newest.
pub fn choose_to_stop<'a>(tasks: impl Iterator<Item = &'a Task>, count: usize) -> Vec<TaskId> {
    let mut zones: BTreeMap<&Zone, ZoneTasks> = BTreeMap::new();
    for task in tasks {
        let zone = zones.entry(&task.zone).or_default();
        zone.count = zone.count.saturating_add(1);
        let key = (task.last_status < TaskStatus::Running, task.times.created_at, task.id);
        zone.nodes.entry(task.instance).or_default().insert(key);
    }
    for zone in zones.values_mut() {
        zone.order = zone.nodes.keys().filter_map(|node| zone.node_key(*node)).collect();
    }
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let most = zones.iter_mut().max_by_key(|(name, zone)| {
            (zone.count, zone.order.last().map(|(tasks, first, _)| (*tasks, *first)), Reverse(**name))
        });
        let Some(task) = most.and_then(|(_, zone)| zone.take()) else { break };
        chosen.push(task);
    }
    chosen
}
