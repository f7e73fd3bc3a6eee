//! Settings of a container that are Docker's alone to see to: ECS's members, as they were registered, in Docker's words (ECS API:
//! ContainerDefinition).

use std::collections::HashMap;

use bollard::models::{DeviceMapping, HostConfig, HostConfigLogConfig, ResourcesUlimits};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::setting::RestartPolicy;

const MEBIBYTE: i64 = 1 << 20;
/// ECS API: LinuxParameters.swappiness, when only maxSwap is given.
const SWAPPINESS: i64 = 60;

/// Docker keeps no more than this of a container's output unless its log configuration says otherwise: a container that talks
/// must not fill the machine's disk.
const LOG_SIZE: &str = "16m";
const LOG_FILES: &str = "4";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ulimit {
    name: String,
    soft_limit: i64,
    hard_limit: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HostEntry {
    hostname: String,
    ip_address: String,
}

#[derive(Debug, Deserialize)]
struct SystemControl {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogConfiguration {
    log_driver: String,
    #[serde(default)]
    options: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumesFrom {
    source_container: String,
    read_only: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct Capabilities {
    add: Option<Vec<String>>,
    drop: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tmpfs {
    container_path: String,
    size: i64,
    #[serde(default)]
    mount_options: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    host_path: String,
    container_path: Option<String>,
    #[serde(default)]
    permissions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinuxParameters {
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    devices: Vec<Device>,
    init_process_enabled: Option<bool>,
    shared_memory_size: Option<i64>,
    #[serde(default)]
    tmpfs: Vec<Tmpfs>,
    max_swap: Option<i64>,
    swappiness: Option<i64>,
}

/// Gives the settings their place. `settings` are ECS's members by name, as JSON; `name_of` gives Docker's name of a container of the
/// same task.
///
/// # Errors
/// One of them is none that this agent knows, or is not what it should be: nobody is to run without what was asked for.
pub(super) fn apply(
    settings: &HashMap<String, String>,
    name_of: &dyn Fn(&str) -> String,
    config: &mut HostConfig,
) -> Result<(), String> {
    config.log_config = Some(rotated());
    let mut members: Vec<(&String, &String)> = settings.iter().collect();
    members.sort();
    for (member, json) in members {
        match member.as_str() {
            "dnsServers" => config.dns = Some(read(member, json)?),
            "dnsSearchDomains" => config.dns_search = Some(read(member, json)?),
            "dockerSecurityOptions" => config.security_opt = Some(read(member, json)?),
            "extraHosts" => config.extra_hosts = Some(hosts(read(member, json)?)),
            "links" => config.links = Some(links(read(member, json)?, name_of)),
            "linuxParameters" => linux(read(member, json)?, config),
            "logConfiguration" => config.log_config = Some(log(read(member, json)?)),
            "privileged" => config.privileged = Some(read(member, json)?),
            "systemControls" => config.sysctls = Some(controls(read(member, json)?)),
            "volumesFrom" => config.volumes_from = Some(volumes(read(member, json)?, name_of)),
            // In which order containers come up is the task's to see to.
            "dependsOn" | "startTimeout" => {}
            // When it comes again is too, but it is not to run if nobody can tell.
            "restartPolicy" => drop(read::<RestartPolicy>(member, json)?),
            // They are no part of what is set here.
            "environmentFiles" | "healthCheck" | "mountPoints" | "portMappings" => {}
            // A task that has them stops before it gets here.
            "firelensConfiguration" | "repositoryCredentials" | "secrets" => {}
            "ulimits" => config.ulimits = Some(limits(read(member, json)?)),
            other => {
                return Err(format!("this agent does not know the container setting {other}; upgrade it"));
            }
        }
    }
    Ok(())
}

fn read<T: DeserializeOwned>(member: &str, json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| format!("{member}: {error}"))
}

/// ECS API: ContainerDefinition.links: `name` or `name:alias`.
fn links(given: Vec<String>, name_of: &dyn Fn(&str) -> String) -> Vec<String> {
    let link = |link: String| {
        let (name, alias) = link.split_once(':').unwrap_or((&link, &link));
        format!("{}:{alias}", name_of(name))
    };
    given.into_iter().map(link).collect()
}

fn volumes(given: Vec<VolumesFrom>, name_of: &dyn Fn(&str) -> String) -> Vec<String> {
    let from = |from: VolumesFrom| {
        let mode = if from.read_only == Some(true) { "ro" } else { "rw" };
        format!("{}:{mode}", name_of(&from.source_container))
    };
    given.into_iter().map(from).collect()
}

fn hosts(given: Vec<HostEntry>) -> Vec<String> {
    given.into_iter().map(|entry| format!("{}:{}", entry.hostname, entry.ip_address)).collect()
}

fn controls(given: Vec<SystemControl>) -> HashMap<String, String> {
    given.into_iter().map(|control| (control.namespace, control.value)).collect()
}

fn limits(given: Vec<Ulimit>) -> Vec<ResourcesUlimits> {
    let limit = |one: Ulimit| ResourcesUlimits {
        name: Some(one.name),
        soft: Some(one.soft_limit),
        hard: Some(one.hard_limit),
    };
    given.into_iter().map(limit).collect()
}

fn rotated() -> HostConfigLogConfig {
    let options = [("max-size", LOG_SIZE), ("max-file", LOG_FILES)];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
    }
}

/// Options of `awslogs` that are Docker's to see to: whether a container waits for its lines to be written.
const OF_AWSLOGS: [&str; 2] = ["mode", "max-buffer-size"];

/// What is said of json-file is added to what holds anyway. From there the agent reads what is for a log group.
fn log(mut given: LogConfiguration) -> HostConfigLogConfig {
    let mut config = match given.log_driver.as_str() {
        "json-file" => rotated(),
        "awslogs" => {
            given.options.retain(|name, _| OF_AWSLOGS.contains(&name.as_str()));
            rotated()
        }
        other => HostConfigLogConfig { typ: Some(other.to_owned()), config: Some(HashMap::new()) },
    };
    config.config.get_or_insert_default().extend(given.options);
    config
}

fn linux(given: LinuxParameters, config: &mut HostConfig) {
    config.cap_add = given.capabilities.add;
    config.cap_drop = given.capabilities.drop;
    config.init = given.init_process_enabled;
    config.shm_size = given.shared_memory_size.map(|mebibytes| mebibytes.saturating_mul(MEBIBYTE));
    if !given.tmpfs.is_empty() {
        config.tmpfs = Some(given.tmpfs.into_iter().map(tmpfs).collect());
    }
    if !given.devices.is_empty() {
        config.devices = Some(given.devices.into_iter().map(device).collect());
    }
    // ECS API: swappiness counts only with maxSwap, and swap only with a limit of memory.
    if let (Some(swap), Some(memory)) = (given.max_swap, config.memory) {
        config.memory_swap = Some(memory.saturating_add(swap.saturating_mul(MEBIBYTE)));
        config.memory_swappiness = Some(given.swappiness.unwrap_or(SWAPPINESS));
    }
}

fn tmpfs(given: Tmpfs) -> (String, String) {
    let size = format!("size={}m", given.size);
    let options = given.mount_options.into_iter().chain([size]).collect::<Vec<_>>();
    (given.container_path, options.join(","))
}

/// ECS API: Device.permissions: all of them unless some are given.
fn device(given: Device) -> DeviceMapping {
    let letter = |permission: &String| match permission.as_str() {
        "read" => "r",
        "write" => "w",
        _ => "m",
    };
    let permissions: String = given.permissions.iter().map(letter).collect();
    DeviceMapping {
        path_in_container: Some(given.container_path.unwrap_or_else(|| given.host_path.clone())),
        path_on_host: Some(given.host_path),
        cgroup_permissions: Some(if permissions.is_empty() { "rwm".to_owned() } else { permissions }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &[(&str, &str)]) -> Result<HostConfig, String> {
        let settings = settings.iter().map(|(name, json)| ((*name).to_owned(), (*json).to_owned())).collect();
        let mut config = HostConfig { memory: Some(64 * MEBIBYTE), ..HostConfig::default() };
        apply(&settings, &|name| format!("task-{name}"), &mut config)?;
        Ok(config)
    }

    #[test]
    fn ecs_members_in_dockers_words() {
        let config = applied(&[
            ("links", r#"["db:database","cache"]"#),
            ("privileged", "true"),
            ("volumesFrom", r#"[{"sourceContainer":"db","readOnly":true},{"sourceContainer":"cache"}]"#),
            ("extraHosts", r#"[{"hostname":"db","ipAddress":"10.0.0.7"}]"#),
            ("ulimits", r#"[{"name":"nofile","softLimit":100,"hardLimit":200}]"#),
            ("systemControls", r#"[{"namespace":"net.core.somaxconn","value":"64"}]"#),
            ("logConfiguration", r#"{"logDriver":"json-file","options":{"max-size":"1m"}}"#),
            (
                "linuxParameters",
                r#"{"capabilities":{"drop":["ALL"]},"initProcessEnabled":true,"sharedMemorySize":8,"maxSwap":0,
                    "tmpfs":[{"containerPath":"/t","size":4,"mountOptions":["noexec"]}],
                    "devices":[{"hostPath":"/dev/null","permissions":["read","mknod"]}]}"#,
            ),
        ])
        .unwrap();
        assert_eq!(config.privileged, Some(true));
        assert_eq!(config.links.unwrap(), ["task-db:database", "task-cache:cache"]);
        assert_eq!(config.volumes_from.unwrap(), ["task-db:ro", "task-cache:rw"]);
        assert_eq!(config.extra_hosts, Some(vec!["db:10.0.0.7".to_owned()]));
        let limit = &config.ulimits.unwrap()[0];
        assert_eq!((limit.name.as_deref(), limit.soft, limit.hard), (Some("nofile"), Some(100), Some(200)));
        assert_eq!(config.sysctls.unwrap()["net.core.somaxconn"], "64");
        let log = config.log_config.unwrap().config.unwrap();
        assert_eq!((log["max-size"].as_str(), log["max-file"].as_str()), ("1m", LOG_FILES));
        assert_eq!((config.cap_add, config.cap_drop), (None, Some(vec!["ALL".to_owned()])));
        assert_eq!((config.init, config.shm_size), (Some(true), Some(8 * MEBIBYTE)));
        assert_eq!(config.tmpfs.unwrap()["/t"], "noexec,size=4m");
        assert_eq!((config.memory_swap, config.memory_swappiness), (Some(64 * MEBIBYTE), Some(SWAPPINESS)));
        let device = &config.devices.unwrap()[0];
        assert_eq!(device.path_in_container.as_deref(), Some("/dev/null"));
        assert_eq!(device.cgroup_permissions.as_deref(), Some("rm"));
    }

    #[test]
    fn nothing_runs_without_what_was_asked_for() {
        assert!(applied(&[("gpus", "1")]).unwrap_err().contains("does not know the container setting gpus"));
        assert!(applied(&[("ulimits", "{}")]).unwrap_err().starts_with("ulimits: "));
    }

    #[test]
    fn output_is_rotated_unless_another_driver_is_asked_for() {
        let log = applied(&[]).unwrap().log_config.unwrap();
        assert_eq!(log.typ.as_deref(), Some("json-file"));
        assert_eq!(log.config.unwrap()["max-size"], LOG_SIZE);
        let group = r#"{"logDriver":"awslogs","options":{"awslogs-group":"/web","mode":"non-blocking"}}"#;
        let log = applied(&[("logConfiguration", group)]).unwrap().log_config.unwrap();
        assert_eq!(log.typ.as_deref(), Some("json-file"));
        let options = log.config.unwrap();
        assert_eq!((options["mode"].as_str(), options["max-size"].as_str()), ("non-blocking", LOG_SIZE));
        assert!(!options.contains_key("awslogs-group"));
        let other = applied(&[("logConfiguration", r#"{"logDriver":"journald"}"#)]).unwrap();
        assert_eq!(other.log_config.unwrap().config, Some(HashMap::new()));
    }
}
