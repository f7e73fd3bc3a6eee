//! What is true of where tasks run, of what waits for a machine, and of the sizes of pools.

use super::{Check, hold};
use crate::object::{ClusterKey, Task};
use crate::{FeatureLevel, State};

/// A new task is on a machine of its cluster, or of what it was launched on.
pub fn tasks_run_where_they_were_launched(state: &State, task: &Task) -> Check {
    let Some(instance) = state.instance(task.instance) else { return Ok(()) };
    let holds = state.takes(instance, &task.cluster, state.launch(task.id));
    hold("tasks_run_where_they_were_launched", holds, || format!("task {} on {}", task.id, instance.id))
}

/// A launch is of a task that is there, what waits is none yet, a size is of a provider that is there; and the managed pool has no
/// service and no task of its own. Below their level there is nothing of it.
pub fn capacity_has_its_objects(state: &State) -> Check {
    let launches = state.launches.keys().all(|id| state.task(*id).is_some());
    let waiting = state.waiting_runs.keys().all(|id| state.task(*id).is_none());
    let bounded = state.waiting_runs.len() <= crate::limits::WAITING_RUNS;
    let sizes = state.pool_sizes.keys().all(|key| state.capacity_provider(key).is_some());
    let pool = ClusterKey::managed_pool();
    let empty =
        state.services_of_cluster(&pool).next().is_none() && state.index().tasks_of_cluster(&pool).is_empty();
    let nothing = state.launches.is_empty() && state.waiting_runs.is_empty() && state.pool_sizes.is_empty();
    let level = nothing || state.level() >= FeatureLevel::SCALING;
    hold("capacity_has_its_objects", launches && waiting && bounded && sizes && empty && level, || {
        format!("launches {launches}, waiting {waiting}, sizes {sizes}, pool {empty}, level {level}")
    })
}
