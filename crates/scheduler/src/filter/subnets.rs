//! Is there a subnet for the task in the node's zone, and an address in it?

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// A subnet in the zone.
pub struct Subnets;

impl Filter for Subnets {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.wanted.addresses.as_ref().is_none_or(|addresses| addresses.are_in(node.zone()))
    }

    fn explain(&self, node: &Node, _: &Ask) -> Refusal {
        Refusal::NoSubnet { zone: node.zone().clone() }
    }
}

/// An address that is left in one of the zone's subnets.
pub struct Addresses;

impl Filter for Addresses {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.has_address(node)
    }

    fn explain(&self, node: &Node, _: &Ask) -> Refusal {
        Refusal::NoAddress { zone: node.zone().clone() }
    }
}
