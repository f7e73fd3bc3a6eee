//! What is kept of how tasks were placed, until they are forgotten.

use std::sync::Arc;

use crate::State;
use crate::event::PlacementEvent;

pub(super) fn happened(state: &mut State, event: &PlacementEvent) {
    match event {
        PlacementEvent::TasksPlaced { tasks, rules } => {
            let rules = Arc::new((**rules).clone());
            for task in tasks.iter().filter(|task| state.tasks.contains_key(*task)) {
                state.placement_rules.insert(*task, rules.clone());
            }
        }
    }
}
