//! What a container's log configuration asks of the agent: the driver `awslogs` (ECS API: LogConfiguration.options). Where its lines go, and
//! which of them make one event.

use std::collections::HashMap;

use regex::Regex;
use serde::{Deserialize, Serialize};
use trireme_rpc::agent::{AssignedTask, Container};

use super::StreamName;
use crate::setting;

/// The driver's name.
pub const AWSLOGS: &str = "awslogs";
/// Drivers of Docker's whose output can be read again.
const READABLE: [&str; 3] = ["json-file", "local", "journald"];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogConfiguration {
    log_driver: String,
    options: HashMap<String, String>,
}

/// Where a container's lines go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The stream.
    pub stream: StreamName,
    /// What an event's first line looks like; each line is one when not given.
    pub begins: Option<String>,
}

/// Where the output of a task's container goes; `None` when the agent does not read it. `ships`: also what is not for a log group is
/// to leave the node. `id` is the runtime's.
///
/// # Errors
/// The configuration makes no sense.
pub fn target(
    task: &AssignedTask,
    container: &Container,
    id: &str,
    region: &str,
    ships: bool,
) -> Result<Option<Target>, String> {
    let log: LogConfiguration = setting::read(&container.settings, "logConfiguration")?;
    if log.log_driver != AWSLOGS {
        let readable = log.log_driver.is_empty() || READABLE.contains(&log.log_driver.as_str());
        let stream = StreamName {
            region: String::new(),
            group: task.family.clone(),
            stream: format!("{}/{}", container.name, task.task_id),
        };
        return Ok((ships && readable).then_some(Target { stream, begins: None }));
    }
    let option = |name: &str| log.options.get(name).filter(|value| !value.is_empty());
    let group = option("awslogs-group").ok_or("awslogs-group is missing")?;
    let stream = match option("awslogs-stream-prefix") {
        Some(prefix) => format!("{prefix}/{}/{}", container.name, task.task_id),
        None => id.to_owned(),
    };
    let begins = match (option("awslogs-multiline-pattern"), option("awslogs-datetime-format")) {
        (Some(pattern), _) => Some(pattern.clone()),
        (None, Some(format)) => Some(of_datetime(format)),
        (None, None) => None,
    };
    if let Some(begins) = &begins {
        Regex::new(begins).map_err(|error| format!("awslogs-multiline-pattern: {error}"))?;
    }
    let region = option("awslogs-region").map_or(region, String::as_str).to_owned();
    Ok(Some(Target { stream: StreamName { region, group: group.clone(), stream }, begins }))
}

/// The pattern of what strftime makes of a format (Docker: awslogs-datetime-format).
fn of_datetime(format: &str) -> String {
    let mut pattern = String::new();
    let mut signs = format.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            pattern.push_str(&regex::escape(&sign.to_string()));
            continue;
        }
        pattern.push_str(match signs.next() {
            Some('a') => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
            Some('A') => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
            Some('b') => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
            Some('B') => {
                "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
            }
            Some('w') => "[0-6]",
            Some('Y') => r"\d{4}",
            Some('d' | 'y' | 'm' | 'H' | 'I' | 'M' | 'S') => r"\d{2}",
            Some('p') => "[AP]M",
            Some('L') => r"\.\d{3}",
            Some('f') => r"\d{6}",
            Some('j') => r"\d{3}",
            Some('z') => r"[+-]\d{4}",
            Some('Z') => "[A-Z]{1,5}",
            Some('%') | None => "%",
            Some(other) => {
                pattern.push('%');
                pattern.push_str(&regex::escape(&other.to_string()));
                continue;
            }
        });
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &str, ships: bool) -> Result<Option<Target>, String> {
        let settings = [("logConfiguration".to_owned(), options.to_owned())].into();
        let container = Container { name: "app".into(), settings, ..Container::default() };
        let task = AssignedTask { task_id: "0f".into(), family: "web".into(), ..AssignedTask::default() };
        target(&task, &container, "c1", "us-east-1", ships)
    }

    #[test]
    fn streams_are_named_as_ecs_names_them() {
        let named = of(
            r#"{"logDriver":"awslogs","options":{"awslogs-group":"/web","awslogs-stream-prefix":"ecs","awslogs-region":"eu-west-1"}}"#,
            false,
        );
        let stream = named.unwrap().unwrap().stream;
        assert_eq!(
            (stream.region.as_str(), stream.group.as_str(), stream.stream.as_str()),
            ("eu-west-1", "/web", "ecs/app/0f")
        );
        let plain = of(r#"{"logDriver":"awslogs","options":{"awslogs-group":"/web"}}"#, false);
        let stream = plain.unwrap().unwrap().stream;
        assert_eq!((stream.region.as_str(), stream.stream.as_str()), ("us-east-1", "c1"));
        assert!(of(r#"{"logDriver":"awslogs","options":{}}"#, false).is_err());
    }

    #[test]
    fn what_is_for_no_group_is_read_only_to_leave_the_node() {
        let plain = r#"{"logDriver":"json-file"}"#;
        assert_eq!(of(plain, false), Ok(None));
        assert_eq!(of(plain, true).unwrap().unwrap().stream.region, "");
        assert_eq!(of(r#"{"logDriver":"fluentd"}"#, true), Ok(None), "Docker cannot read that again");
    }

    #[test]
    fn formats_of_time_are_patterns() {
        for (format, text) in [
            ("%Y-%m-%d %H:%M:%S%L", "2026-11-28 20:47:01.123"),
            ("[%b %d, %Y %H:%M:%S]", "[Nov 28, 2026 20:47:01]"),
            ("%A %p %z 100%%", "Saturday PM +0100 100%"),
        ] {
            let pattern = Regex::new(&of_datetime(format)).unwrap();
            assert!(pattern.is_match(&format!("x {text} y")), "{format}");
            assert!(!pattern.is_match("  at Main.java"), "{format}");
        }
    }
}
