//! From which feature level a service may be kept as it is described: below it nobody does what it asks for.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::DeploymentAlarms;
use crate::FeatureLevel;
use crate::object::{
    BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_STRATEGY, Described, EARLY_SUCCESS, LIFECYCLE_HOOKS, Launching,
    PlacementRules, SchedulingStrategy, is_rebalanced,
};

#[derive(Deserialize)]
struct Switch {
    enable: Option<bool>,
}

/// The level of members that are set.
pub fn service_level(described: &Described) -> FeatureLevel {
    let asks = described.iter().any(|(member, json)| match member.as_str() {
        LIFECYCLE_HOOKS => serde_json::from_str(json).is_ok_and(|all: Vec<IgnoredAny>| !all.is_empty()),
        CIRCUIT_BREAKER | EARLY_SUCCESS => {
            serde_json::from_str(json).is_ok_and(|switch: Switch| switch.enable == Some(true))
        }
        DEPLOYMENT_STRATEGY => json != "\"ROLLING\"",
        BAKE_TIME => json != "0",
        _ => false,
    });
    let asks = asks
        || !PlacementRules::of_service(described).is_default()
        || is_rebalanced(described)
        || SchedulingStrategy::of(described) == SchedulingStrategy::Daemon;
    let scales = DeploymentAlarms::of(described).enable || Launching::of(described) != Launching::Instances;
    match (scales, asks) {
        (true, _) => FeatureLevel::SCALING,
        (false, true) => FeatureLevel::SERVICES,
        (false, false) => FeatureLevel::FIRST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::PLACEMENT_STRATEGY;

    fn level(member: &str, json: &str) -> FeatureLevel {
        service_level(&Described::from([(member.to_owned(), json.to_owned())]))
    }

    #[test]
    fn what_happens_anyway_is_of_the_first_level() {
        let zones = r#"[{"type":"spread","field":"attribute:ecs.availability-zone"}]"#;
        assert_eq!(level(PLACEMENT_STRATEGY, zones), FeatureLevel::FIRST);
        assert_eq!(level(CIRCUIT_BREAKER, r#"{"enable":false,"rollback":true}"#), FeatureLevel::FIRST);
        assert_eq!(level(DEPLOYMENT_STRATEGY, "\"ROLLING\""), FeatureLevel::FIRST);
        assert_eq!(level(BAKE_TIME, "0"), FeatureLevel::FIRST);
    }

    #[test]
    fn what_older_nodes_would_not_do_is_not() {
        assert_eq!(level(PLACEMENT_STRATEGY, r#"[{"type":"random"}]"#), FeatureLevel::SERVICES);
        assert_eq!(level(CIRCUIT_BREAKER, r#"{"enable":true,"rollback":true}"#), FeatureLevel::SERVICES);
        let alarms = r#"{"alarmNames":["high"],"enable":true,"rollback":true}"#;
        assert_eq!(level("alarms", alarms), FeatureLevel::SCALING);
        assert_eq!(level("schedulingStrategy", "\"DAEMON\""), FeatureLevel::SERVICES);
        assert_eq!(level("availabilityZoneRebalancing", "\"ENABLED\""), FeatureLevel::SERVICES);
        assert_eq!(level(LIFECYCLE_HOOKS, r#"[{"targetType":"PAUSE"}]"#), FeatureLevel::SERVICES);
    }
}
