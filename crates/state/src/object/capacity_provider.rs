//! Capacity providers: where a cluster's container instances come from. ECS has two of its own, FARGATE and FARGATE_SPOT, which
//! are not objects here.

use serde::{Deserialize, Serialize};
use trireme_types::{CapacityProviderName, Scope, Timestamp, capability::MANAGED_POOL};

use super::Tags;

/// A capacity provider's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CapacityProviderKey {
    /// Account and region.
    pub scope: Scope,
    /// The name within them.
    pub name: CapacityProviderName,
}

impl CapacityProviderKey {
    /// Whether it is one of ECS's own, which are always there.
    pub fn is_built_in(&self) -> bool {
        matches!(self.name.as_str(), "FARGATE" | "FARGATE_SPOT")
    }
}

/// A capacity provider (ECS API: CapacityProvider).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityProvider {
    /// Its full name.
    pub key: CapacityProviderKey,
    /// The group of machines behind it.
    pub group: AutoScalingGroup,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether it was ever updated (ECS API: CapacityProvider.updateStatus).
    pub updated: bool,
}

/// ECS API: AutoScalingGroupProvider. The group is a pool of machines, whose agents name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoScalingGroup {
    /// The group's ARN or name, as it was given.
    pub arn: String,
    /// How its size follows what is wanted.
    pub managed_scaling: ManagedScaling,
    /// Whether instances with tasks are kept from termination when it shrinks.
    pub managed_termination_protection: bool,
    /// Whether instances are drained before they are terminated.
    pub managed_draining: bool,
}

impl AutoScalingGroup {
    /// The pool's name: the group's, which is the last part of an ARN.
    pub fn pool(&self) -> &str {
        self.arn.rsplit_once("autoScalingGroupName/").map_or(&self.arn, |(_, name)| name)
    }

    /// Whether a pool may have its group's name. The operator's hook is handed it, and may well name folders and machines by it; and the
    /// managed pool is no account's own.
    pub fn names_a_pool(&self) -> bool {
        let pool = self.pool();
        let may = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        (1..=255).contains(&pool.len()) && pool.chars().all(may) && ![".", "..", MANAGED_POOL].contains(&pool)
    }
}

/// ECS API: ManagedScaling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedScaling {
    /// Whether it is on.
    pub enabled: bool,
    /// The wanted CapacityProviderReservation, 1 to 100 percent.
    pub target_capacity: u32,
    /// Instances that one step adds at least, 1 to 10,000.
    pub minimum_step: u32,
    /// Instances that one step adds at most, 1 to 10,000.
    pub maximum_step: u32,
    /// Seconds before a new instance counts, 0 to 10,000.
    pub warmup_seconds: u32,
}

impl Default for ManagedScaling {
    /// ECS API: ManagedScaling's defaults.
    fn default() -> Self {
        Self {
            enabled: false,
            target_capacity: 100,
            minimum_step: 1,
            maximum_step: 10_000,
            warmup_seconds: 300,
        }
    }
}

/// ECS API: CapacityProviderStrategyItem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyItem {
    /// The provider.
    pub provider: CapacityProviderName,
    /// Its share of what is beyond the base, relative to the others'. 0 to 1,000.
    pub weight: u32,
    /// Tasks that it gets first. 0 to 100,000.
    pub base: u32,
}
