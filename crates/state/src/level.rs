//! The feature level: what every node of the cluster can read. It is part of the state and only rises; event kinds and
//! layouts that came later are written only once it has reached theirs, so that nodes of different versions hold the
//! same state.

use serde::{Deserialize, Serialize};

/// A feature level. Each kind of event, each layout of a snapshot and of the state hash belongs to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureLevel(u32);

impl FeatureLevel {
    /// The level of a new cluster's first event.
    pub const FIRST: Self = Self(1);
    /// Clusters' configuration, capacity providers, account settings, custom attributes, task protection, deployment histories.
    pub const CONFIGURATION: Self = Self(2);
    /// Task sets.
    pub const TASK_SETS: Self = Self(3);
    /// Members of task definitions that only agents see to, and what health checks say.
    pub const CONTAINERS: Self = Self(4);
    /// What agents do for tasks beside running them: logs, commands inside, restarts in place, pinned images; and how long an agent may be
    /// away.
    pub const NODE_SERVICES: Self = Self(5);
    /// Subnets, and tasks with network interfaces of their own; environment files of overrides.
    pub const TASK_NETWORKS: Self = Self(6);
    /// What a service asks of placement, of its deployments and of zones: constraints, strategies, daemons, circuit breaker, blue and
    /// green, rebalancing.
    pub const SERVICES: Self = Self(7);
    /// As many as needed: autoscaling, alarms, capacity, schedules.
    pub const SCALING: Self = Self(8);
    /// The highest level that this binary supports. It supports all below it too.
    pub const LATEST: Self = Self(if cfg!(feature = "next-level") { 9 } else { 8 });

    /// A level by its number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for FeatureLevel {
    fn default() -> Self {
        Self::FIRST
    }
}

impl std::fmt::Display for FeatureLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
