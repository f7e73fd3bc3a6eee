//! Resources that a task asks for and that no agent of this version has: the task stops before anything of it is made.

use serde::Deserialize;
use serde::de::IgnoredAny;
use trireme_rpc::agent::{AssignedTask, Container};

use crate::setting;

/// The part of a volume that is of interest here (ECS API: Volume).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    efs_volume_configuration: Option<IgnoredAny>,
    s3files_volume_configuration: Option<IgnoredAny>,
    fsx_windows_file_server_volume_configuration: Option<IgnoredAny>,
    configured_at_launch: Option<bool>,
}

/// The part of a log configuration that is of interest here (ECS API: LogConfiguration).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogConfiguration {
    log_driver: String,
    secret_options: Vec<IgnoredAny>,
}

/// Whether a task has something beside its containers: volumes, or limits, for which there may be a group around them.
pub(super) fn has_some(task: &AssignedTask) -> bool {
    task.settings.contains_key("volumes") || task.cpu_units > 0 || task.memory_mib > 0
}

/// The words of ECS's agent when a log group is not there.
const NO_GROUP: &str = "failed to validate logger args: failed to create Cloudwatch log stream: ResourceNotFoundException: The \
                        specified log group does not exist.";

/// Why a task cannot have what it asks for.
pub(super) fn refused(task: &AssignedTask) -> Option<String> {
    if let Some(what) = missing(task) {
        return Some(format!("{what} not supported yet"));
    }
    let unlogged = task.containers.iter().find(|container| container.log_group_missing)?;
    Some(format!("{NO_GROUP} (container {})", unlogged.name))
}

/// What is missing, in words before "not supported yet". What cannot be read is another's to refuse.
fn missing(task: &AssignedTask) -> Option<String> {
    let volumes: Vec<Volume> = setting::read(&task.settings, "volumes").unwrap_or_default();
    let of_volume = volumes
        .iter()
        .find_map(|volume| Some(format!("volume {} is {}, which is", volume.name, storage(volume)?)));
    of_volume.or_else(|| {
        task.containers.iter().find_map(|container| {
            Some(format!("container {} has {}, which are", container.name, of_container(container)?))
        })
    })
}

fn storage(volume: &Volume) -> Option<&'static str> {
    if volume.efs_volume_configuration.is_some() {
        return Some("of EFS");
    }
    if volume.s3files_volume_configuration.is_some() {
        return Some("of S3 Files");
    }
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        return Some("of FSx");
    }
    (volume.configured_at_launch == Some(true)).then_some("configured at launch")
}

fn of_container(container: &Container) -> Option<&'static str> {
    let log: LogConfiguration = setting::read(&container.settings, "logConfiguration").unwrap_or_default();
    let secrets: Vec<IgnoredAny> = setting::read(&container.settings, "secrets").unwrap_or_default();
    if !secrets.is_empty() || !log.secret_options.is_empty() {
        return Some("secrets");
    }
    if container.settings.contains_key("repositoryCredentials") {
        return Some("repositoryCredentials");
    }
    let router = container.settings.contains_key("firelensConfiguration");
    (router || log.log_driver == "awsfirelens").then_some("logs for FireLens")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(member: &str, json: &str) -> Option<String> {
        let settings = [(member.to_owned(), json.to_owned())].into();
        let container = Container { name: "app".to_owned(), settings, ..Container::default() };
        let settings = [(member.to_owned(), json.to_owned())].into();
        missing(&AssignedTask { settings, containers: vec![container], ..AssignedTask::default() })
    }

    #[test]
    fn what_is_missing_is_named() {
        for (member, json, words) in [
            ("secrets", r#"[{"name":"A","valueFrom":"b"}]"#, "app has secrets"),
            (
                "logConfiguration",
                r#"{"logDriver":"splunk","secretOptions":[{"name":"A"}]}"#,
                "app has secrets",
            ),
            ("repositoryCredentials", r#"{"credentialsParameter":"a"}"#, "repositoryCredentials"),
            ("firelensConfiguration", r#"{"type":"fluentbit"}"#, "FireLens"),
            ("logConfiguration", r#"{"logDriver":"awsfirelens"}"#, "FireLens"),
            (
                "volumes",
                r#"[{"name":"v","efsVolumeConfiguration":{"fileSystemId":"fs-1"}}]"#,
                "volume v is of EFS",
            ),
            ("volumes", r#"[{"name":"v","configuredAtLaunch":true}]"#, "configured at launch"),
        ] {
            let missing = of(member, json).unwrap_or_default();
            assert!(missing.contains(words), "{member} {json}: {missing}");
        }
    }

    #[test]
    fn a_log_group_that_is_not_there_is_told_in_the_words_of_ecs() {
        let of = |log_group_missing| {
            let container = Container { name: "app".to_owned(), log_group_missing, ..Container::default() };
            refused(&AssignedTask { containers: vec![container], ..AssignedTask::default() })
        };
        assert_eq!(of(false), None);
        let reason = of(true).unwrap_or_default();
        assert!(reason.starts_with("failed to validate logger args: "), "{reason}");
        assert!(reason.contains("The specified log group does not exist. (container app)"), "{reason}");
    }

    #[test]
    fn nothing_is_missing_of_what_there_is() {
        for (member, json) in [
            ("secrets", "[]"),
            ("logConfiguration", r#"{"logDriver":"json-file"}"#),
            ("volumes", r#"[{"name":"v","host":{"sourcePath":"/srv"},"configuredAtLaunch":false}]"#),
        ] {
            assert_eq!(of(member, json), None, "{member}");
        }
    }
}
