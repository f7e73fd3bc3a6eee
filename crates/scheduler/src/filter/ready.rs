//! Is the node there to take tasks?

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// The node is not being drained.
pub struct Active;

impl Filter for Active {
    fn passes(&self, node: &Node, _: &Ask) -> bool {
        node.is_active()
    }

    fn explain(&self, _: &Node, _: &Ask) -> Refusal {
        Refusal::Inactive
    }
}

/// Its agent is heard.
pub struct Connected;

impl Filter for Connected {
    fn passes(&self, node: &Node, _: &Ask) -> bool {
        node.is_connected()
    }

    fn explain(&self, _: &Node, _: &Ask) -> Refusal {
        Refusal::AgentDisconnected
    }
}
