//! Which of a machine's GPUs a new task gets: of those that nobody holds the first in the machine's order, but last those with which
//! tasks failed to start. One that is broken is offered like any other, and would else be the first choice each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use trireme_types::{ContainerInstanceId, GpuId, TaskId, Timestamp, gpu};

use super::stale;
use crate::event::PlacementEvent;
use crate::index::InstanceLoad;
use crate::object::{ContainerInstance, InstanceRegistration, StopCode, Task, TaskDefinitionSpec, TaskGpus};
use crate::{Event, Rejection, State};

/// When each machine's GPUs were last those of a task that failed to start.
type Failures = BTreeMap<ContainerInstanceId, BTreeMap<GpuId, Timestamp>>;

/// What an agent, or a user in its place, says of a machine's GPUs can be read: one that is listed twice would be given twice.
pub(super) fn check(registration: &InstanceRegistration) -> Result<(), Rejection> {
    let said = registration.attributes.get(trireme_types::capability::GPUS);
    match said.map(|text| gpu::parse(text)) {
        Some(Err(error)) => Err(Rejection::Invalid { message: error.to_string() }),
        _ => Ok(()),
    }
}

/// The GPUs of one command's tasks.
#[derive(Clone, Default)]
pub(super) struct Assigned {
    tasks: BTreeMap<TaskId, TaskGpus>,
    /// Read when the first task asks.
    failures: Option<Failures>,
}

impl Assigned {
    /// Gives a task what its containers ask for, which the instance's load holds from then on.
    pub fn assign(
        &mut self,
        state: &State,
        spec: &TaskDefinitionSpec,
        instance: &ContainerInstance,
        load: &mut InstanceLoad,
        task: TaskId,
    ) -> Result<(), Rejection> {
        let asking: Vec<_> = spec.containers.iter().filter(|container| container.gpus() > 0).collect();
        if asking.is_empty() {
            return Ok(());
        }
        let failures = self.failures.get_or_insert_with(|| failures(state)).get(&instance.id);
        let all = instance.registration.gpus();
        let mut free: Vec<GpuId> = all.into_iter().filter(|gpu| !load.gpus.contains(gpu)).collect();
        free.sort_by_key(|gpu| failures.and_then(|known| known.get(gpu)));
        let mut free = free.into_iter();
        let mut gpus = TaskGpus::new();
        for container in asking {
            let wanted = usize::try_from(container.gpus()).unwrap_or(usize::MAX);
            let own: Vec<GpuId> = free.by_ref().take(wanted).collect();
            if own.len() < wanted {
                return Err(stale(format!("free GPUs of container instance {}", instance.id)));
            }
            load.gpus.extend(own.iter().cloned());
            gpus.insert(container.name.clone(), own);
        }
        self.tasks.insert(task, gpus);
        Ok(())
    }

    /// Those of these tasks alone.
    pub fn of(mut self, tasks: &[TaskId]) -> Self {
        self.tasks.retain(|id, _| tasks.contains(id));
        self
    }

    /// What is to be known of it.
    pub fn event(self) -> Option<Event> {
        let tasks = self.tasks;
        (!tasks.is_empty()).then_some(Event::Placement(PlacementEvent::GpusAssigned { tasks }))
    }
}

fn failures(state: &State) -> Failures {
    let mut failures = Failures::new();
    // Tasks with GPUs are few, and are kept for a while when they are over.
    for (id, gpus) in &state.task_gpus {
        let failed = |task: &&Arc<Task>| task.stop_code == Some(StopCode::TaskFailedToStart);
        let Some(task) = state.task(*id).filter(failed) else { continue };
        let of_instance = failures.entry(task.instance).or_default();
        for gpu in gpus.values().flatten() {
            let last = of_instance.entry(gpu.clone()).or_default();
            *last = task.times.stopped_at.unwrap_or_default().max(*last);
        }
    }
    failures
}
