//! A cluster's tasks by what they are asked for by (ECS API: ListTasks), so that a page costs what is on it and not what there is.

use imbl::{OrdMap, OrdSet};
use trireme_types::{Family, TaskId};

use crate::object::{ClusterKey, DesiredStatus, Task, TaskDefinitionKey};

/// Ids of tasks that are not reaped, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskListing {
    by_cluster: OrdMap<ClusterKey, OrdSet<TaskId>>,
    by_family: OrdMap<(ClusterKey, Family), OrdSet<TaskId>>,
    by_started_by: OrdMap<(ClusterKey, String), OrdSet<TaskId>>,
    by_desired: OrdMap<(ClusterKey, DesiredStatus), OrdSet<TaskId>>,
    /// How many tasks are made from a definition.
    by_definition: OrdMap<TaskDefinitionKey, u64>,
}

fn add<K: Ord + Clone>(map: &mut OrdMap<K, OrdSet<TaskId>>, key: K, task: TaskId) {
    map.entry(key).or_default().insert(task);
}

fn remove<K: Ord + Clone>(map: &mut OrdMap<K, OrdSet<TaskId>>, key: &K, task: TaskId) {
    if let Some(tasks) = map.get_mut(key) {
        tasks.remove(&task);
        if tasks.is_empty() {
            map.remove(key);
        }
    }
}

impl TaskListing {
    /// Every task of a cluster.
    pub fn of_cluster(&self, cluster: &ClusterKey) -> OrdSet<TaskId> {
        self.by_cluster.get(cluster).cloned().unwrap_or_default()
    }

    /// Those of a family.
    pub fn of_family(&self, cluster: &ClusterKey, family: &Family) -> OrdSet<TaskId> {
        self.by_family.get(&(cluster.clone(), family.clone())).cloned().unwrap_or_default()
    }

    /// Those that say so in `startedBy`.
    pub fn started_by(&self, cluster: &ClusterKey, by: &str) -> OrdSet<TaskId> {
        self.by_started_by.get(&(cluster.clone(), by.to_owned())).cloned().unwrap_or_default()
    }

    /// Those that are to run, or to stop.
    pub fn of_desired(&self, cluster: &ClusterKey, desired: DesiredStatus) -> OrdSet<TaskId> {
        self.by_desired.get(&(cluster.clone(), desired)).cloned().unwrap_or_default()
    }

    /// How many tasks are made from a definition.
    pub fn count_of_definition(&self, definition: &TaskDefinitionKey) -> u64 {
        self.by_definition.get(definition).copied().unwrap_or(0)
    }

    /// A task is there.
    pub(crate) fn add(&mut self, task: &Task) {
        add(&mut self.by_cluster, task.cluster.clone(), task.id);
        add(&mut self.by_family, (task.cluster.clone(), task.definition.family.clone()), task.id);
        if let Some(by) = &task.started_by {
            add(&mut self.by_started_by, (task.cluster.clone(), by.clone()), task.id);
        }
        add(&mut self.by_desired, (task.cluster.clone(), task.desired_status), task.id);
        let count = self.by_definition.entry(task.definition.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// It is no more.
    pub(crate) fn remove(&mut self, task: &Task) {
        remove(&mut self.by_cluster, &task.cluster, task.id);
        remove(&mut self.by_family, &(task.cluster.clone(), task.definition.family.clone()), task.id);
        if let Some(by) = &task.started_by {
            remove(&mut self.by_started_by, &(task.cluster.clone(), by.clone()), task.id);
        }
        remove(&mut self.by_desired, &(task.cluster.clone(), task.desired_status), task.id);
        if let Some(count) = self.by_definition.get_mut(&task.definition) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_definition.remove(&task.definition);
            }
        }
    }

    /// What is wanted of it is another thing; the rest of what it is listed by never changes.
    pub(crate) fn wanted(&mut self, task: &Task, before: DesiredStatus) {
        if task.desired_status != before {
            remove(&mut self.by_desired, &(task.cluster.clone(), before), task.id);
            add(&mut self.by_desired, (task.cluster.clone(), task.desired_status), task.id);
        }
    }
}
