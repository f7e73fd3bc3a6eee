//! Settings: ECS's members that only the agent sees to, as they were registered, by name.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::runtime::Exit;

/// ECS API: ContainerRestartPolicy.restartAttemptPeriod, when it is left out.
const RESTART_PERIOD: u64 = 300;

/// A member; its default when it is not there.
///
/// # Errors
/// It is not what it should be, which it says by name.
pub(crate) fn read<T: DeserializeOwned + Default>(
    settings: &HashMap<String, String>,
    member: &str,
) -> Result<T, String> {
    let Some(json) = settings.get(member) else { return Ok(T::default()) };
    serde_json::from_str(json).map_err(|error| format!("{member}: {error}"))
}

/// Whether a container comes again when it ends by itself (ECS API: ContainerRestartPolicy).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RestartPolicy {
    enabled: bool,
    ignored_exit_codes: Vec<i32>,
    restart_attempt_period: Option<u64>,
}

impl RestartPolicy {
    /// A container's.
    ///
    /// # Errors
    /// It is not what it should be.
    pub(crate) fn of(settings: &HashMap<String, String>) -> Result<Self, String> {
        read(settings, "restartPolicy")
    }

    /// Whether it may come again at all.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a container that was up for so long comes again after this exit.
    pub(crate) fn is_due(&self, exit: &Exit, up: Duration) -> bool {
        let counts = exit.code.is_some_and(|code| !self.ignored_exit_codes.contains(&code));
        let period = Duration::from_secs(self.restart_attempt_period.unwrap_or(RESTART_PERIOD));
        self.enabled && counts && up >= period
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_comes_again_when_it_was_up_long_enough_and_its_code_counts() {
        let policy = |json: &str| {
            RestartPolicy::of(&HashMap::from([("restartPolicy".to_owned(), json.to_owned())])).unwrap()
        };
        let given = policy(r#"{"enabled":true,"ignoredExitCodes":[0,7],"restartAttemptPeriod":60}"#);
        let due = |policy: &RestartPolicy, code, seconds| {
            policy.is_due(&Exit { code, reason: None }, Duration::from_secs(seconds))
        };
        assert!(due(&given, Some(1), 60));
        assert!(!due(&given, Some(1), 59), "too early");
        assert!(!due(&given, Some(7), 90), "ignored");
        assert!(!due(&given, None, 90), "nobody knows how it ended");
        let plain = policy(r#"{"enabled":true}"#);
        assert!(due(&plain, Some(0), 300) && !due(&plain, Some(0), 299));
        assert!(!due(&policy(r#"{"enabled":false}"#), Some(1), 900));
        assert!(!due(&RestartPolicy::default(), Some(1), 900));
    }
}
