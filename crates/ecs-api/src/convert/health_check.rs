//! Health checks of containers: their definition, checked and with ECS's defaults filled in, and what they say of a task (ECS API:
//! HealthCheck, HealthStatus).

use trireme_ecs_model::shapes::{ContainerDefinition, HealthCheck, HealthStatus};
use trireme_state::object::{self, Task, TaskDefinition, TaskHealth};
use trireme_state::query::{Checked, checked};
use trireme_types::ContainerName;

use crate::error::{Error, Result};

const MEMBER: &str = "healthCheck";
/// ECS API: HealthCheck.interval, in seconds: least, greatest, default.
const INTERVAL: (i32, i32, i32) = (5, 300, 30);
/// The same of timeout.
const TIMEOUT: (i32, i32, i32) = (2, 60, 5);
/// The same of retries.
const RETRIES: (i32, i32, i32) = (1, 10, 3);
/// ECS API: HealthCheck.startPeriod, in seconds. There is none unless it is given.
const LONGEST_START: i32 = 300;

/// A container with its check as ECS describes it.
pub(crate) fn with_defaults(
    given: &ContainerDefinition,
    name: &ContainerName,
) -> Result<ContainerDefinition> {
    let Some(check) = &given.health_check else { return Ok(given.clone()) };
    let wrong = |what: String| Error::client(format!("Invalid setting for container '{name}'. {what}"));
    let number = |member: &str, value: Option<i32>, (least, greatest, default): (i32, i32, i32)| {
        let value = value.unwrap_or(default);
        match (least..=greatest).contains(&value) {
            true => Ok(Some(value)),
            false => Err(wrong(format!("'{MEMBER}.{member}' must be between {least} and {greatest}."))),
        }
    };
    let command = check.command.as_deref().unwrap_or_default();
    // What begins with neither CMD nor CMD-SHELL is taken, and says nothing: as in ECS.
    if command.first().is_none_or(String::is_empty) {
        return Err(wrong(format!("'{MEMBER}.command' must not be empty.")));
    }
    if let Some(start) = check.start_period {
        number("startPeriod", Some(start), (0, LONGEST_START, 0))?;
    }
    let check = HealthCheck {
        interval: number("interval", check.interval, INTERVAL)?,
        timeout: number("timeout", check.timeout, TIMEOUT)?,
        retries: number("retries", check.retries, RETRIES)?,
        ..check.clone()
    };
    Ok(ContainerDefinition { health_check: Some(check), ..given.clone() })
}

/// What is known of one container.
pub(crate) fn of_container(health: &TaskHealth, name: &ContainerName) -> HealthStatus {
    match health.get(name) {
        Some(object::HealthStatus::Healthy) => HealthStatus::Healthy,
        Some(object::HealthStatus::Unhealthy) => HealthStatus::Unhealthy,
        None => HealthStatus::Unknown,
    }
}

/// ECS API: Task.healthStatus: what the essential containers that have a check come to. Without any it is UNKNOWN.
pub(crate) fn of_task(health: &TaskHealth, task: &Task, definition: Option<&TaskDefinition>) -> HealthStatus {
    match definition.and_then(|definition| checked(health, task, definition)) {
        Some(Checked::Unhealthy) => HealthStatus::Unhealthy,
        Some(Checked::Healthy) => HealthStatus::Healthy,
        Some(Checked::Unknown) | None => HealthStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn filled(check: &Value) -> std::result::Result<Value, String> {
        let given: ContainerDefinition = serde_json::from_value(json!({ "healthCheck": check })).unwrap();
        let filled = with_defaults(&given, &ContainerName::new("app").unwrap());
        Ok(serde_json::to_value(filled.map_err(|error| error.message)?.health_check).unwrap())
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        assert_eq!(
            filled(&json!({"command": ["CMD-SHELL", "true"]})).unwrap(),
            json!({"command": ["CMD-SHELL", "true"], "interval": 30, "timeout": 5, "retries": 3})
        );
        let whole = json!({"command": ["CMD", "a", "b"], "interval": 300, "timeout": 60, "retries": 10, "startPeriod": 0});
        assert_eq!(filled(&whole).unwrap(), whole);
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        for (member, value) in [
            ("command", json!([])),
            ("command", json!([""])),
            ("interval", json!(4)),
            ("interval", json!(301)),
            ("timeout", json!(1)),
            ("timeout", json!(61)),
            ("retries", json!(0)),
            ("retries", json!(11)),
            ("startPeriod", json!(-1)),
            ("startPeriod", json!(301)),
        ] {
            let mut check = json!({"command": ["CMD", "true"]});
            check[member] = value.clone();
            let message = filled(&check).unwrap_err();
            assert!(message.contains(&format!("'healthCheck.{member}'")), "{member} {value}: {message}");
        }
    }
}
