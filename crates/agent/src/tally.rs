//! How often containers came again in place, kept in a file beside the ledger: Docker does not count what it is asked for. It is
//! for people to read ([`Machine::restarts`]), so that a write that fails is a warning.
//!
//! [`Machine::restarts`]: crate::task::step::Machine::restarts

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use trireme_types::TaskId;

/// Restarts of one task's containers, by name.
pub(crate) type Restarts = BTreeMap<String, u32>;

/// The counts of one agent's tasks.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    path: Option<PathBuf>,
    tasks: BTreeMap<TaskId, Restarts>,
}

impl Tally {
    /// What is kept in the folder. Without one it lives in memory; one that cannot be read counts from zero.
    pub(crate) fn open(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join("restarts.json"));
        let tasks = path.as_deref().map(read).unwrap_or_default();
        Self { path, tasks }
    }

    /// What is known of a task.
    pub(crate) fn of(&self, task: TaskId) -> Option<&Restarts> {
        self.tasks.get(&task)
    }

    /// These are the counts of a task now.
    pub(crate) fn note(&mut self, task: TaskId, restarts: Restarts) {
        if restarts.is_empty() || self.tasks.get(&task) == Some(&restarts) {
            return;
        }
        self.tasks.insert(task, restarts);
        self.write();
    }

    /// Only these tasks are left.
    pub(crate) fn retain(&mut self, is_left: impl Fn(TaskId) -> bool) {
        let before = self.tasks.len();
        self.tasks.retain(|task, _| is_left(*task));
        if self.tasks.len() < before {
            self.write();
        }
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let tasks: BTreeMap<String, &Restarts> =
            self.tasks.iter().map(|(task, restarts)| (task.to_string(), restarts)).collect();
        let new = path.with_extension("json.new");
        let written = serde_json::to_vec(&tasks)
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::write(&new, text))
            .and_then(|()| std::fs::rename(&new, path));
        if let Err(error) = written {
            tracing::warn!(%error, path = %path.display(), "how often containers came again is not kept");
        }
    }
}

fn read(path: &Path) -> BTreeMap<TaskId, Restarts> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "how often containers came again is not known");
            return BTreeMap::new();
        }
    };
    let tasks: BTreeMap<String, Restarts> = serde_json::from_slice(&text).unwrap_or_default();
    tasks.into_iter().filter_map(|(task, restarts)| Some((task.parse().ok()?, restarts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_outlive_the_agent_and_end_with_their_task() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (TaskId::from_bits(1), TaskId::from_bits(2));
        let counts = |count| Restarts::from([("app".to_owned(), count)]);
        let mut tally = Tally::open(Some(folder.path()));
        tally.note(first, counts(1));
        tally.note(first, counts(2));
        tally.note(second, counts(5));
        let mut tally = Tally::open(Some(folder.path()));
        assert_eq!((tally.of(first), tally.of(second)), (Some(&counts(2)), Some(&counts(5))));
        tally.retain(|task| task == second);
        let tally = Tally::open(Some(folder.path()));
        assert_eq!((tally.of(first), tally.of(second)), (None, Some(&counts(5))));
        std::fs::write(folder.path().join("restarts.json"), "{").unwrap();
        assert_eq!(Tally::open(Some(folder.path())).of(second), None, "a damaged file counts from zero");
    }
}
