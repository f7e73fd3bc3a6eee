//! Do the placement constraints let the task onto the node (ECS API: PlacementConstraint)?

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// No other task of the group, where each is to have a node of its own.
pub struct DistinctInstance;

impl Filter for DistinctInstance {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        !ask.holds_group(node.place())
    }

    fn explain(&self, _: &Node, ask: &Ask) -> Refusal {
        Refusal::DistinctInstance { group: ask.group().to_owned() }
    }
}

/// Expressions of the cluster query language, of the service or RunTask and of the task definition.
pub struct MemberOf;

impl Filter for MemberOf {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.first_unmet(node.place()).is_none()
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        Refusal::MemberOf { expression: ask.first_unmet(node.place()).unwrap_or_default().to_owned() }
    }
}
