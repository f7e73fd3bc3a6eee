//! Health checks: ECS's in Docker's words, and Docker's words for what they say. Docker runs them.

use std::collections::HashMap;

use bollard::models::{ContainerState, HealthConfig, HealthStatusEnum};
use serde::Deserialize;

use crate::runtime::Health;
use crate::setting;

const SECOND: i64 = 1_000_000_000;
/// What Docker says in its events, before what the check says.
const EVENT: &str = "health_status: ";

/// ECS API: HealthCheck, as it was registered, in seconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    command: Vec<String>,
    interval: Option<i64>,
    timeout: Option<i64>,
    retries: Option<i64>,
    start_period: Option<i64>,
}

/// The definition's check. Without one there is none: what the image brings does not count (ECS API: HealthCheck).
///
/// # Errors
/// It is not what it should be.
pub(super) fn check(settings: &HashMap<String, String>) -> Result<HealthConfig, String> {
    let Some(given) = setting::read::<Option<HealthCheck>>(settings, "healthCheck")? else {
        return Ok(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() });
    };
    let nanos = |seconds: Option<i64>| seconds.map(|seconds| seconds.saturating_mul(SECOND));
    Ok(HealthConfig {
        test: Some(given.command),
        interval: nanos(given.interval),
        timeout: nanos(given.timeout),
        retries: given.retries,
        start_period: nanos(given.start_period),
        start_interval: None,
    })
}

/// What an inspection says.
pub(super) fn inspected(state: &ContainerState) -> Health {
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
        Some(HealthStatusEnum::STARTING | HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => {
            Health::Unknown
        }
    }
}

/// What a list says: its words for the state end with it.
pub(super) fn listed(status: &str) -> Health {
    match status.rsplit_once('(').map(|(_, last)| last.trim_end_matches(')')) {
        Some("healthy") => Health::Healthy,
        Some("unhealthy") => Health::Unhealthy,
        _ => Health::Unknown,
    }
}

/// What an event says; `None` for one that is about something else.
pub(super) fn told(action: &str) -> Option<Health> {
    Some(match action.strip_prefix(EVENT)? {
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => Health::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecs_check_in_dockers_words() {
        let json = r#"{"command":["CMD-SHELL","true"],"interval":5,"timeout":2,"retries":1,"startPeriod":0}"#;
        let config = check(&HashMap::from([("healthCheck".to_owned(), json.to_owned())])).unwrap();
        assert_eq!(config.test.unwrap(), ["CMD-SHELL", "true"]);
        assert_eq!((config.interval, config.timeout), (Some(5 * SECOND), Some(2 * SECOND)));
        assert_eq!((config.retries, config.start_period), (Some(1), Some(0)));
    }

    #[test]
    fn what_the_image_brings_does_not_count() {
        assert_eq!(check(&HashMap::new()).unwrap().test.unwrap(), ["NONE"]);
    }

    #[test]
    fn dockers_words_for_what_a_check_says() {
        let list = [
            "Up 3 seconds (healthy)",
            "Up 1 minute (unhealthy)",
            "Up 1 second (health: starting)",
            "Up 2 days",
        ];
        assert_eq!(list.map(listed), [Health::Healthy, Health::Unhealthy, Health::Unknown, Health::Unknown]);
        assert_eq!(told("health_status: unhealthy"), Some(Health::Unhealthy));
        assert_eq!(told("die"), None);
    }
}
