//! Why a task found no place: per node, the first filter that refused it, with numbers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use trireme_types::{ContainerInstanceId, CpuUnits, Mebibytes, Port, Protocol, Zone};

use crate::filter;
use crate::place::Ask;
use crate::view::Nodes;

/// Why one node refuses a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is being drained.
    Inactive,
    /// Its agent is not heard.
    AgentDisconnected,
    /// It is not what the task's definition requires.
    Attribute {
        /// The first attribute that is missing.
        name: String,
        /// The value that it should have, if any one value.
        value: Option<String>,
    },
    /// None of the task's subnets is in its zone.
    NoSubnet {
        /// The zone.
        zone: Zone,
    },
    /// No address is left in the task's subnets there.
    NoAddress {
        /// The zone.
        zone: Zone,
    },
    /// Too few cpu units are free.
    Cpu {
        /// What the task holds.
        wanted: CpuUnits,
        /// What is free.
        free: CpuUnits,
    },
    /// Too little memory is free.
    Memory {
        /// What the task holds.
        wanted: Mebibytes,
        /// What is free.
        free: Mebibytes,
    },
    /// Too few GPUs are free.
    Gpu {
        /// How many the task's containers ask for together.
        wanted: u32,
        /// How many are free.
        free: u32,
    },
    /// A fixed host port is in use or reserved.
    Port {
        /// The port's protocol.
        protocol: Protocol,
        /// The port.
        port: Port,
    },
    /// It holds as many tasks as one node may.
    TaskLimit {
        /// The limit.
        limit: usize,
    },
    /// A task of the group is on it, and each is to have an instance of its own.
    DistinctInstance {
        /// The group.
        group: String,
    },
    /// It is none of those that an expression means.
    MemberOf {
        /// The first such expression.
        expression: String,
    },
}

impl Refusal {
    /// As `failures[].reason` has it (ECS API: RunTask, StartTask). ECS has no code for the number of tasks; the last one is ours.
    pub fn ecs_reason(&self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::AgentDisconnected => "AGENT",
            Self::Attribute { .. } | Self::NoSubnet { .. } => "ATTRIBUTE",
            Self::NoAddress { .. } => "RESOURCE:ENI",
            Self::Cpu { .. } => "RESOURCE:CPU",
            Self::Memory { .. } => "RESOURCE:MEMORY",
            Self::Gpu { .. } => "RESOURCE:GPU",
            Self::Port { .. } => "RESOURCE:PORTS",
            Self::TaskLimit { .. } => "RESOURCE:TASKS",
            Self::DistinctInstance { .. } => "DistinctInstance placement constraint unsatisfied.",
            Self::MemberOf { .. } => "MemberOf placement constraint unsatisfied.",
        }
    }

    /// What follows "The closest matching (container-instance …)" in a service's event.
    pub fn event_text(&self) -> &'static str {
        match self {
            Self::Inactive => "encountered error \"INACTIVE\"",
            Self::AgentDisconnected => "encountered error \"AGENT\"",
            Self::Attribute { .. } => "is missing an attribute required by your task",
            Self::NoSubnet { .. } => "is in a zone without a subnet of your task",
            Self::NoAddress { .. } => "encountered error \"RESOURCE:ENI\"",
            Self::Cpu { .. } => "has insufficient CPU units available",
            Self::Memory { .. } => "has insufficient memory available",
            Self::Gpu { .. } => "encountered error \"RESOURCE:GPU\"",
            Self::Port { .. } => "is already using a port required by your task",
            Self::TaskLimit { .. } => "encountered error \"RESOURCE:TASKS\"",
            Self::DistinctInstance { .. } => {
                "encountered error \"DistinctInstance placement constraint unsatisfied.\""
            }
            Self::MemberOf { .. } => "encountered error \"MemberOf placement constraint unsatisfied.\"",
        }
    }

    /// How much is missing: a lower number is closer to a fit.
    pub fn shortfall(&self) -> u32 {
        match self {
            Self::Cpu { wanted, free } => wanted.saturating_sub(*free).get(),
            Self::Memory { wanted, free } => wanted.saturating_sub(*free).get(),
            Self::Gpu { wanted, free } => wanted.saturating_sub(*free),
            _ => 0,
        }
    }
}

