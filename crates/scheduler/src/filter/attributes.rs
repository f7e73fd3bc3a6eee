//! Is the node what the task's definition requires?

use super::Filter;
use crate::explain::Refusal;
use crate::place::Ask;
use crate::view::Node;

/// Attributes that the definition requires.
pub struct Attributes;

impl Filter for Attributes {
    fn passes(&self, node: &Node, ask: &Ask) -> bool {
        ask.is_able(node.place())
    }

    fn explain(&self, node: &Node, ask: &Ask) -> Refusal {
        let missing = ask.wanted.requirements.iter().find(|requirement| !requirement.is_met(node.instance()));
        let (name, value) =
            missing.map_or_else(Default::default, |one| (one.name.clone(), one.value.clone()));
        Refusal::Attribute { name, value }
    }
}
