//! Filters: can this node hold this task at all? In the order in which ECS reports them: is the node there, is it what the task needs, is it
//! where its subnets are, then resources, then ports, then placement constraints.

use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

pub mod attributes;
pub mod constraints;
pub mod ports;
pub mod ready;
pub mod resources;
pub mod subnets;

/// One reason why a node may not hold a task. Within a request a filter may only refuse more as tasks are placed, never less: placement
/// asks a node that refused no second time.
pub trait Filter: Sync {
    /// Whether the node passes. Called often; allocates nothing.
    fn passes(&self, node: &Node, ask: &Ask) -> bool;

    /// Why it does not pass, with numbers. Asked only after a "no". Every filter must have an answer.
    fn explain(&self, node: &Node, ask: &Ask) -> Refusal;
}

/// All filters, in the order in which they are asked.
pub const FILTERS: [&dyn Filter; 12] = [
    &ready::Active,
    &ready::Connected,
    &attributes::Attributes,
    &subnets::Subnets,
    &resources::Cpu,
    &resources::Memory,
    &resources::Gpus,
    &ports::Ports,
    &resources::Slots,
    &subnets::Addresses,
    &constraints::DistinctInstance,
    &constraints::MemberOf,
];

/// Whether every filter lets the task pass.
pub fn fits(node: &Node, ask: &Ask) -> bool {
    FILTERS.iter().all(|filter| filter.passes(node, ask))
}

/// The first refusal, with the number of filters passed before it.
pub fn first_refusal(node: &Node, ask: &Ask) -> Option<(usize, Refusal)> {
    FILTERS
        .iter()
        .enumerate()
        .find(|(_, filter)| !filter.passes(node, ask))
        .map(|(passed, filter)| (passed, filter.explain(node, ask)))
}
