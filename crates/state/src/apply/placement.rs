//! What is kept of how tasks were placed, until they are forgotten.

use std::sync::Arc;

use trireme_types::TaskId;

use crate::State;
use crate::event::PlacementEvent;
use crate::object::TaskGpus;

pub(super) fn happened(state: &mut State, event: &PlacementEvent) {
    match event {
        PlacementEvent::TasksPlaced { tasks, rules } => {
            let rules = Arc::new((**rules).clone());
            for task in tasks.iter().filter(|task| state.tasks.contains_key(*task)) {
                state.placement_rules.insert(*task, rules.clone());
            }
        }
        PlacementEvent::GpusAssigned { tasks } => {
            tasks.iter().for_each(|(task, gpus)| assign(state, *task, gpus));
        }
    }
}

fn assign(state: &mut State, id: TaskId, gpus: &TaskGpus) {
    let Some(task) = state.tasks.get(&id) else { return };
    let before = state.task_gpus.insert(id, Arc::new(gpus.clone()));
    state.index.remove_task(task, before.as_deref());
    state.index.add_task(task, Some(gpus));
}
