//! Is there a subnet for the task in the node's zone?

use super::Filter;
use crate::explain::Refusal;
use crate::requirement::{Addresses, Wanted};
use crate::view::Node;

/// A subnet in the zone. Whether an address is left in it is the zone's matter, not the node's: placement counts them.
pub struct Subnets;

impl Filter for Subnets {
    fn passes(&self, node: &Node, wanted: &Wanted) -> bool {
        wanted.addresses.as_ref().is_none_or(|addresses| addresses.are_in(node.zone()))
    }

    fn explain(&self, node: &Node, _: &Wanted) -> Refusal {
        Refusal::NoSubnet { zone: node.zone().clone() }
    }
}

/// Why a node that every filter lets pass cannot take the task all the same: no address is left.
pub(crate) fn exhausted(node: &Node, addresses: Option<&Addresses>) -> Option<Refusal> {
    let none = addresses.is_some_and(|addresses| !addresses.are_left_in(node.zone()));
    none.then(|| Refusal::NoAddress { zone: node.zone().clone() })
}
