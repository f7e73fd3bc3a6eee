//! Members of a task definition that only agents see to.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use trireme_types::capability::{SETTINGS, TASK_SETTINGS};

use crate::FeatureLevel;
use crate::object::{NetworkMode, PlacementRules, TaskDefinitionSpec, TaskOverrides};

/// The part of a `logConfiguration` that is of interest here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: Option<String>,
    options: Option<BTreeMap<String, IgnoredAny>>,
    secret_options: Option<Vec<IgnoredAny>>,
}

impl LogConfiguration {
    /// What Docker does anyway.
    fn is_plain(&self) -> bool {
        self.log_driver.as_deref() == Some("json-file")
            && self.options.as_ref().is_none_or(BTreeMap::is_empty)
            && self.secret_options.as_ref().is_none_or(Vec::is_empty)
    }
}

/// The part of a `restartPolicy` that is of interest here.
#[derive(Deserialize)]
struct RestartPolicy {
    enabled: Option<bool>,
}

impl RestartPolicy {
    fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }
}

/// What of a task and its containers only the agent sees to, as far as it asks for anything: ECS's member and its JSON.
pub fn settings(spec: &TaskDefinitionSpec) -> impl Iterator<Item = (&str, &str)> {
    fn words<'a>((member, json): (&'a String, &'a String)) -> (&'a str, &'a str) {
        (member, json)
    }
    let of_containers = spec.containers.iter().flat_map(|container| &container.described);
    let of_containers = of_containers.map(words).filter(|(member, _)| SETTINGS.contains(member));
    let of_task = spec.described.iter().map(words).filter(|(member, _)| TASK_SETTINGS.contains(member));
    of_containers.chain(of_task).filter(|(member, json)| !asks_for_nothing(member, json))
}

/// Members that came after the others.
const OF_NODE_SERVICES: [&str; 6] =
    ["environmentFiles", "ephemeralStorage", "ipcMode", "pidMode", "portMappings", "restartPolicy"];

/// The level from which a definition may be registered: a control node of a lower one would have its tasks run without some member.
pub fn settings_level(spec: &TaskDefinitionSpec) -> FeatureLevel {
    let level = |(member, _): (&str, &str)| {
        if OF_NODE_SERVICES.contains(&member) {
            FeatureLevel::NODE_SERVICES
        } else {
            FeatureLevel::CONTAINERS
        }
    };
    // Below it nobody gives a task an address.
    let interfaces = spec.network_mode == Some(NetworkMode::Awsvpc);
    let network = interfaces.then_some(FeatureLevel::TASK_NETWORKS);
    let constraints = !PlacementRules::of_definition(&spec.described).is_empty();
    let placement = constraints.then_some(FeatureLevel::SERVICES);
    settings(spec).map(level).chain(network).chain(placement).max().unwrap_or(FeatureLevel::FIRST)
}

/// The level from which tasks may run with these overrides: a control node of a lower one would take files for a variable.
pub fn overrides_level(overrides: &TaskOverrides) -> FeatureLevel {
    if overrides.containers.iter().any(|container| container.environment_files().is_some()) {
        FeatureLevel::TASK_NETWORKS
    } else {
        FeatureLevel::FIRST
    }
}

/// What was taken as asking for nothing before agents saw to it, and still does.
fn asks_for_nothing(member: &str, json: &str) -> bool {
    match member {
        "logConfiguration" => serde_json::from_str(json).is_ok_and(|log: LogConfiguration| log.is_plain()),
        "restartPolicy" => serde_json::from_str(json).is_ok_and(|policy: RestartPolicy| !policy.is_on()),
        _ => matches!(json, "false" | "[]" | "{}"),
    }
}
