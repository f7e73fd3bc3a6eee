//! The tasks of a group, whoever wants them (ECS API: Task.group).

use std::sync::Arc;

use trireme_types::ServiceName;

use crate::State;
use crate::object::{ClusterKey, ServiceKey, Task};

/// What the groups of services' tasks begin with. RunTask takes no such name.
pub const SERVICE_GROUP: &str = "service:";

impl State {
    /// A group's tasks that are not STOPPED.
    pub fn tasks_of_group(&self, cluster: &ClusterKey, group: &str) -> Vec<Arc<Task>> {
        let service = group.strip_prefix(SERVICE_GROUP).and_then(|name| ServiceName::new(name).ok());
        match service {
            Some(name) => self.tasks_of_service(&ServiceKey { cluster: cluster.clone(), name }),
            None => self.tasks_by_id(&self.index.groups.of(cluster, group)),
        }
    }

    /// The groups that may have tasks in a cluster. Not all of them do.
    pub fn groups_of_cluster<'a>(&'a self, cluster: &'a ClusterKey) -> impl Iterator<Item = String> + 'a {
        let services =
            self.services_of_cluster(cluster).map(|one| format!("{SERVICE_GROUP}{}", one.key.name));
        services.chain(self.index.groups.names(cluster).map(str::to_owned))
    }
}
