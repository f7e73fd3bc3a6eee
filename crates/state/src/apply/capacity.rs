//! What happens to capacity: on what tasks were launched, what waits for it, and how large pools are to be.

use std::sync::Arc;

use crate::State;
use crate::event::CapacityEvent;

use super::request;

pub(super) fn happened(state: &mut State, event: &CapacityEvent) {
    match event {
        CapacityEvent::TasksLaunched { tasks, launch } => {
            let launch = Arc::new(launch.clone());
            for task in tasks.iter().filter(|task| state.tasks.contains_key(*task)) {
                state.launches.insert(*task, launch.clone());
                state.waiting_runs.remove(task);
            }
        }
        CapacityEvent::RunWaits { run } => {
            state.waiting_runs.insert(run.id, Arc::new((**run).clone()));
        }
        CapacityEvent::WaitingRunEnded { task, end } => {
            if let Some(run) = state.waiting_runs.get_mut(task) {
                Arc::make_mut(run).end = Some(end.clone());
            }
        }
        CapacityEvent::WaitingRunForgotten { task } => {
            if state.waiting_runs.remove(task).is_some() {
                request::task_is_gone(state, *task);
            }
        }
        CapacityEvent::PoolSized { key, size } => {
            if state.capacity_providers.contains_key(key) {
                state.pool_sizes.insert(key.clone(), Arc::new((**size).clone()));
            }
        }
    }
}
