//! What a service's tasks come to, as a whole and for each deployment or task set.

use imbl::OrdSet;
use trireme_types::{DeploymentId, TaskId, Timestamp};

use crate::object::{Task, TaskStatus};

/// Tasks, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Tasks that are not STOPPED.
    pub tasks: u32,
    /// Of them, tasks that are neither stopping nor to be stopped.
    pub wanted: u32,
    /// Of them, tasks that are RUNNING.
    pub running: u32,
    /// Of them, tasks on their way to RUNNING.
    pub pending: u32,
}

impl TaskCounts {
    fn of(task: &Task) -> Self {
        Self {
            tasks: 1,
            wanted: u32::from(task.wanted()),
            running: u32::from(task.last_status == TaskStatus::Running),
            pending: u32::from(super::is_pending(task)),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.saturating_add(other.tasks),
            wanted: self.wanted.saturating_add(other.wanted),
            running: self.running.saturating_add(other.running),
            pending: self.pending.saturating_add(other.pending),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            tasks: self.tasks.saturating_sub(other.tasks),
            wanted: self.wanted.saturating_sub(other.wanted),
            running: self.running.saturating_sub(other.running),
            pending: self.pending.saturating_sub(other.pending),
        }
    }
}

/// A service's tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceLoad {
    /// Tasks that are not STOPPED.
    pub tasks: OrdSet<TaskId>,
    /// Stopped tasks that are not reaped, by what started them and by the time at which they stopped.
    pub stopped: OrdSet<(DeploymentId, Timestamp, TaskId)>,
    /// What has tasks that are not STOPPED, by id. There are few of them: a list is smaller than a map.
    counts: Vec<(DeploymentId, TaskCounts)>,
}

impl ServiceLoad {
    /// All its tasks.
    pub fn counts(&self) -> TaskCounts {
        self.counts.iter().fold(TaskCounts::default(), |sum, (_, counts)| sum.plus(*counts))
    }

    /// Those of a deployment or of a task set.
    pub fn counts_of(&self, deployment: DeploymentId) -> TaskCounts {
        let found = self.counts.binary_search_by_key(&deployment, |(id, _)| *id);
        found.ok().and_then(|at| self.counts.get(at)).map_or_else(TaskCounts::default, |(_, counts)| *counts)
    }

    /// What has tasks that are not STOPPED.
    pub fn counts_by_deployment(&self) -> impl Iterator<Item = (DeploymentId, TaskCounts)> {
        self.counts.iter().copied()
    }

    /// Stopped tasks that a deployment or a task set started and that stopped at `since` or later, the latest first.
    pub fn stopped_since(
        &self,
        deployment: DeploymentId,
        since: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, TaskId)> {
        let first = (deployment, since, TaskId::from_bits(0));
        let last = (deployment, Timestamp::MAX, TaskId::from_bits(u128::MAX));
        self.stopped.range(first..=last).rev().map(|(_, at, id)| (*at, *id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.stopped.is_empty()
    }

    pub(super) fn add(&mut self, deployment: DeploymentId, task: &Task) {
        if task.last_status == TaskStatus::Stopped {
            self.stopped.insert(stopped_key(deployment, task));
            return;
        }
        self.tasks.insert(task.id);
        match self.counts.binary_search_by_key(&deployment, |(id, _)| *id) {
            Err(at) => self.counts.insert(at, (deployment, TaskCounts::of(task))),
            Ok(at) => {
                if let Some((_, counts)) = self.counts.get_mut(at) {
                    *counts = counts.plus(TaskCounts::of(task));
                }
            }
        }
    }

    pub(super) fn remove(&mut self, deployment: DeploymentId, task: &Task) {
        if task.last_status == TaskStatus::Stopped {
            self.stopped.remove(&stopped_key(deployment, task));
            return;
        }
        self.tasks.remove(&task.id);
        if let Ok(at) = self.counts.binary_search_by_key(&deployment, |(id, _)| *id)
            && let Some((_, counts)) = self.counts.get_mut(at)
        {
            *counts = counts.minus(TaskCounts::of(task));
            if counts.tasks == 0 {
                self.counts.remove(at);
            }
        }
    }
}

fn stopped_key(deployment: DeploymentId, task: &Task) -> (DeploymentId, Timestamp, TaskId) {
    (deployment, task.times.stopped_at.unwrap_or_default(), task.id)
}
