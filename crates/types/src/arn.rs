//! Amazon Resource Names, written and read. The long formats only: `task/CLUSTER/ID`, not `task/ID`.

use sha2::{Digest as _, Sha256};

use crate::{
    AccountId, CapacityProviderName, ClusterName, ContainerInstanceId, DeploymentId, Family, Region, Scope,
    ServiceName, ServiceRevisionId, TaskId,
};

/// Why a text is not an ARN of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// Not of the form `arn:aws:ecs:REGION:ACCOUNT:RESOURCE`.
    #[error("`{text}` is not an ECS ARN (arn:aws:ecs:REGION:ACCOUNT:RESOURCE)")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// An ARN, but of a resource that Trireme does not know.
    #[error("`{text}` names no kind of resource that is known")]
    UnknownResource {
        /// What was given.
        text: String,
    },
}

/// What an ARN names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// `cluster/NAME`
    Cluster(ClusterName),
    /// `service/CLUSTER/NAME`
    Service(ClusterName, ServiceName),
    /// `task/CLUSTER/ID`
    Task(ClusterName, TaskId),
    /// `container-instance/CLUSTER/ID`
    ContainerInstance(ClusterName, ContainerInstanceId),
    /// `task-definition/FAMILY:REVISION`
    TaskDefinition(Family, u32),
    /// `container/CLUSTER/TASK/UUID`
    Container(ClusterName, TaskId, String),
    /// `service-deployment/CLUSTER/SERVICE/ID`
    ServiceDeployment(ClusterName, ServiceName, DeploymentId),
    /// `service-revision/CLUSTER/SERVICE/ID`
    ServiceRevision(ClusterName, ServiceName, ServiceRevisionId),
    /// `task-set/CLUSTER/SERVICE/ID`, the id with its `ecs-svc/`
    TaskSet(ClusterName, ServiceName, DeploymentId),
    /// `capacity-provider/NAME`
    CapacityProvider(CapacityProviderName),
}

/// An ARN of the ECS service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn {
    /// Account and region.
    pub scope: Scope,
    /// What it names.
    pub resource: Resource,
}

impl Arn {
    /// An ARN of `resource` in `scope`.
    pub fn new(scope: &Scope, resource: Resource) -> Self {
        Self { scope: scope.clone(), resource }
    }

    /// Whether a text means to be an ARN at all, rather than a name or an id.
    pub fn looks_like(text: &str) -> bool {
        text.starts_with("arn:")
    }
}

/// The UUID of a task's container. It follows from the task and the name, so that nobody has to keep it.
pub fn container_uuid(task: TaskId, name: &str) -> String {
    let digest = Sha256::digest(format!("{task}/{name}"));
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl std::fmt::Display for Arn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "arn:aws:ecs:{}:{}:", self.scope.region, self.scope.account)?;
        match &self.resource {
            Resource::Cluster(name) => write!(f, "cluster/{name}"),
            Resource::Service(cluster, name) => write!(f, "service/{cluster}/{name}"),
            Resource::Task(cluster, id) => write!(f, "task/{cluster}/{id}"),
            Resource::ContainerInstance(cluster, id) => write!(f, "container-instance/{cluster}/{id}"),
            Resource::TaskDefinition(family, revision) => write!(f, "task-definition/{family}:{revision}"),
            Resource::Container(cluster, task, uuid) => write!(f, "container/{cluster}/{task}/{uuid}"),
            Resource::ServiceDeployment(cluster, service, id) => {
                let id = id.to_string();
                write!(f, "service-deployment/{cluster}/{service}/{}", id.trim_start_matches("ecs-svc/"))
            }
            Resource::ServiceRevision(cluster, service, id) => {
                write!(f, "service-revision/{cluster}/{service}/{id}")
            }
            Resource::TaskSet(cluster, service, id) => write!(f, "task-set/{cluster}/{service}/{id}"),
            Resource::CapacityProvider(name) => write!(f, "capacity-provider/{name}"),
        }
    }
}

impl std::str::FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let malformed = || ArnError::Malformed { text: text.to_owned() };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", "aws", "ecs", region, account, resource] = parts[..] else {
            return Err(malformed());
        };
        let scope = Scope {
            account: AccountId::new(account).map_err(|_| malformed())?,
            region: Region::new(region).map_err(|_| malformed())?,
        };
        let resource =
            parse_resource(resource).ok_or_else(|| ArnError::UnknownResource { text: text.to_owned() })?;
        Ok(Self { scope, resource })
    }
}

fn parse_resource(text: &str) -> Option<Resource> {
    let parts: Vec<&str> = text.split('/').collect();
    Some(match parts[..] {
        ["cluster", name] => Resource::Cluster(name.parse().ok()?),
        ["service", cluster, name] => Resource::Service(cluster.parse().ok()?, name.parse().ok()?),
        ["task", cluster, id] => Resource::Task(cluster.parse().ok()?, id.parse().ok()?),
        ["container-instance", cluster, id] => {
            Resource::ContainerInstance(cluster.parse().ok()?, id.parse().ok()?)
        }
        ["task-definition", name] => {
            let (family, revision) = name.rsplit_once(':')?;
            Resource::TaskDefinition(family.parse().ok()?, revision.parse().ok()?)
        }
        ["container", cluster, task, uuid] => {
            Resource::Container(cluster.parse().ok()?, task.parse().ok()?, uuid.to_owned())
        }
        ["service-deployment", cluster, service, id] => Resource::ServiceDeployment(
            cluster.parse().ok()?,
            service.parse().ok()?,
            format!("ecs-svc/{id}").parse().ok()?,
        ),
        ["service-revision", cluster, service, id] => {
            Resource::ServiceRevision(cluster.parse().ok()?, service.parse().ok()?, id.parse().ok()?)
        }
        ["task-set", cluster, service, kind, id] => Resource::TaskSet(
            cluster.parse().ok()?,
            service.parse().ok()?,
            format!("{kind}/{id}").parse().ok()?,
        ),
        ["capacity-provider", name] => Resource::CapacityProvider(name.parse().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_survive_their_text_form() {
        let scope = Scope::development();
        let cluster = ClusterName::default_cluster();
        let service = ServiceName::new("web").unwrap();
        for resource in [
            Resource::Cluster(cluster.clone()),
            Resource::Service(cluster.clone(), service.clone()),
            Resource::Task(cluster.clone(), TaskId::from_bits(7)),
            Resource::ContainerInstance(cluster.clone(), ContainerInstanceId::from_bits(8)),
            Resource::TaskDefinition(Family::new("web").unwrap(), 3),
            Resource::ServiceDeployment(cluster.clone(), service.clone(), DeploymentId::from_random(9)),
            Resource::TaskSet(cluster.clone(), service.clone(), DeploymentId::from_random(9)),
            Resource::ServiceRevision(cluster, service, ServiceRevisionId::of(DeploymentId::from_random(9))),
            Resource::CapacityProvider(CapacityProviderName::new("FARGATE").unwrap()),
        ] {
            let arn = Arn::new(&scope, resource);
            assert_eq!(arn.to_string().parse::<Arn>(), Ok(arn));
        }
    }

    #[test]
    fn foreign_texts_are_refused() {
        assert!(matches!("arn:aws:s3:::bucket".parse::<Arn>(), Err(ArnError::Malformed { .. })));
        let unknown = "arn:aws:ecs:us-east-1:123456789012:widget/a";
        assert!(matches!(unknown.parse::<Arn>(), Err(ArnError::UnknownResource { .. })));
    }
}
