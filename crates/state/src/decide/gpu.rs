//! Which of a machine's GPUs a new task gets: those that come first in the machine's order of those that nobody holds.

use std::collections::BTreeMap;

use trireme_types::{GpuId, TaskId, gpu};

use super::stale;
use crate::event::PlacementEvent;
use crate::index::InstanceLoad;
use crate::object::{ContainerInstance, InstanceRegistration, TaskDefinitionSpec, TaskGpus};
use crate::{Event, Rejection};

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
pub(super) struct Assigned(BTreeMap<TaskId, TaskGpus>);

impl Assigned {
    /// Gives a task what its containers ask for, which the instance's load holds from then on.
    pub fn assign(
        &mut self,
        spec: &TaskDefinitionSpec,
        instance: &ContainerInstance,
        load: &mut InstanceLoad,
        task: TaskId,
    ) -> Result<(), Rejection> {
        let asking: Vec<_> = spec.containers.iter().filter(|container| container.gpus() > 0).collect();
        if asking.is_empty() {
            return Ok(());
        }
        let all = instance.registration.gpus();
        let mut free = all.into_iter().filter(|gpu| !load.gpus.contains(gpu)).collect::<Vec<_>>().into_iter();
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
        self.0.insert(task, gpus);
        Ok(())
    }

    /// Those of these tasks alone.
    pub fn of(mut self, tasks: &[TaskId]) -> Self {
        self.0.retain(|id, _| tasks.contains(id));
        self
    }

    /// What is to be known of it.
    pub fn event(self) -> Option<Event> {
        let tasks = self.0;
        (!tasks.is_empty()).then_some(Event::Placement(PlacementEvent::GpusAssigned { tasks }))
    }
}
