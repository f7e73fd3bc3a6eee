//! Tasks without a service by their group (ECS API: Task.group), so that who spreads a group or keeps it apart looks at its tasks only. A
//! service's are in its own load.

use imbl::{OrdMap, OrdSet};
use trireme_types::TaskId;

use crate::object::{ClusterKey, Task, TaskOrigin};

/// Ids of tasks without a service that are not STOPPED, by cluster and group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskGroups(OrdMap<(ClusterKey, String), OrdSet<TaskId>>);

fn key(task: &Task) -> Option<(ClusterKey, String)> {
    (task.origin == TaskOrigin::Standalone).then(|| (task.cluster.clone(), task.group.clone()))
}

impl TaskGroups {
    /// Those of a group.
    pub fn of(&self, cluster: &ClusterKey, group: &str) -> OrdSet<TaskId> {
        self.0.get(&(cluster.clone(), group.to_owned())).cloned().unwrap_or_default()
    }

    /// The groups that have any in a cluster.
    pub fn names<'a>(&'a self, cluster: &'a ClusterKey) -> impl Iterator<Item = &'a str> {
        let from = (cluster.clone(), String::new());
        let of_cluster = self.0.range(from..).take_while(move |((of, _), _)| of == cluster);
        of_cluster.map(|((_, group), _)| group.as_str())
    }

    pub(super) fn add(&mut self, task: &Task) {
        if let Some(key) = key(task) {
            self.0.entry(key).or_default().insert(task.id);
        }
    }

    pub(super) fn remove(&mut self, task: &Task) {
        let Some(key) = key(task) else { return };
        if let Some(tasks) = self.0.get_mut(&key) {
            tasks.remove(&task.id);
            if tasks.is_empty() {
                self.0.remove(&key);
            }
        }
    }
}
