//! All tasks of a service's revision run the images that are pinned for it, whatever their tags mean on each machine.

use std::collections::BTreeSet;

use trireme_state::command::TaskReport;
use trireme_state::{Event, State};
use trireme_types::TaskId;

use super::{Check, hold};

/// Tasks whose images are pinned before their containers are made.
#[derive(Default)]
pub struct Images {
    pinned: BTreeSet<TaskId>,
    /// Images of containers that were held against their pins.
    pub seen: u64,
}

impl Images {
    /// An event, and the state after it.
    ///
    /// # Errors
    /// A container runs another image than the one that is pinned.
    pub fn check(&mut self, state: &State, event: &Event) -> Check {
        match event {
            // Before that every machine looked for itself.
            Event::TaskCreated { task } if state.pins_images() => {
                self.pinned.insert(task.id);
            }
            Event::TaskReaped { task } => {
                self.pinned.remove(task);
            }
            Event::TaskProgressed { report } if self.pinned.contains(&report.task) => {
                return self.hold(state, report);
            }
            _ => {}
        }
        Ok(())
    }

    fn hold(&mut self, state: &State, report: &TaskReport) -> Check {
        let Some(task) = state.task(report.task) else { return Ok(()) };
        for container in report.containers.iter().filter(|one| one.runtime_id.is_some()) {
            let (Some(pin), Some(runs)) = (state.image_pin(task, &container.name), &container.image_digest)
            else {
                continue;
            };
            self.seen += 1;
            let pinned = pin.digest().to_string();
            hold("tasks_run_what_is_pinned", *runs == pinned, || {
                format!("task {} runs {runs}, and {pinned} is pinned", task.id)
            })?;
        }
        Ok(())
    }
}
