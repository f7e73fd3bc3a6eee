//! What is known of how tasks were placed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::TaskId;

use crate::object::{PlacementRules, TaskGpus};

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
    /// Tasks have these GPUs of their machines. It follows [`crate::Event::TaskCreated`] in the same entry.
    GpusAssigned {
        /// Of each task, by container.
        tasks: BTreeMap<TaskId, TaskGpus>,
    },
}
