//! What a name means: a task by its id or ARN, a service by its name or ARN, a container instance by its id, ARN or name.

use std::sync::Arc;

use tonic::Status;
use trireme_rpc::explain::{ExplainRequest, InstanceRequest};
use trireme_state::State;
use trireme_state::object::{
    ClusterKey, ContainerInstance, Service, ServiceKey, ServiceStatus, TaskDefinitionKey,
};
use trireme_types::arn::Resource;
use trireme_types::{Arn, ClusterName, ContainerInstanceId, Family, Scope, ServiceName, TaskId};

/// What is to be explained.
pub(super) enum Subject {
    Task(TaskId),
    Service(ServiceKey),
}

fn key(scope: &Scope, cluster: &ClusterName, name: &ServiceName) -> ServiceKey {
    ServiceKey { cluster: ClusterKey { scope: scope.clone(), name: cluster.clone() }, name: name.clone() }
}

/// What an operator wants explained.
pub(super) fn subject(state: &State, request: &ExplainRequest) -> Result<Subject, Status> {
    let text = request.subject.as_str();
    match text.parse() {
        Ok(Arn { resource: Resource::Task(_, id), .. }) => return Ok(Subject::Task(id)),
        Ok(Arn { scope, resource: Resource::Service(cluster, name) }) => {
            return Ok(Subject::Service(key(&scope, &cluster, &name)));
        }
        Ok(_) => return Err(Status::invalid_argument(format!("{text} is neither a task nor a service"))),
        Err(_) => {}
    }
    // A service may have a name that looks like a task's id.
    match service(state, &request.cluster, text) {
        Ok(key) => Ok(Subject::Service(key)),
        Err(status) => text.parse().map(Subject::Task).map_err(|_| status),
    }
}

/// A service by its ARN, or by its name in a cluster. One that is active goes before one that was deleted.
pub(super) fn service(state: &State, cluster: &str, text: &str) -> Result<ServiceKey, Status> {
    if let Ok(Arn { scope, resource: Resource::Service(cluster, name) }) = text.parse() {
        return Ok(key(&scope, &cluster, &name));
    }
    let named = |service: &&Arc<Service>| {
        service.key.name.as_str() == text && service.key.cluster.name.as_str() == cluster
    };
    let mut found: Vec<&Arc<Service>> = state.services().filter(named).collect();
    found.sort_by_key(|service| service.status != ServiceStatus::Active);
    let active = found.iter().filter(|service| service.status == ServiceStatus::Active).count();
    match found.first() {
        Some(_) if active > 1 => Err(Status::invalid_argument(format!(
            "several accounts or regions have a service {text} in a cluster {cluster}: name it by its ARN"
        ))),
        Some(service) => Ok(service.key.clone()),
        None => Err(Status::not_found(format!("there is no service {text} in cluster {cluster}"))),
    }
}

/// A container instance.
pub(super) fn instance<'a>(
    state: &'a State,
    request: &InstanceRequest,
) -> Result<&'a Arc<ContainerInstance>, Status> {
    let text = request.instance.as_str();
    let id: Option<ContainerInstanceId> = match text.parse() {
        Ok(Arn { resource: Resource::ContainerInstance(_, id), .. }) => Some(id),
        _ => text.parse().ok(),
    };
    if let Some(known) = id.and_then(|id| state.instance(id)) {
        return Ok(known);
    }
    let cluster = request.cluster.as_str();
    let in_cluster = |one: &&Arc<ContainerInstance>| {
        cluster.is_empty() || one.registration.cluster.name.as_str() == cluster
    };
    let named = |one: &&Arc<ContainerInstance>| one.registration.name == text && in_cluster(one);
    // One that came back under a new id leaves its old self behind.
    let mut found: Vec<&Arc<ContainerInstance>> = state.instances().filter(named).collect();
    if found.iter().any(|one| one.connected) {
        found.retain(|one| one.connected);
    }
    match &found[..] {
        [one] => Ok(one),
        [] => Err(Status::not_found(format!("there is no container instance {text}"))),
        _ => Err(Status::invalid_argument(format!(
            "several container instances have the name {text}: name one by its id, or its --cluster"
        ))),
    }
}

/// A task definition as ECS's callers write it; the newest active one when no revision is given.
pub(super) fn definition(state: &State, scope: &Scope, text: &str) -> Result<TaskDefinitionKey, Status> {
    if let Ok(Arn { scope, resource: Resource::TaskDefinition(family, revision) }) = text.parse() {
        return Ok(TaskDefinitionKey { scope, family, revision });
    }
    let wrong =
        || Status::invalid_argument(format!("{text} is no task definition (FAMILY or FAMILY:REVISION)"));
    let (family, revision) = match text.split_once(':') {
        Some((family, revision)) => (family, Some(revision.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let family = Family::new(family).map_err(|_| wrong())?;
    match revision {
        Some(revision) => Ok(TaskDefinitionKey { scope: scope.clone(), family, revision }),
        None => {
            let newest = state.latest_task_definition(scope, &family);
            let none = || Status::not_found(format!("there is no active task definition {text}"));
            newest.map(|one| one.key.clone()).ok_or_else(none)
        }
    }
}
