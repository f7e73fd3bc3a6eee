//! Binpack: the fullest node that still fits, so that large tasks find an empty one.

use trireme_types::{CpuUnits, Mebibytes};

use crate::view::Node;

/// Lower is fuller: memory first, for it cannot be overcommitted, then cpu.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fullness {
    free_memory: Mebibytes,
    free_cpu: CpuUnits,
}

impl Fullness {
    /// How full a node is.
    pub fn of(node: &Node) -> Self {
        Self { free_memory: node.free_memory(), free_cpu: node.free_cpu() }
    }
}
