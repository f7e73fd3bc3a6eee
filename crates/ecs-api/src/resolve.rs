//! Names, ids and ARNs, as requests give them, to keys of the state. An ARN of another account or region names nothing here; one
//! of another cluster than the request's is an error, as in ECS.

use trireme_state::State;
use trireme_state::object::{
    CapacityProviderKey, ClusterKey, ContainerInstance, Service, ServiceKey, Task, TaskDefinition,
    TaskDefinitionKey, WaitingRun,
};
use trireme_types::arn::Resource;
use trireme_types::{
    Arn, CapacityProviderName, ClusterName, ContainerInstanceId, DeploymentId, Family, Scope, ServiceName,
    TaskId,
};

use crate::error::{Error, Result};

/// A resource of an ARN in the caller's own scope.
fn own(scope: &Scope, text: &str) -> Option<Resource> {
    let arn: Arn = text.parse().ok()?;
    (arn.scope == *scope).then_some(arn.resource)
}

/// A cluster by name or ARN; the default one when none is named. It need not exist.
pub(crate) fn cluster(scope: &Scope, named: Option<&str>) -> Result<ClusterKey> {
    let Some(text) = named.filter(|text| !text.is_empty()) else {
        return Ok(State::default_cluster_key(scope));
    };
    let name = if Arn::looks_like(text) {
        match own(scope, text) {
            Some(Resource::Cluster(name)) => name,
            _ => return Err(Error::cluster_not_found()),
        }
    } else {
        ClusterName::new(text).map_err(|_| Error::invalid(format!("Invalid identifier: {text}")))?
    };
    Ok(ClusterKey { scope: scope.clone(), name })
}

/// An ARN's resource must be in the cluster that the request is about.
fn same_cluster(cluster: &ClusterKey, of: &ClusterName) -> Result<()> {
    if *of == cluster.name {
        return Ok(());
    }
    let yours = &cluster.name;
    Err(Error::invalid(format!(
        "Invalid identifier: Identifier is for cluster {of}. Your cluster is {yours}"
    )))
}

/// A service of `cluster` by name or ARN. `None` when it cannot be one of it.
pub(crate) fn service_key(cluster: &ClusterKey, text: &str) -> Result<Option<ServiceKey>> {
    let name = if Arn::looks_like(text) {
        match own(&cluster.scope, text) {
            Some(Resource::Service(of, name)) => {
                same_cluster(cluster, &of)?;
                Some(name)
            }
            _ => None,
        }
    } else {
        ServiceName::new(text).ok()
    };
    Ok(name.map(|name| ServiceKey { cluster: cluster.clone(), name }))
}

/// A service that is there, in whatever status.
pub(crate) fn service<'a>(state: &'a State, cluster: &ClusterKey, text: &str) -> Result<Option<&'a Service>> {
    let key = service_key(cluster, text)?;
    Ok(key.and_then(|key| state.service(&key)).map(AsRef::as_ref))
}

/// A task set's id, bare or in an ARN of `service`. `None` when it cannot be one of it.
pub(crate) fn task_set_id(service: &ServiceKey, text: &str) -> Result<Option<DeploymentId>> {
    if !Arn::looks_like(text) {
        return Ok(text.parse().ok());
    }
    match own(&service.cluster.scope, text) {
        Some(Resource::TaskSet(of, name, id)) => {
            same_cluster(&service.cluster, &of)?;
            Ok((name == service.name).then_some(id))
        }
        _ => Ok(None),
    }
}

/// A task's id, bare or in an ARN of `cluster`.
pub(crate) fn task_id(cluster: &ClusterKey, text: &str) -> Result<Option<TaskId>> {
    if !Arn::looks_like(text) {
        return Ok(text.parse().ok());
    }
    let Some(Resource::Task(of, id)) = own(&cluster.scope, text) else { return Ok(None) };
    same_cluster(cluster, &of)?;
    Ok(Some(id))
}

/// A task of `cluster` that is there.
pub(crate) fn task<'a>(state: &'a State, cluster: &ClusterKey, text: &str) -> Result<Option<&'a Task>> {
    let task = task_id(cluster, text)?.and_then(|id| state.task(id));
    Ok(task.filter(|task| task.cluster == *cluster).map(AsRef::as_ref))
}

/// A task of `cluster` that waits for a machine, or waited in vain.
pub(crate) fn waiting_run<'a>(
    state: &'a State,
    cluster: &ClusterKey,
    text: &str,
) -> Result<Option<&'a WaitingRun>> {
    let run = task_id(cluster, text)?.and_then(|id| state.waiting_run(id));
    Ok(run.filter(|run| run.cluster == *cluster).map(AsRef::as_ref))
}

/// A container instance's id, bare or in an ARN of `cluster`.
pub(crate) fn instance_id(cluster: &ClusterKey, text: &str) -> Result<Option<ContainerInstanceId>> {
    if !Arn::looks_like(text) {
        return Ok(text.parse().ok());
    }
    let Some(Resource::ContainerInstance(of, id)) = own(&cluster.scope, text) else { return Ok(None) };
    same_cluster(cluster, &of)?;
    Ok(Some(id))
}

