//! The entry: a request for so many places, answered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use trireme_state::object::ClusterKey;
use trireme_state::{Placement, State};
use trireme_types::{ContainerInstanceId, Zone};

use crate::explain::{Explanation, Refusal};
use crate::filter;
use crate::requirement::Wanted;
use crate::score::binpack::Fullness;
use crate::score::spread::Group;
use crate::view::{Node, Nodes};

/// So many tasks of one shape.
#[derive(Debug, Clone)]
pub struct Request {
    /// What each asks of its machine.
    pub wanted: Wanted,
    /// Whose tasks to keep apart.
    pub group: Group,
    /// How many.
    pub count: usize,
}

/// What a request came to. Places and unplaced tasks add up to the count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// One for each task that found a place, in the order of choice.
    pub placements: Vec<Placement>,
    /// Why the rest did not.
    pub unplaced: Option<Explanation>,
}

/// Places tasks on the nodes of a cluster.
pub fn place(view: &State, cluster: &ClusterKey, request: &Request) -> Placed {
    place_on(&mut Nodes::of_cluster(view, cluster), request)
}

/// Whether one task fits on one node of the state, for callers who chose it themselves (ECS API: StartTask). `None` when
/// there is no such node.
pub fn check(
    view: &State,
    instance: ContainerInstanceId,
    wanted: &Wanted,
) -> Option<Result<Placement, Refusal>> {
    let found = view.instance(instance)?.clone();
    let nodes = Nodes::new(std::iter::once((found, view.index().instance_load(instance))));
    let node = nodes.find(instance)?;
    let refusal = filter::first_refusal(node, wanted).map(|(_, refusal)| refusal);
    let exhausted = || filter::subnets::exhausted(node, wanted.addresses.as_ref());
    Some(match refusal.or_else(exhausted) {
        Some(refusal) => Err(refusal),
        None => Ok(node.placement()),
    })
}

/// A node's place in the order of choice within its zone; the lowest first.
type Key = (u32, Fullness, ContainerInstanceId);

/// A zone's nodes that may still take a task, the best on top.
struct Candidates {
    zone: Zone,
    group_tasks: u32,
    heap: BinaryHeap<Reverse<(Key, usize)>>,
}

impl Candidates {
    /// The best node that fits. Those above it that do not fit are dropped: nothing frees up within a request.
    fn best(&mut self, nodes: &Nodes, wanted: &Wanted) -> Option<Key> {
        while let Some(Reverse((key, place))) = self.heap.peek() {
            if nodes.at(*place).is_some_and(|node| filter::fits(node, wanted)) {
                return Some(*key);
            }
            self.heap.pop();
        }
        None
    }
}

fn key(node: &Node, group_tasks: u32) -> Key {
    (group_tasks, Fullness::of(node), node.id())
}

/// Places tasks on a working copy, which then holds them.
pub fn place_on(nodes: &mut Nodes, request: &Request) -> Placed {
    let mut zones = candidates(nodes, &request.group);
    let mut addresses = request.wanted.addresses.clone();
    let mut placements = Vec::with_capacity(request.count.min(nodes.iter().count().saturating_mul(64)));
    while placements.len() < request.count {
        if let Some(left) = &addresses {
            // None frees up within a request.
            zones.retain(|zone| left.are_left_in(&zone.zone));
        }
        let Some((zone, placement)) = place_one(nodes, &mut zones, &request.wanted) else { break };
        if let Some(left) = &mut addresses {
            left.take(&zone);
        }
        placements.push(placement);
    }
    let missing = request.count.saturating_sub(placements.len());
    let unplaced =
        (missing > 0).then(|| Explanation::of(nodes, &request.wanted, addresses.as_ref(), missing));
    Placed { placements, unplaced }
}

fn candidates(nodes: &Nodes, group: &Group) -> Vec<Candidates> {
    let zones = nodes.zones().map(|(zone, places)| {
        let members = || places.iter().filter_map(|place| nodes.at(*place));
        let heap = places
            .iter()
            .zip(members())
            .map(|(place, node)| Reverse((key(node, group.on_node(node)), *place)));
        Candidates { zone: zone.clone(), group_tasks: group.in_zone(zone, members()), heap: heap.collect() }
    });
    zones.collect()
}

/// Of the zones with fewest tasks of the group, the one with the best node. A zone without a node that fits is out of the
/// comparison for good.
fn place_one(nodes: &mut Nodes, zones: &mut Vec<Candidates>, wanted: &Wanted) -> Option<(Zone, Placement)> {
    zones.retain_mut(|zone| zone.best(nodes, wanted).is_some());
    let zone = zones
        .iter_mut()
        .min_by_key(|zone| (zone.group_tasks, zone.heap.peek().map(|Reverse((key, _))| *key)))?;
    let Reverse(((group_tasks, ..), place)) = zone.heap.pop()?;
    let placement = nodes.take(place, &wanted.reservation)?;
    zone.group_tasks = zone.group_tasks.saturating_add(1);
    let node = nodes.at(place)?;
    zone.heap.push(Reverse((key(node, group_tasks.saturating_add(1)), place)));
    Some((zone.zone.clone(), placement))
}
