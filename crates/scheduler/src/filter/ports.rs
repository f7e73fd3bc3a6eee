//! Are the fixed host ports free on the node?

use trireme_types::{Port, Protocol};

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// Fixed host ports. A task that asks twice for the same port fits nowhere.
pub struct Ports;

impl Filter for Ports {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        first_conflict(node, ask).is_none()
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        let (protocol, port) = first_conflict(node, ask).unwrap_or_default();
        Refusal::Port { protocol, port }
    }
}

fn first_conflict(node: &Node, ask: &Ask) -> Option<(Protocol, Port)> {
    let mut asked = ask.wanted.reservation.ports.iter().enumerate();
    let conflict = asked.find(|(at, port)| {
        let before = ask.wanted.reservation.ports.get(..*at).unwrap_or_default();
        !node.port_is_free(**port) || before.contains(port)
    });
    conflict.map(|(_, port)| *port)
}
