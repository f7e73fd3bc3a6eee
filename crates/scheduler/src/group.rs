//! Whose tasks are spread, and kept apart (ECS API: Task.group).

use std::collections::BTreeMap;

use trireme_state::object::Task;
use trireme_types::ContainerInstanceId;

/// Whose tasks are spread.
#[derive(Debug, Clone, Default)]
pub struct Group {
    name: String,
    /// `None`: all tasks count, whoever wants them.
    tasks: Option<BTreeMap<ContainerInstanceId, u32>>,
    unseen: bool,
}

impl Group {
    /// A group by its name, such as `family:web`. All tasks count, whoever wants them: for tasks of which nothing says how to spread them.
    pub fn among_all(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A group of these tasks. Those to be stopped are not to be among them: their places are free soon.
    pub fn of_tasks<'a>(name: impl Into<String>, tasks: impl Iterator<Item = &'a Task>) -> Self {
        let mut counts: BTreeMap<ContainerInstanceId, u32> = BTreeMap::new();
        for task in tasks {
            let count = counts.entry(task.instance).or_default();
            *count = count.saturating_add(1);
        }
        Self { name: name.into(), tasks: Some(counts), unseen: false }
    }

    /// The same, but no constraint sees its tasks: an expression means what it would mean if none of them were there. So it is for a
    /// daemon, whose constraints say where its tasks may stay too: else a task that runs could make its own place unfit, stop for it,
    /// make it fit again by that, and so on for ever.
    #[must_use]
    pub fn unseen(self) -> Self {
        Self { unseen: true, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_unseen(&self) -> bool {
        self.unseen
    }

    /// Its tasks by node; `None`: all count.
    pub(crate) fn by_node(&self) -> Option<&BTreeMap<ContainerInstanceId, u32>> {
        self.tasks.as_ref()
    }
}
