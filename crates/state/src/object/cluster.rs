//! Clusters: the groups that services, tasks and container instances live in.

use serde::{Deserialize, Serialize};
use trireme_types::{CapacityProviderName, ClusterName, Scope, Timestamp};

use super::{Described, StrategyItem, Tags};

/// A cluster's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterKey {
    /// Account and region.
    pub scope: Scope,
    /// The name within them.
    pub name: ClusterName,
}

impl ClusterKey {
    /// The cluster of the machines that take every cluster's FARGATE tasks. It is no account's: no API call names it.
    pub fn managed_pool() -> Self {
        Self { scope: Scope::internal(), name: ClusterName::managed_pool() }
    }

    /// Whether it is that one.
    pub fn is_managed_pool(&self) -> bool {
        *self == Self::managed_pool()
    }
}

/// ECS API: Cluster.status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterStatus {
    /// In use.
    Active,
    /// Deleted; still described.
    Inactive,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Its full name.
    pub key: ClusterKey,
    /// Whether it may be used.
    pub status: ClusterStatus,
    /// Its tags.
    pub tags: Tags,
    /// When it was created, or created again.
    pub created_at: Timestamp,
}

/// What a cluster was given beyond name and tags (ECS API: CreateCluster, UpdateCluster, PutClusterCapacityProviders). A cluster
/// that was given nothing has the default, and none is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfiguration {
    /// ECS API: ClusterSetting `containerInsights`.
    pub container_insights: ContainerInsights,
    /// ECS API: Cluster.capacityProviders, in the order given.
    pub capacity_providers: Vec<CapacityProviderName>,
    /// ECS API: Cluster.defaultCapacityProviderStrategy.
    pub default_strategy: Vec<StrategyItem>,
    /// What has no effect but is described: `configuration`, `serviceConnectDefaults`.
    pub described: Described,
}

/// ECS API: ClusterSetting `containerInsights`. Stored and described.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerInsights {
    /// Off.
    #[default]
    Disabled,
    /// On.
    Enabled,
    /// On, with more detail.
    Enhanced,
}

impl ContainerInsights {
    /// As ECS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Enabled => "enabled",
            Self::Enhanced => "enhanced",
        }
    }
}

impl std::str::FromStr for ContainerInsights {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Disabled, Self::Enabled, Self::Enhanced].into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}
