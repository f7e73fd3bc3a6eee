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
}

impl Group {
    /// A group by its name, such as `family:web`. All tasks count, whoever wants them: for tasks of which nothing says how to spread them.
    pub fn among_all(name: impl Into<String>) -> Self {
        Self { name: name.into(), tasks: None }
    }

    /// A group of these tasks. Those to be stopped are not to be among them: their places are free soon.
    pub fn of_tasks<'a>(name: impl Into<String>, tasks: impl Iterator<Item = &'a Task>) -> Self {
        let mut counts: BTreeMap<ContainerInstanceId, u32> = BTreeMap::new();
        for task in tasks {
            let count = counts.entry(task.instance).or_default();
            *count = count.saturating_add(1);
        }
        Self { name: name.into(), tasks: Some(counts) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its tasks by node; `None`: all count.
    pub(crate) fn by_node(&self) -> Option<&BTreeMap<ContainerInstanceId, u32>> {
        self.tasks.as_ref()
    }
}
