//! A container's log configuration, checked when it is registered (ECS API: LogConfiguration): options of `awslogs`, the driver that is the agent's own.
//! Those of Docker's drivers are Docker's to judge.

use trireme_ecs_model::shapes::{LogConfiguration, LogDriver};

use crate::error::{Error, Result};

const REQUIRED: [&str; 2] = ["awslogs-group", "awslogs-region"];
const OTHERS: [&str; 6] = [
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
    "awslogs-stream-prefix",
    "max-buffer-size",
    "mode",
];

pub(super) fn check(given: &LogConfiguration) -> Result<()> {
    if given.log_driver != Some(LogDriver::Awslogs) {
        return Ok(());
    }
    let options = given.options.clone().unwrap_or_default();
    let missing: Vec<&str> =
        REQUIRED.into_iter().filter(|name| options.get(*name).is_none_or(String::is_empty)).collect();
    if !missing.is_empty() {
        return Err(Error::client(format!("Log driver awslogs requires options: {}", missing.join(", "))));
    }
    let mut unknown: Vec<&str> = options.keys().map(String::as_str).collect();
    unknown.retain(|name| !REQUIRED.contains(name) && !OTHERS.contains(name));
    if !unknown.is_empty() {
        return Err(Error::client(format!("Log driver awslogs disallows options: {}", unknown.join(", "))));
    }
    let one_of = |name: &str, allowed: &[&str]| match options.get(name) {
        Some(value) if !allowed.contains(&value.as_str()) => Err(Error::client(format!(
            "Log driver awslogs: option {name} is one of [{}], not {value}.",
            allowed.join(", ")
        ))),
        _ => Ok(()),
    };
    one_of("awslogs-create-group", &["true", "false"])?;
    one_of("mode", &["blocking", "non-blocking"])?;
    if options.contains_key("awslogs-datetime-format") && options.contains_key("awslogs-multiline-pattern") {
        return Err(Error::client(
            "Log driver awslogs: awslogs-datetime-format and awslogs-multiline-pattern cannot be given together.",
        ));
    }
    let region = options.get("awslogs-region").map_or("", String::as_str);
    if trireme_types::Region::new(region).is_err() {
        return Err(Error::client(format!("Log driver awslogs: {region} is no region.")));
    }
    let group = options.get("awslogs-group").map_or("", String::as_str);
    crate::logs::check_group_name(group)
        .map_err(|_| Error::client(format!("Log driver awslogs: {group} is no name of a log group.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(options: &serde_json::Value) -> Option<String> {
        let given = serde_json::from_value(json!({"logDriver": "awslogs", "options": options})).unwrap();
        check(&given).err().map(|error| error.message)
    }

    #[test]
    fn options_of_awslogs_are_known() {
        let base = json!({"awslogs-group": "/web", "awslogs-region": "eu-west-1", "mode": "non-blocking",
            "awslogs-stream-prefix": "ecs", "awslogs-create-group": "true"});
        assert_eq!(checked(&base), None);
        for (name, value, words) in [
            ("awslogs-group", "", "requires options: awslogs-group"),
            ("awslogs-group", "a b", "no name of a log group"),
            ("awslogs-region", "us east", "no region"),
            ("awslogs-endpoint", "x", "disallows options: awslogs-endpoint"),
            ("mode", "fast", "mode"),
            ("awslogs-create-group", "yes", "awslogs-create-group"),
        ] {
            let mut options = base.clone();
            options[name] = value.into();
            let message = checked(&options).unwrap_or_default();
            assert!(message.contains(words), "{name}={value}: {message}");
        }
    }
}