/// A container instance of `cluster` that is there.
pub(crate) fn instance<'a>(
    state: &'a State,
    cluster: &ClusterKey,
    text: &str,
) -> Result<Option<&'a ContainerInstance>> {
    let instance = instance_id(cluster, text)?.and_then(|id| state.instance(id));
    Ok(instance.filter(|instance| instance.registration.cluster == *cluster).map(AsRef::as_ref))
}

/// A capacity provider by name or ARN. It need not exist.
pub(crate) fn capacity_provider(scope: &Scope, text: &str) -> Option<CapacityProviderKey> {
    let name = if Arn::looks_like(text) {
        match own(scope, text)? {
            Resource::CapacityProvider(name) => name,
            _ => return None,
        }
    } else {
        CapacityProviderName::new(text).ok()?
    };
    Some(CapacityProviderKey { scope: scope.clone(), name })
}

/// What a request says of a task definition: a family, or a family with a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DefinitionName {
    /// The newest active revision is meant.
    Family(Family),
    /// This one.
    Revision(Family, u32),
}

impl DefinitionName {
    /// From `family`, `family:revision`, or an ARN.
    pub(crate) fn parse(scope: &Scope, text: &str) -> Option<Self> {
        if Arn::looks_like(text) {
            return match own(scope, text)? {
                Resource::TaskDefinition(family, revision) => Some(Self::Revision(family, revision)),
                _ => None,
            };
        }
        match text.rsplit_once(':') {
            None => Family::new(text).ok().map(Self::Family),
            Some((family, revision)) => {
                Some(Self::Revision(Family::new(family).ok()?, revision.parse().ok()?))
            }
        }
    }

    /// The definition itself: for a family the newest active one.
    pub(crate) fn find<'a>(&self, state: &'a State, scope: &Scope) -> Option<&'a TaskDefinition> {
        match self {
            Self::Family(family) => state.latest_task_definition(scope, family).map(AsRef::as_ref),
            Self::Revision(family, revision) => {
                let key =
                    TaskDefinitionKey { scope: scope.clone(), family: family.clone(), revision: *revision };
                state.task_definition(&key).map(AsRef::as_ref)
            }
        }
    }
}

/// A task definition that something new shall use.
pub(crate) fn definition<'a>(state: &'a State, scope: &Scope, text: &str) -> Result<&'a TaskDefinition> {
    if text.is_empty() {
        return Err(Error::client("TaskDefinition can not be blank."));
    }
    let found = DefinitionName::parse(scope, text).and_then(|name| name.find(state, scope));
    found.ok_or_else(|| Error::client("TaskDefinition not found."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_by_name_and_arn() {
        let scope = Scope::development();
        let name = |named| cluster(&scope, named).map(|key| key.name.to_string());
        assert_eq!(name(None).unwrap(), "default");
        assert_eq!(name(Some("a")).unwrap(), "a");
        assert_eq!(name(Some("arn:aws:ecs:us-east-1:123456789012:cluster/a")).unwrap(), "a");
        let elsewhere = name(Some("arn:aws:ecs:eu-west-1:123456789012:cluster/a")).unwrap_err();
        assert_eq!(elsewhere, Error::cluster_not_found());
        assert!(name(Some("a b")).is_err());
    }

    #[test]
    fn members_of_another_cluster_are_an_error() {
        let of = State::default_cluster_key(&Scope::development());
        assert!(
            service_key(&of, "arn:aws:ecs:us-east-1:123456789012:service/default/web").unwrap().is_some()
        );
        let other = service_key(&of, "arn:aws:ecs:us-east-1:123456789012:service/other/web").unwrap_err();
        let message = "Invalid identifier: Identifier is for cluster other. Your cluster is default";
        assert_eq!(other, Error::invalid(message));
        assert!(
            task_id(&of, "arn:aws:ecs:us-east-1:999999999999:task/default/00000000000000000000000000000001")
                .unwrap()
                .is_none()
        );
        assert!(task_id(&of, "00000000000000000000000000000001").unwrap().is_some());
    }

    #[test]
    fn task_definitions_three_ways() {
        let scope = Scope::development();
        let family = Family::new("web").unwrap();
        let parse = |text| DefinitionName::parse(&scope, text);
        assert_eq!(parse("web"), Some(DefinitionName::Family(family.clone())));
        let third = Some(DefinitionName::Revision(family, 3));
        assert_eq!(parse("web:3"), third);
        assert_eq!(parse("arn:aws:ecs:us-east-1:123456789012:task-definition/web:3"), third);
        assert_eq!(parse("web:x"), None);
        assert_eq!(parse("arn:aws:ecs:us-east-1:123456789012:cluster/web"), None);
    }
}
