//! Filters: can this node hold this task at all? In the order in which ECS reports them: is the node there, is it what the task needs, is it where its subnets are,
//! then resources, then ports.

use crate::explain::Refusal;
use crate::requirement::Wanted;
use crate::view::Node;

pub mod attributes;
pub mod ports;
pub mod ready;
pub mod resources;
pub mod subnets;

/// One reason why a node may not hold a task. A filter may only refuse more as a node fills, never less: placement asks a
/// node that refused no second time within a call.
pub trait Filter: Sync {
    /// Whether the node passes. Called often; allocates nothing.
    fn passes(&self, node: &Node, wanted: &Wanted) -> bool;

    /// Why it does not pass, with numbers. Asked only after a "no". Every filter must have an answer.
    fn explain(&self, node: &Node, wanted: &Wanted) -> Refusal;
}

/// All filters, in the order in which they are asked.
pub const FILTERS: [&dyn Filter; 8] = [
    &ready::Active,
    &ready::Connected,
    &attributes::Attributes,
    &subnets::Subnets,
    &resources::Cpu,
    &resources::Memory,
    &ports::Ports,
    &resources::Slots,
];

/// Whether every filter lets the task pass.
pub fn fits(node: &Node, wanted: &Wanted) -> bool {
    FILTERS.iter().all(|filter| filter.passes(node, wanted))
}

/// The first refusal, with the number of filters passed before it.
pub fn first_refusal(node: &Node, wanted: &Wanted) -> Option<(usize, Refusal)> {
    FILTERS
        .iter()
        .enumerate()
        .find(|(_, filter)| !filter.passes(node, wanted))
        .map(|(passed, filter)| (passed, filter.explain(node, wanted)))
}
