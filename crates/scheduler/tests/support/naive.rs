//! The obvious placer: for each task, it looks at every node of the state and asks everything anew; what was placed is in the state. It follows
//! the answers of the other one, and says where they differ.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(dead_code)]

use trireme_scheduler::{Addresses, Expression, Request};
use trireme_state::limits::TASKS_PER_INSTANCE;
use trireme_state::object::*;
use trireme_state::query::ZONE_ATTRIBUTE;
use trireme_state::{Placement, State};
use trireme_types::*;

use super::world::{add_task, cluster, give_gpus};

/// A request as it is followed.
pub struct Naive<'a> {
    pub request: &'a Request,
    /// Where the tasks are that count for a spread; `None`: all do.
    pub counted: Option<Vec<ContainerInstanceId>>,
    pub addresses: Option<Addresses>,
    /// The number of the next task.
    pub next: u128,
}

/// A node's rank, as far as nothing is drawn.
type Rank = Vec<u128>;

impl<'a> Naive<'a> {
    pub fn new(request: &'a Request, counted: Option<Vec<ContainerInstanceId>>, next: u128) -> Self {
        Self { request, counted, addresses: request.wanted.addresses.clone(), next }
    }

    pub fn fits(&self, state: &State, node: &ContainerInstance) -> bool {
        let load = state.index().instance_load(node.id);
        let all = &node.registration.resources;
        let held = &self.request.wanted.reservation;
        let port_is_free = |(at, port): (usize, &(Protocol, Port))| {
            !load.ports.contains(port)
                && !all.reserved_ports.contains(port)
                && !held.ports[..at].contains(port)
        };
        node.status == InstanceStatus::Active
            && state.is_present(node)
            && self.request.wanted.requirements.iter().all(|one| one.is_met(node))
            && self.addresses.as_ref().is_none_or(|left| left.are_left_in(&node.registration.zone))
            && load.cpu.saturating_add(held.cpu) <= all.cpu
            && load.memory.saturating_add(held.memory) <= all.memory
            && self.request.wanted.gpus as usize + load.gpus.len() <= node.registration.gpus().len()
            && held.ports.iter().enumerate().all(port_is_free)
            && load.tasks.len() < TASKS_PER_INSTANCE
            && self.request.rules.constraints.iter().all(|one| self.is_met(state, node, one))
    }

    fn is_met(&self, state: &State, node: &ContainerInstance, constraint: &PlacementConstraint) -> bool {
        match constraint {
            PlacementConstraint::MemberOf(text) => {
                Expression::parse(text).is_ok_and(|one| one.holds(state, node, state.clock()))
            }
            PlacementConstraint::DistinctInstance => state.tasks_of_instance(node.id).iter().all(|task| {
                task.group != self.request.group.name() || task.desired_status == DesiredStatus::Stopped
            }),
        }
    }

    /// Tasks that count, on nodes that agree with `node` in these attributes.
    fn count(&self, state: &State, node: &ContainerInstance, fields: &[String]) -> u128 {
        let agrees = |other: &ContainerInstance| {
            fields.iter().all(|field| value(state, other, field) == value(state, node, field))
        };
        let here = |id: &ContainerInstanceId| state.instance(*id).is_some_and(|other| agrees(other));
        match &self.counted {
            Some(tasks) => tasks.iter().filter(|id| here(id)).count() as u128,
            None => {
                let nodes = state.instances().filter(|other| agrees(other));
                nodes.map(|other| state.index().instance_load(other.id).tasks.len() as u128).sum()
            }
        }
    }

    fn on_node(&self, state: &State, node: &ContainerInstance) -> u128 {
        match &self.counted {
            Some(tasks) => tasks.iter().filter(|id| **id == node.id).count() as u128,
            None => state.index().instance_load(node.id).tasks.len() as u128,
        }
    }

    /// The node's rank; up to what is drawn.
    fn rank(&self, state: &State, node: &ContainerInstance) -> Rank {
        let zones = vec![PlacementStrategy::Spread(SpreadField::Attribute(ZONE_ATTRIBUTE.to_owned()))];
        let given = &self.request.rules.strategy;
        let strategy = if given.is_empty() { &zones } else { given };
        let load = state.index().instance_load(node.id);
        let all = &node.registration.resources;
        let free_cpu = u128::from(all.cpu.saturating_sub(load.cpu).get());
        let free_memory = u128::from(all.memory.saturating_sub(load.memory).get());
        let (mut rank, mut fields) = (Rank::new(), Vec::new());
        for one in strategy {
            rank.push(match one {
                PlacementStrategy::Spread(SpreadField::Attribute(name)) => {
                    fields.push(name.clone());
                    self.count(state, node, &fields)
                }
                PlacementStrategy::Spread(SpreadField::InstanceId) => self.on_node(state, node),
                PlacementStrategy::Binpack(BinpackField::Cpu) => free_cpu,
                PlacementStrategy::Binpack(BinpackField::Memory) => free_memory,
                PlacementStrategy::Random => return rank,
            });
        }
        rank.extend([self.on_node(state, node), free_memory, free_cpu, node.id.bits()]);
        rank
    }

    /// The best rank of all nodes that fit.
    pub fn best(&self, state: &State) -> Option<Rank> {
        let fitting = state.instances().filter(|node| self.fits(state, node));
        fitting.map(|node| self.rank(state, node)).min()
    }

    /// Puts one task there, in the state.
    pub fn take(&mut self, state: &mut State, instance: ContainerInstanceId) {
        let zone = state.instance(instance).unwrap().registration.zone.clone();
        if let Some(addresses) = &mut self.addresses {
            addresses.take(&zone);
        }
        if let Some(counted) = &mut self.counted {
            counted.push(instance);
        }
        let group = self.request.group.name().to_owned();
        let mut task = super::task(self.next, zone.as_str(), 0, TaskStatus::Pending, 0);
        task.instance = instance;
        task.reservation = self.request.wanted.reservation.clone();
        if let Some(name) = group.strip_prefix("service:") {
            let (name, deployment) = (ServiceName::new(name).unwrap(), DeploymentId::from_random(1));
            task.origin = TaskOrigin::Service { name, deployment };
        }
        task.group = group;
        self.next += 1;
        assert_eq!(task.cluster, cluster());
        let id = task.id;
        add_task(state, task);
        give_gpus(state, id, self.request.wanted.gpus);
    }

    /// Follows the answers on the state.
    pub fn follow(mut self, state: &mut State, placements: &[Placement]) -> Result<u128, String> {
        for (at, placement) in placements.iter().enumerate() {
            let node = state.instance(placement.instance).ok_or("no such node")?.clone();
            if !self.fits(state, &node) {
                return Err(format!("task {at} does not fit on {}", node.registration.name));
            }
            let (best, chosen) = (self.best(state), self.rank(state, &node));
            if best.as_ref() != Some(&chosen) {
                return Err(format!(
                    "task {at} on {} has {chosen:?}, the best {best:?}",
                    node.registration.name
                ));
            }
            self.take(state, placement.instance);
        }
        let missing = self.request.count - placements.len();
        match self.best(state) {
            Some(best) if missing > 0 => Err(format!("one more fits: {best:?}")),
            _ => Ok(self.next),
        }
    }
}

/// A node's value of what tasks are spread over.
fn value<'a>(state: &'a State, node: &'a ContainerInstance, field: &str) -> Option<&'a str> {
    match field {
        ZONE_ATTRIBUTE => Some(node.registration.zone.as_str()),
        _ => state.attribute(node, field),
    }
}
