//! Clusters: the groups that services, tasks and container instances live in.

use serde::{Deserialize, Serialize};
use trireme_types::{ClusterName, Scope, Timestamp};

use super::Tags;

/// A cluster's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterKey {
    /// Account and region.
    pub scope: Scope,
    /// The name within them.
    pub name: ClusterName,
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
