//! Does the node have enough left?

use trireme_state::limits::TASKS_PER_INSTANCE;

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// Cpu units.
pub struct Cpu;

impl Filter for Cpu {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.wanted.reservation.cpu <= node.free_cpu()
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        Refusal::Cpu { wanted: ask.wanted.reservation.cpu, free: node.free_cpu() }
    }
}

/// Memory.
pub struct Memory;

impl Filter for Memory {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.wanted.reservation.memory <= node.free_memory()
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        Refusal::Memory { wanted: ask.wanted.reservation.memory, free: node.free_memory() }
    }
}

/// The number of tasks that one node may hold.
pub struct Slots;

impl Filter for Slots {
    fn passes(&self, node: &Node, _: &Ask) -> bool {
        node.tasks() < TASKS_PER_INSTANCE
    }

    fn explain(&self, _: &Node, _: &Ask) -> Refusal {
        Refusal::TaskLimit { limit: TASKS_PER_INSTANCE }
    }
}
