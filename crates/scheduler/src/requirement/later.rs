//! What ECS describes as required for members that have no effect yet: their tasks are placed, and stop with a reason.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use trireme_state::object::TaskDefinitionSpec;

use super::read;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    value_from: Option<String>,
}

impl Secret {
    /// Where it is kept: the Secrets Manager, or the parameter store.
    fn store(&self) -> &'static str {
        match self.value_from.as_deref().is_some_and(|from| from.contains(":secretsmanager:")) {
            true => "asm",
            false => "ssm",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: Option<String>,
    secret_options: Option<Vec<Secret>>,
}

#[derive(Deserialize)]
struct Router {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    efs_volume_configuration: Option<IgnoredAny>,
    fsx_windows_file_server_volume_configuration: Option<IgnoredAny>,
    configured_at_launch: Option<bool>,
}

pub(super) fn capabilities(spec: &TaskDefinitionSpec) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut add = |name: &str| {
        names.insert(format!("ecs.capability.{name}"));
    };
    for container in &spec.containers {
        let secrets: Vec<Secret> = read(&container.described, "secrets").unwrap_or_default();
        for secret in secrets {
            add(&format!("secrets.{}.environment-variables", secret.store()));
        }
        let log: Option<LogConfiguration> = read(&container.described, "logConfiguration");
        let awslogs = log.as_ref().is_some_and(|log| log.log_driver.as_deref() == Some("awslogs"));
        if awslogs && spec.execution_role_arn.is_some() {
            add("execution-role-awslogs");
        }
        for secret in log.and_then(|log| log.secret_options).unwrap_or_default() {
            add(&format!("secrets.{}.bootstrap.log-driver", secret.store()));
        }
        if container.described.contains_key("repositoryCredentials") {
            add("private-registry-authentication.secretsmanager");
        }
        let router: Option<Router> = read(&container.described, "firelensConfiguration");
        if let Some(kind) = router.and_then(|router| router.kind) {
            add(&format!("firelens.{kind}"));
        }
    }
    let volumes: Vec<Volume> = read(&spec.described, "volumes").unwrap_or_default();
    for volume in volumes {
        if volume.efs_volume_configuration.is_some() {
            add("efs");
            add("efsAuth");
        }
        if volume.fsx_windows_file_server_volume_configuration.is_some() {
            add("fsxWindowsFileServer");
        }
        if volume.configured_at_launch == Some(true) {
            add("storage.ebs-task-volume-attach");
        }
    }
    names
}