/// With the numbers, for people.
impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inactive => f.write_str("is not ACTIVE"),
            Self::AgentDisconnected => f.write_str("agent is not connected"),
            Self::Attribute { name, value: None } => write!(f, "has no attribute {name}"),
            Self::Attribute { name, value: Some(value) } => write!(f, "attribute {name} is not {value}"),
            Self::NoSubnet { zone } => write!(f, "no subnet of the task is in {zone}"),
            Self::NoAddress { zone } => write!(f, "no address is free in the task's subnets in {zone}"),
            Self::Cpu { wanted, free } => write!(f, "cpu: wants {wanted} units, {free} free"),
            Self::Memory { wanted, free } => write!(f, "memory: wants {wanted} MiB, {free} free"),
            Self::Gpu { wanted, free: 0 } => write!(f, "GPUs: wants {wanted}, none free"),
            Self::Gpu { wanted, free } => write!(f, "GPUs: wants {wanted}, {free} free"),
            Self::Port { protocol, port } => write!(f, "port {port}/{} is in use", protocol.as_str()),
            Self::TaskLimit { limit } => write!(f, "holds {limit} tasks, the most that one instance may"),
            Self::DistinctInstance { group } => write!(f, "a task of {group} is on it already"),
            Self::MemberOf { expression } => write!(f, "is not a member of {expression}"),
        }
    }
}

/// One node's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRefusal {
    /// Which node.
    pub instance: ContainerInstanceId,
    /// Its operator's name for it.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
    /// How many filters it passed before.
    pub passed: usize,
    /// The first refusal.
    pub refusal: Refusal,
}

impl NodeRefusal {
    fn closeness(&self) -> Closeness {
        (Reverse(self.passed), self.refusal.shortfall(), self.instance)
    }
}

/// Refusals that an explanation has.
const REFUSALS: usize = 100;

/// Why a task found no place. No refusals means that the cluster has no nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Tasks without a place.
    pub unplaced: usize,
    /// How many nodes refuse for each reason, in ECS's words.
    pub reasons: BTreeMap<&'static str, usize>,
    /// The first refusal of each node, by id; of many nodes those that came closest.
    pub refusals: Vec<NodeRefusal>,
}

/// How close a node came, the closest first: most filters passed, then least missing, then the lowest id.
type Closeness = (Reverse<usize>, u32, ContainerInstanceId);

impl Explanation {
    /// Asks every node once more for its reason. O(nodes), but only once for a request that fails.
    pub(crate) fn of(nodes: &Nodes, ask: &Ask, unplaced: usize) -> Self {
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        let mut closest: BinaryHeap<(Closeness, usize)> = BinaryHeap::new();
        for node in nodes.iter() {
            let Some((passed, refusal)) = filter::first_refusal(node, ask) else { continue };
            let count = reasons.entry(refusal.ecs_reason()).or_default();
            *count = count.saturating_add(1);
            let near = ((Reverse(passed), refusal.shortfall(), node.id()), node.place());
            if closest.len() < REFUSALS {
                closest.push(near);
            } else if let Some(mut farthest) = closest.peek_mut().filter(|farthest| near < **farthest) {
                *farthest = near;
            }
        }
        let mut places: Vec<usize> = closest.into_iter().map(|(_, place)| place).collect();
        places.sort_unstable();
        let refusals = places.into_iter().filter_map(|place| {
            let node = nodes.at(place)?;
            let (passed, refusal) = filter::first_refusal(node, ask)?;
            let (instance, zone) = (node.id(), node.zone().clone());
            Some(NodeRefusal {
                instance,
                name: node.instance().registration.name.clone(),
                zone,
                passed,
                refusal,
            })
        });
        Self { unplaced, refusals: refusals.collect(), reasons }
    }

    /// Of nodes that were asked one by one.
    pub(crate) fn of_refusals(mut refusals: Vec<NodeRefusal>, unplaced: usize) -> Self {
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        for node in &refusals {
            let count = reasons.entry(node.refusal.ecs_reason()).or_default();
            *count = count.saturating_add(1);
        }
        refusals.sort_by_key(NodeRefusal::closeness);
        refusals.truncate(REFUSALS);
        refusals.sort_by_key(|node| node.instance);
        Self { unplaced, reasons, refusals }
    }

    /// The node that came closest: most filters passed, then least missing, then the lowest id.
    pub fn closest(&self) -> Option<&NodeRefusal> {
        self.refusals.iter().min_by_key(|node| node.closeness())
    }

    /// What follows "no container instance met all of its requirements." in a service's event.
    pub fn event_text(&self) -> String {
        match self.closest() {
            Some(node) => format!(
                "The closest matching (container-instance {}) {}.",
                node.instance,
                node.refusal.event_text()
            ),
            None => "Reason: No Container Instances were found in your cluster.".to_owned(),
        }
    }
}

/// One line: how many nodes refuse for each reason, and the closest with its numbers.
impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(closest) = self.closest() else {
            return f.write_str("the cluster has no container instances");
        };
        for (reason, count) in &self.reasons {
            write!(f, "{reason} on {count}, ")?;
        }
        write!(f, "closest {} ({}): {}", closest.name, closest.zone, closest.refusal)
    }
}
