//! Labels of containers: those that ECS sets, and those by which an agent finds its own.

use std::collections::HashMap;

use trireme_rpc::agent::AssignedTask;
use trireme_types::TaskId;

use crate::runtime::inside::Member;
use crate::runtime::{NewContainer, NewSandbox, Owner, SANDBOX};

pub(super) const TASK_ID: &str = "io.trireme.task-id";
pub(super) const CONTAINER_NAME: &str = "com.amazonaws.ecs.container-name";
/// It may come again when it ends by itself.
pub(super) const RESTARTS: &str = "io.trireme.restarts";
/// What all labels of ours begin with, but for ECS's.
pub(super) const OURS: &str = "io.trireme.";
const AGENT: &str = "io.trireme.agent";
const AGENT_NAME: &str = "io.trireme.agent-name";
const CLUSTER_UUID: &str = "io.trireme.cluster-uuid";
const NETWORK: &str = "io.trireme.network";
const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";

/// The filter for one agent's containers.
pub(super) fn of_agent(owner: &Owner) -> String {
    format!("{AGENT}={}", owner.instance)
}

/// The filters for all of an owner's containers, also those of an identity that is lost: each is a set of labels.
pub(super) fn of_owner(owner: &Owner) -> Vec<Vec<String>> {
    let mut filters = Vec::new();
    if !owner.instance.is_empty() {
        filters.push(vec![of_agent(owner)]);
    }
    if !owner.cluster_uuid.is_empty() && !owner.name.is_empty() {
        let of_name = format!("{AGENT_NAME}={}", owner.name);
        filters.push(vec![of_name, format!("{CLUSTER_UUID}={}", owner.cluster_uuid)]);
    }
    filters
}

/// The filter for what belongs to one task.
pub(super) fn of_task_id(task: TaskId) -> String {
    format!("{TASK_ID}={task}")
}

/// The labels by which everything that belongs to a task is found.
pub(super) fn of_task(new: &NewContainer) -> [(String, String); 4] {
    owned(&new.owner, &new.task)
}

fn owned(owner: &Owner, task: &AssignedTask) -> [(String, String); 4] {
    [
        (AGENT, &owner.instance),
        (AGENT_NAME, &owner.name),
        (CLUSTER_UUID, &owner.cluster_uuid),
        (TASK_ID, &task.task_id),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()))
}

/// The labels of what holds a task's network namespace.
pub(super) fn of_sandbox(new: &NewSandbox) -> HashMap<String, String> {
    let name = (CONTAINER_NAME.to_owned(), SANDBOX.to_owned());
    let arn = (TASK_ARN.to_owned(), new.task.task_arn.clone());
    owned(&new.owner, &new.task).into_iter().chain([name, arn]).collect()
}

/// The labels of a network of tasks. The agents of a control plane share it.
pub(super) fn of_network(owner: &Owner) -> [(String, String); 2] {
    [(CLUSTER_UUID, owner.cluster_uuid.as_str()), (NETWORK, "tasks")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// All labels of a new container. The user's own cannot replace ours.
pub(super) fn all(new: &NewContainer) -> HashMap<String, String> {
    let mut labels = new.definition().docker_labels.clone();
    let task = &new.task;
    for (name, value) in [
        ("com.amazonaws.ecs.cluster", task.cluster.clone()),
        (CONTAINER_NAME, new.definition().name.clone()),
        (TASK_ARN, task.task_arn.clone()),
        ("com.amazonaws.ecs.task-definition-family", task.family.clone()),
        ("com.amazonaws.ecs.task-definition-version", task.revision.to_string()),
    ] {
        labels.insert(name.to_owned(), value);
    }
    labels.extend(of_task(new));
    if new.definition().settings.contains_key("restartPolicy") {
        labels.insert(RESTARTS.to_owned(), "true".to_owned());
    }
    labels
}

/// Whether these are the labels of that very container.
pub(super) fn same(labels: &HashMap<String, String>, new: &NewContainer) -> bool {
    let ours = all(new);
    [AGENT, TASK_ID, CONTAINER_NAME].iter().all(|name| labels.get(*name) == ours.get(*name))
}

/// Whether these are the labels of a container of that very name, task and agent.
pub(super) fn is_of(labels: &HashMap<String, String>, member: &Member) -> bool {
    let task = member.task.to_string();
    [(AGENT, &member.owner.instance), (TASK_ID, &task), (CONTAINER_NAME, &member.container)]
        .iter()
        .all(|(name, value)| labels.get(*name) == Some(*value))
}
