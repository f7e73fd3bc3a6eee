//! Names, ids and ARNs, as requests give them, to keys of the state. An ARN of another account or region names nothing here.

use trireme_state::State;
use trireme_state::object::{
    ClusterKey, ContainerInstance, Service, ServiceKey, Task, TaskDefinition, TaskDefinitionKey,
};
use trireme_types::arn::Resource;
use trireme_types::{Arn, ClusterName, ContainerInstanceId, Family, Scope, ServiceName, TaskId};

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
        ClusterName::new(text).map_err(|_| Error::invalid(format!("Identifier is invalid: {text}")))?
    };
    Ok(ClusterKey { scope: scope.clone(), name })
}

/// A service of `cluster` by name or ARN. `None` when it cannot be one of it.
pub(crate) fn service_key(cluster: &ClusterKey, text: &str) -> Option<ServiceKey> {
    let name = if Arn::looks_like(text) {
        match own(&cluster.scope, text)? {
            Resource::Service(of, name) if of == cluster.name => name,
            _ => return None,
        }
    } else {
        ServiceName::new(text).ok()?
    };
    Some(ServiceKey { cluster: cluster.clone(), name })
}

/// A service that is there, in whatever status.
pub(crate) fn service<'a>(state: &'a State, cluster: &ClusterKey, text: &str) -> Option<&'a Service> {
    state.service(&service_key(cluster, text)?).map(AsRef::as_ref)
}

/// A task's id, bare or in an ARN of `cluster`.
pub(crate) fn task_id(cluster: &ClusterKey, text: &str) -> Option<TaskId> {
    if !Arn::looks_like(text) {
        return text.parse().ok();
    }
    match own(&cluster.scope, text)? {
        Resource::Task(of, id) if of == cluster.name => Some(id),
        _ => None,
    }
}

/// A task of `cluster` that is there.
pub(crate) fn task<'a>(state: &'a State, cluster: &ClusterKey, text: &str) -> Option<&'a Task> {
    let task = state.task(task_id(cluster, text)?)?;
    (task.cluster == *cluster).then_some(task)
}

/// A container instance's id, bare or in an ARN of `cluster`.
pub(crate) fn instance_id(cluster: &ClusterKey, text: &str) -> Option<ContainerInstanceId> {
    if !Arn::looks_like(text) {
        return text.parse().ok();
    }
    match own(&cluster.scope, text)? {
        Resource::ContainerInstance(of, id) if of == cluster.name => Some(id),
        _ => None,
    }
}

/// A container instance of `cluster` that is there.
pub(crate) fn instance<'a>(
    state: &'a State,
    cluster: &ClusterKey,
    text: &str,
) -> Option<&'a ContainerInstance> {
    let instance = state.instance(instance_id(cluster, text)?)?;
    (instance.registration.cluster == *cluster).then_some(instance)
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
    fn members_of_another_cluster_are_not_found() {
        let of = State::default_cluster_key(&Scope::development());
        assert!(service_key(&of, "arn:aws:ecs:us-east-1:123456789012:service/default/web").is_some());
        assert!(service_key(&of, "arn:aws:ecs:us-east-1:123456789012:service/other/web").is_none());
        assert!(
            task_id(&of, "arn:aws:ecs:us-east-1:999999999999:task/default/00000000000000000000000000000001")
                .is_none()
        );
        assert!(task_id(&of, "00000000000000000000000000000001").is_some());
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
