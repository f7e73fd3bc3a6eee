//! Namespaces that the containers of a task have together (ECS API: TaskDefinition.pidMode, ipcMode). Docker joins a container to
//! the namespace of one that runs: it is up before the others, and goes down after them.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use trireme_rpc::agent::{AssignedTask, Container};

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

    fn shares(self) -> bool {
        self.pid == Mode::Task || self.ipc == Mode::Task
    }

    pub(crate) fn of_host(self) -> bool {
        self.pid == Mode::Host || self.ipc == Mode::Host
    }
}

/// The container that holds what the containers of a task share: the first essential one that waits for no other. When it ends
/// so does the task. `None`: they share nothing.
pub(crate) fn holder(task: &AssignedTask) -> Option<usize> {
    Namespaces::of(&task.settings).unwrap_or_default().shares().then(|| {
        let holds = |container: &Container| container.essential && !waits(container);
        task.containers.iter().position(holds).unwrap_or(0)
    })
}

fn waits(container: &Container) -> bool {
    ["dependsOn", "links", "volumesFrom"].iter().any(|member| {
        let others: Vec<IgnoredAny> = setting::read(&container.settings, member).unwrap_or_default();
        !others.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(pid: &str, waits: &str) -> AssignedTask {
        let container = |name: &str, settings: &[(&str, &str)], essential| Container {
            name: name.to_owned(),
            settings: settings.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect(),
            essential,
            ..Container::default()
        };
        AssignedTask {
            settings: HashMap::from([("pidMode".to_owned(), pid.to_owned())]),
            containers: vec![
                container("log", &[], false),
                container("app", &[("dependsOn", waits)], true),
                container("db", &[], true),
            ],
            ..AssignedTask::default()
        }
    }

    #[test]
    fn the_first_essential_container_that_waits_for_no_other_holds_it() {
        assert_eq!(holder(&task("\"task\"", "[]")), Some(1));
        assert_eq!(holder(&task("\"task\"", r#"[{"containerName":"db","condition":"START"}]"#)), Some(2));
        assert_eq!(holder(&task("\"host\"", "[]")), None);
        assert!(Namespaces::of(&task("\"host\"", "[]").settings).unwrap().of_host());
    }
}
