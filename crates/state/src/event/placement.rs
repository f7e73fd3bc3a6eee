//! What is known of how tasks were placed.

use serde::{Deserialize, Serialize};
use trireme_types::TaskId;

use crate::object::PlacementRules;

/// What is known of how tasks were placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementEvent {
    /// Tasks without a service were placed by these rules. It follows [`crate::Event::TaskCreated`] in the same entry.
    TasksPlaced {
        /// Which ones.
        tasks: Vec<TaskId>,
        /// What RunTask asked for.
        rules: Box<PlacementRules>,
    },
}
