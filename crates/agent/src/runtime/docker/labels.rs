//! Labels of containers: those that ECS sets, and those by which an agent finds its own.

use std::collections::HashMap;

use crate::runtime::{NewContainer, Owner};

pub(super) const TASK_ID: &str = "io.trireme.task-id";
pub(super) const CONTAINER_NAME: &str = "com.amazonaws.ecs.container-name";
const AGENT: &str = "io.trireme.agent";
const AGENT_NAME: &str = "io.trireme.agent-name";
const CLUSTER_UUID: &str = "io.trireme.cluster-uuid";

/// The filter for one agent's containers.
pub(super) fn of_agent(owner: &Owner) -> String {
    format!("{AGENT}={}", owner.instance)
}

/// All labels of a new container. The user's own cannot replace ours.
pub(super) fn all(new: &NewContainer) -> HashMap<String, String> {
    let mut labels = new.definition().docker_labels.clone();
    let task = &new.task;
    for (name, value) in [
        ("com.amazonaws.ecs.cluster", task.cluster.clone()),
        (CONTAINER_NAME, new.definition().name.clone()),
        ("com.amazonaws.ecs.task-arn", task.task_arn.clone()),
        ("com.amazonaws.ecs.task-definition-family", task.family.clone()),
        ("com.amazonaws.ecs.task-definition-version", task.revision.to_string()),
        (AGENT, new.owner.instance.clone()),
        (AGENT_NAME, new.owner.name.clone()),
        (CLUSTER_UUID, new.owner.cluster_uuid.clone()),
        (TASK_ID, task.task_id.clone()),
    ] {
        labels.insert(name.to_owned(), value);
    }
    labels
}

/// Whether these are the labels of that very container.
pub(super) fn same(labels: &HashMap<String, String>, new: &NewContainer) -> bool {
    let ours = all(new);
    [AGENT, TASK_ID, CONTAINER_NAME].iter().all(|name| labels.get(*name) == ours.get(*name))
}
