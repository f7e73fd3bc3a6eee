//! What the Docker Engine says, asked with its own command.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

/// The label that names a container's task.
const TASK_ARN: &str = "com.amazonaws.ecs.task-arn";
/// The label that names the control plane.
const CLUSTER: &str = "io.trireme.cluster-uuid";

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(arguments).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {}", arguments.join(" "), error.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A control plane's running containers.
pub fn running(cluster_uuid: &str) -> Result<Vec<String>> {
    let filter = format!("label={CLUSTER}={cluster_uuid}");
    let listed = docker(&["ps", "--quiet", "--no-trunc", "--filter", &filter])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn inspect(containers: &[String]) -> Result<Vec<Value>> {
    if containers.is_empty() {
        return Ok(Vec::new());
    }
    let mut arguments = vec!["inspect"];
    arguments.extend(containers.iter().map(String::as_str));
    Ok(serde_json::from_str(&docker(&arguments)?)?)
}

/// The ARNs of the tasks whose containers run.
pub fn running_tasks(cluster_uuid: &str) -> Result<BTreeSet<String>> {
    let labels = inspect(&running(cluster_uuid)?)?;
    let arn = |container: &Value| container["Config"]["Labels"][TASK_ARN].as_str().map(str::to_owned);
    Ok(labels.iter().filter_map(arn).collect())
}

/// Each running container and when it was started: equal before and after means that nobody touched any.
pub fn started(cluster_uuid: &str) -> Result<BTreeMap<String, String>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let containers = inspect(&running(cluster_uuid)?)?;
    Ok(containers.iter().map(|it| (text(&it["Id"]), text(&it["State"]["StartedAt"]))).collect())
}
