//! Assignments and containers by their tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_rpc::agent::AssignedTask;
use trireme_types::TaskId;

use crate::runtime::Found;

pub(super) fn by_id(tasks: Vec<AssignedTask>) -> BTreeMap<TaskId, Arc<AssignedTask>> {
    let with_id = |task: AssignedTask| match task.task_id.parse() {
        Ok(id) => Some((id, Arc::new(task))),
        Err(_) => {
            tracing::error!(id = task.task_id, "an assignment without a task id is ignored");
            None
        }
    };
    tasks.into_iter().filter_map(with_id).collect()
}

/// Containers by task. One whose label is not a task's id gets an id that no task has.
pub(super) fn group(found: Vec<Found>) -> BTreeMap<TaskId, Vec<Found>> {
    let mut groups: BTreeMap<TaskId, Vec<Found>> = BTreeMap::new();
    for found in found {
        let task = found.task.unwrap_or_else(|| TaskId::from_bits(rand::random()));
        groups.entry(task).or_default().push(found);
    }
    groups
}
