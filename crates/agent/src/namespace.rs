//! Namespaces that the containers of a task have together (ECS API: TaskDefinition.networkMode, pidMode, ipcMode). What holds them is
//! the task's sandbox.

use std::collections::HashMap;

use serde::Deserialize;
use trireme_rpc::agent::AssignedTask;

use crate::setting;

/// Whose processes a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Its own.
    #[default]
    Own,
    /// Nobody can share it (of IPC only).
    None,
    /// The task's.
    Task,
    /// The machine's.
    Host,
}

/// What a task says of its namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) pid: Mode,
    pub(crate) ipc: Mode,
}

impl Namespaces {
    /// A task's.
    ///
    /// # Errors
    /// A member is not what it should be.
    pub(crate) fn of(settings: &HashMap<String, String>) -> Result<Self, String> {
        Ok(Self { pid: setting::read(settings, "pidMode")?, ipc: setting::read(settings, "ipcMode")? })
    }

    pub(crate) fn shares(self) -> bool {
        self.pid == Mode::Task || self.ipc == Mode::Task
    }

    pub(crate) fn of_host(self) -> bool {
        self.pid == Mode::Host || self.ipc == Mode::Host
    }
}

/// Whether the containers have a network of their own together.
pub(crate) fn has_network(task: &AssignedTask) -> bool {
    task.network_mode == "awsvpc"
}

/// Whether something is to hold namespaces for the containers: they go on there when one of them ends or comes again.
pub(crate) fn needs_sandbox(task: &AssignedTask) -> bool {
    has_network(task) || Namespaces::of(&task.settings).unwrap_or_default().shares()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containers_have_together_needs_a_sandbox() {
        let task = |mode: &str, pid: &str| AssignedTask {
            network_mode: mode.to_owned(),
            settings: HashMap::from([("pidMode".to_owned(), pid.to_owned())]),
            ..AssignedTask::default()
        };
        assert!(needs_sandbox(&task("bridge", "\"task\"")));
        assert!(needs_sandbox(&task("awsvpc", "\"own\"")));
        assert!(!needs_sandbox(&task("bridge", "\"host\"")));
        assert!(Namespaces::of(&task("bridge", "\"host\"").settings).unwrap().of_host());
    }
}
