//! What a service asks of its scheduler beside a number of tasks: members that are kept as they were given, in ECS's names and JSON,
//! and have an effect.

use super::Described;

/// REPLICA, or DAEMON (ECS API: SchedulingStrategy). A service that does not say is REPLICA.
pub const SCHEDULING_STRATEGY: &str = "schedulingStrategy";
/// ENABLED, or DISABLED (ECS API: AvailabilityZoneRebalancing). A service that does not say is DISABLED.
pub const ZONE_REBALANCING: &str = "availabilityZoneRebalancing";
/// ECS API: PlacementConstraints of a service or a task definition.
pub const PLACEMENT_CONSTRAINTS: &str = "placementConstraints";
/// ECS API: PlacementStrategies.
pub const PLACEMENT_STRATEGY: &str = "placementStrategy";
/// ECS API: DeploymentCircuitBreaker.
pub const CIRCUIT_BREAKER: &str = "deploymentCircuitBreaker";
/// ECS API: DeploymentAlarms.
pub const DEPLOYMENT_ALARMS: &str = "alarms";
/// ECS API: DeploymentStrategy. A service that does not say is ROLLING.
pub const DEPLOYMENT_STRATEGY: &str = "strategy";
/// ECS API: DeploymentConfiguration.bakeTimeInMinutes.
pub const BAKE_TIME: &str = "bakeTimeInMinutes";
/// ECS API: DeploymentLifecycleHookList.
pub const LIFECYCLE_HOOKS: &str = "lifecycleHooks";
/// ECS API: DeploymentEarlySuccessCriteria.
pub const EARLY_SUCCESS: &str = "earlySuccessCriteria";

/// ECS API: SchedulingStrategy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SchedulingStrategy {
    /// So many tasks.
    #[default]
    Replica,
    /// One task on each instance that fits.
    Daemon,
}

impl SchedulingStrategy {
    /// What a service says.
    pub fn of(described: &Described) -> Self {
        let daemon = described.get(SCHEDULING_STRATEGY).is_some_and(|json| json == "\"DAEMON\"");
        if daemon { Self::Daemon } else { Self::Replica }
    }
}

/// Whether a service wants its tasks moved until its zones have as many of them each.
pub fn is_rebalanced(described: &Described) -> bool {
    described.get(ZONE_REBALANCING).is_some_and(|json| json == "\"ENABLED\"")
}
