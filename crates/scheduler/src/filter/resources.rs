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

/// GPUs.
pub struct Gpus;

impl Filter for Gpus {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.wanted.gpus == 0 || ask.wanted.gpus <= node.free_gpus()
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        Refusal::Gpu { wanted: ask.wanted.gpus, free: node.free_gpus() }
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
