//! From which feature level a service may be kept as it is described: below it nobody does what it asks for.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::FeatureLevel;
use crate::object::{
    BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_STRATEGY, Described, EARLY_SUCCESS, LIFECYCLE_HOOKS,
    PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY, SchedulingStrategy, is_rebalanced,
};

#[derive(Deserialize)]
struct Switch {
    enable: Option<bool>,
}

#[derive(Deserialize)]
struct Strategy {
    #[serde(rename = "type")]
    kind: Option<String>,
    field: Option<String>,
}

/// The level of members that are set.
pub fn service_level(described: &Described) -> FeatureLevel {
    let asks = described.iter().any(|(member, json)| match member.as_str() {
        PLACEMENT_CONSTRAINTS | LIFECYCLE_HOOKS => {
            serde_json::from_str(json).is_ok_and(|all: Vec<IgnoredAny>| !all.is_empty())
        }
        PLACEMENT_STRATEGY => !is_default_strategy(json),
        CIRCUIT_BREAKER | EARLY_SUCCESS => {
            serde_json::from_str(json).is_ok_and(|switch: Switch| switch.enable == Some(true))
        }
        DEPLOYMENT_STRATEGY => json != "\"ROLLING\"",
        BAKE_TIME => json != "0",
        _ => false,
    });
    let asks =
        asks || is_rebalanced(described) || SchedulingStrategy::of(described) == SchedulingStrategy::Daemon;
    if asks { FeatureLevel::SERVICES } else { FeatureLevel::FIRST }
}

/// Over zones, then over instances: what happens anyway, and always did.
fn is_default_strategy(json: &str) -> bool {
    let Ok(all) = serde_json::from_str::<Vec<Strategy>>(json) else { return false };
    let spreads = |one: &Strategy, fields: &[&str]| {
        one.kind.as_deref() == Some("spread")
            && one.field.as_deref().is_some_and(|field| fields.contains(&field))
    };
    match &all[..] {
        [] => true,
        [zones] => spreads(zones, &["attribute:ecs.availability-zone"]),
        [zones, instances] => {
            spreads(zones, &["attribute:ecs.availability-zone"])
                && spreads(instances, &["instanceId", "host"])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(level("schedulingStrategy", "\"DAEMON\""), FeatureLevel::SERVICES);
        assert_eq!(level("availabilityZoneRebalancing", "\"ENABLED\""), FeatureLevel::SERVICES);
        assert_eq!(level(LIFECYCLE_HOOKS, r#"[{"targetType":"PAUSE"}]"#), FeatureLevel::SERVICES);
    }
}
