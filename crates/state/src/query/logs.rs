//! Log groups that a task definition names.

use std::collections::BTreeMap;

use serde::Deserialize;
use trireme_types::{Region, Scope};

use crate::object::{ContainerDefinition, LogGroupKey};

/// ECS's log driver that writes to log groups.
pub const AWSLOGS: &str = "awslogs";

/// The part of a `logConfiguration` that is of interest here (ECS API: LogConfiguration).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: String,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

/// The group that a container's output goes to, and whether it is made when it is not there. `scope` is the task's.
pub fn log_group(container: &ContainerDefinition, scope: &Scope) -> Option<(LogGroupKey, bool)> {
    let json = container.described.get("logConfiguration").filter(|json| json.contains(AWSLOGS))?;
    let log: LogConfiguration = serde_json::from_str(json).ok()?;
    if log.log_driver != AWSLOGS {
        return None;
    }
    let region = log.options.get("awslogs-region").and_then(|name| Region::new(name).ok());
    let scope =
        Scope { account: scope.account.clone(), region: region.unwrap_or_else(|| scope.region.clone()) };
    let name = log.options.get("awslogs-group")?.clone();
    let create = log.options.get("awslogs-create-group").is_some_and(|value| value == "true");
    Some((LogGroupKey { scope, name }, create))
}
