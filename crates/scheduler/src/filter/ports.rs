//! Are the fixed host ports free on the node?

use trireme_types::{Port, Protocol};

use super::Filter;
use crate::explain::Refusal;
use crate::requirement::Wanted;
use crate::view::Node;

/// Fixed host ports. A task that asks twice for the same port fits nowhere.
pub struct Ports;

impl Filter for Ports {
    fn passes(&self, node: &Node, wanted: &Wanted) -> bool {
        first_conflict(node, wanted).is_none()
    }

    fn explain(&self, node: &Node, wanted: &Wanted) -> Refusal {
        let (protocol, port) = first_conflict(node, wanted).unwrap_or_default();
        Refusal::Port { protocol, port }
    }
}

fn first_conflict(node: &Node, wanted: &Wanted) -> Option<(Protocol, Port)> {
    let mut asked = wanted.reservation.ports.iter().enumerate();
    let conflict = asked.find(|(at, port)| {
        let before = wanted.reservation.ports.get(..*at).unwrap_or_default();
        !node.port_is_free(**port) || before.contains(port)
    });
    conflict.map(|(_, port)| *port)
}
