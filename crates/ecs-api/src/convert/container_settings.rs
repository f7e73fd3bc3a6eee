//! Settings of a container that the agent sees to, checked when they are registered (ECS API: ContainerDefinition): what Docker or the
//! kernel would refuse later is refused here, by name.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use trireme_ecs_model::shapes::{
    ContainerDefinition, ContainerRestartPolicy, EnvironmentFile, EnvironmentFileType, HostEntry,
    LinuxParameters, RegisterTaskDefinitionRequest, ResourceRequirement, ResourceType, SystemControl, Tmpfs,
    Ulimit,
};
use trireme_state::object::NetworkMode;
use trireme_types::ContainerName;
use trireme_types::object_path::object_of;

use super::log_configuration;
use crate::error::{Error, Result};

/// ECS API: SystemControl.namespace, of the IPC namespace.
const IPC_CONTROLS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// ECS API: KernelCapabilities.
const CAPABILITIES: [&str; 38] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// ECS API: Tmpfs.mountOptions.
const MOUNT_OPTIONS: [&str; 33] = [
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];
/// The same, with a value.
const MOUNT_VALUES: [&str; 6] = ["mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// ECS API: ContainerRestartPolicy.ignoredExitCodes.
const IGNORED_EXIT_CODES: usize = 50;
/// ECS API: ContainerRestartPolicy.restartAttemptPeriod, in seconds.
const RESTART_PERIOD: RangeInclusive<i32> = 60..=1800;
/// ECS developer guide: files of a task definition.
const ENVIRONMENT_FILES: usize = 10;
/// ECS API: EphemeralStorage.sizeInGiB.
const EPHEMERAL_STORAGE: RangeInclusive<i32> = 21..=200;

type Checked = std::result::Result<(), String>;

pub(crate) fn check(
    given: &ContainerDefinition,
    name: &ContainerName,
    mode: Option<NetworkMode>,
) -> Result<()> {
    let checks = [
        of_own_network(given, mode),
        ulimits(given.ulimits.as_deref().unwrap_or_default()),
        given.extra_hosts.iter().flatten().try_for_each(host),
        addresses(given.dns_servers.as_deref().unwrap_or_default()),
        given.dns_search_domains.iter().flatten().try_for_each(|domain| search_domain(domain)),
        given.docker_security_options.iter().flatten().try_for_each(|option| security_option(option)),
        given.system_controls.iter().flatten().try_for_each(|control| system_control(control, mode)),
        given.linux_parameters.as_ref().map_or(Ok(()), linux),
        given.restart_policy.as_ref().map_or(Ok(()), restart_policy),
        environment_files(given.environment_files.as_deref().unwrap_or_default()),
        gpus(given.resource_requirements.as_deref().unwrap_or_default()),
    ];
    if let Some(log) = &given.log_configuration {
        log_configuration::check(log)?;
    }
    let wrong = |what: String| Error::client(format!("Invalid setting for container '{name}'. {what}"));
    checks.into_iter().collect::<std::result::Result<(), String>>().map_err(wrong)
}

/// What is said of the task as a whole.
pub(crate) fn check_task(request: &RegisterTaskDefinitionRequest) -> Result<()> {
    let size = request.ephemeral_storage.as_ref().map(|storage| storage.size_in_gib.unwrap_or_default());
    match size {
        Some(size) if !EPHEMERAL_STORAGE.contains(&size) => Err(Error::client(format!(
            "'ephemeralStorage.sizeInGiB' must be between {} and {}.",
            EPHEMERAL_STORAGE.start(),
            EPHEMERAL_STORAGE.end()
        ))),
        _ => Ok(()),
    }
}

fn restart_policy(given: &ContainerRestartPolicy) -> Checked {
    if given.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > IGNORED_EXIT_CODES) {
        return Err(format!("'restartPolicy.ignoredExitCodes' can have at most {IGNORED_EXIT_CODES} codes."));
    }
    match given.restart_attempt_period {
        Some(period) if !RESTART_PERIOD.contains(&period) => Err(format!(
            "'restartPolicy.restartAttemptPeriod' must be between {} and {}.",
            RESTART_PERIOD.start(),
            RESTART_PERIOD.end()
        )),
        _ => Ok(()),
    }
}

pub(crate) fn environment_files(given: &[EnvironmentFile]) -> Checked {
    if given.len() > ENVIRONMENT_FILES {
        return Err(format!("'environmentFiles' can have at most {ENVIRONMENT_FILES} files."));
    }
    for file in given {
        let value = file.value.as_deref().unwrap_or_default();
        if file.r#type != Some(EnvironmentFileType::S3) {
            return Err("'environmentFiles.type' must be s3.".to_owned());
        }
        if object_of(value).is_none() {
            return Err(format!("'environmentFiles.value' must be arn:aws:s3:::BUCKET/KEY: {value}"));
        }
    }
    Ok(())
}

fn gpus(given: &[ResourceRequirement]) -> Checked {
    for requirement in given {
        if requirement.r#type != Some(ResourceType::Gpu) {
            return Err("'resourceRequirements.type' must be GPU.".to_owned());
        }
        let value = requirement.value.as_deref().unwrap_or_default();
        if !value.parse::<u32>().is_ok_and(|count| count > 0) {
            return Err(format!("'resourceRequirements.value' must be a number of GPUs: {value}"));
        }
    }
    match given.len() > 1 {
        true => Err("'resourceRequirements' can name each type once.".to_owned()),
        false => Ok(()),
    }
}

/// ECS API: ContainerDefinition.hostname, extraHosts: a task with a network of its own has its name, and its hosts, from that.
fn of_own_network(given: &ContainerDefinition, mode: Option<NetworkMode>) -> Checked {
    let hostname = given.hostname.as_ref().is_some_and(|name| !name.is_empty());
    let hosts = given.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty());
    let refused = [("hostname", hostname), ("extraHosts", hosts)].into_iter().find(|(_, given)| *given);
    match refused.filter(|_| mode == Some(NetworkMode::Awsvpc)) {
        None => Ok(()),
        Some((member, _)) => Err(format!("'{member}' is not supported when networkMode=awsvpc.")),
    }
}

fn ulimits(given: &[Ulimit]) -> Checked {
    let mut names = BTreeSet::new();
    for one in given {
        let (soft, hard) = (one.soft_limit.unwrap_or_default(), one.hard_limit.unwrap_or_default());
        let name = one.name.as_ref().map_or("", |name| name.as_str());
        // -1 is without a limit.
        if hard != -1 && (soft > hard || soft == -1) {
            return Err(format!("The soft limit of ulimit {name} must not be above its hard limit."));
        }
        if !names.insert(name) {
            return Err(format!("Ulimit {name} is given more than once."));
        }
    }
    Ok(())
}

fn host(given: &HostEntry) -> Checked {
    let name = given.hostname.as_deref().unwrap_or_default();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == ':') {
        return Err(format!("'extraHosts' has an invalid host name: {name}"));
    }
    let address = given.ip_address.as_deref().unwrap_or_default();
    address
        .parse::<IpAddr>()
        .map(drop)
        .map_err(|_| format!("'extraHosts' has an invalid IP address: {address}"))
}

fn addresses(given: &[String]) -> Checked {
    match given.iter().find(|text| text.parse::<IpAddr>().is_err()) {
        None => Ok(()),
        Some(wrong) => Err(format!("'dnsServers' has an invalid IP address: {wrong}")),
    }
}

fn search_domain(text: &str) -> Checked {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match !text.is_empty() && text.chars().all(allowed) {
        true => Ok(()),
        false => Err(format!("'dnsSearchDomains' has an invalid domain: {text}")),
    }
}

fn security_option(text: &str) -> Checked {
    let known = text == "no-new-privileges"
        || ["apparmor:", "label:"]
            .iter()
            .any(|prefix| text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()));
    match known {
        true => Ok(()),
        false => Err(format!("'dockerSecurityOptions' has an option that is not supported: {text}")),
    }
}

fn system_control(given: &SystemControl, mode: Option<NetworkMode>) -> Checked {
    let namespace = given.namespace.as_deref().unwrap_or_default();
    if given.value.as_ref().is_none_or(String::is_empty) {
        return Err(format!("System control {namespace} has no value."));
    }
    if namespace.starts_with("net.") {
        return match mode {
            Some(NetworkMode::Host) => {
                Err(format!("System control {namespace} is not allowed when networkMode=host."))
            }
            _ => Ok(()),
        };
    }
    match IPC_CONTROLS.contains(&namespace) || namespace.starts_with("fs.mqueue.") {
        true => Ok(()),
        false => Err(format!("System control {namespace} is not one of a namespace.")),
    }
}

fn linux(given: &LinuxParameters) -> Checked {
    let capabilities = given.capabilities.as_ref();
    let named = capabilities.into_iter().flat_map(|one| [&one.add, &one.drop]).flatten().flatten();
    for name in named {
        if !CAPABILITIES.contains(&name.as_str()) {
            return Err(format!("'linuxParameters' has an unknown capability: {name}"));
        }
    }
    if given.shared_memory_size.is_some_and(|size| size < 1) {
        return Err("'sharedMemorySize' must be at least 1.".to_owned());
    }
    if given.max_swap.is_some_and(|swap| swap < 0) {
        return Err("'maxSwap' must not be negative.".to_owned());
    }
    if given.swappiness.is_some_and(|value| !(0..=100).contains(&value)) {
        return Err("'swappiness' must be between 0 and 100.".to_owned());
    }
    for device in given.devices.iter().flatten() {
        let inside = device.container_path.as_deref().unwrap_or("/");
        absolute("devices.hostPath", device.host_path.as_deref().unwrap_or_default())?;
        absolute("devices.containerPath", inside)?;
    }
    given.tmpfs.iter().flatten().try_for_each(tmpfs)
}

fn absolute(member: &str, path: &str) -> Checked {
    match path.starts_with('/') && !path.contains(':') {
        true => Ok(()),
        false => Err(format!("'{member}' must be an absolute path: {path}")),
    }
}

fn tmpfs(given: &Tmpfs) -> Checked {
    absolute("tmpfs.containerPath", given.container_path.as_deref().unwrap_or_default())?;
    if given.size.unwrap_or_default() < 1 {
        return Err("'tmpfs.size' must be at least 1.".to_owned());
    }
    for option in given.mount_options.iter().flatten() {
        let known = match option.split_once('=') {
            Some((name, value)) => MOUNT_VALUES.contains(&name) && !value.is_empty() && !value.contains(','),
            None => MOUNT_OPTIONS.contains(&option.as_str()),
        };
        if !known {
            return Err(format!("'tmpfs' has an unknown mount option: {option}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(mode: Option<NetworkMode>, settings: &Value) -> Option<String> {
        let given: ContainerDefinition = serde_json::from_value(settings.clone()).unwrap();
        check(&given, &ContainerName::new("app").unwrap(), mode).err().map(|error| error.message)
    }

    #[test]
    fn what_docker_takes_is_taken() {
        for settings in [
            json!({"ulimits": [{"name": "nofile", "softLimit": 5, "hardLimit": -1}]}),
            json!({"restartPolicy": {"enabled": true, "ignoredExitCodes": [0, 143], "restartAttemptPeriod": 60}}),
            json!({"environmentFiles": [{"value": "arn:aws:s3:::b/a/k.env", "type": "s3"}]}),
            json!({"resourceRequirements": [{"type": "GPU", "value": "2"}]}),
            json!({"extraHosts": [{"hostname": "db", "ipAddress": "fd00::1"}], "dnsServers": ["10.0.0.2"]}),
            json!({"dockerSecurityOptions": ["no-new-privileges", "label:type:web_t"]}),
            json!({"systemControls": [{"namespace": "net.core.somaxconn", "value": "64"}]}),
            json!({"linuxParameters": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}, "swappiness": 100}}),
            json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["mode=700", "ro"]}]}}),
        ] {
            assert_eq!(checked(None, &settings), None, "{settings}");
        }
    }

    #[test]
    fn what_it_would_refuse_is_refused_by_name() {
        for (settings, words) in [
            (json!({"ulimits": [{"name": "nofile", "softLimit": 6, "hardLimit": 5}]}), "nofile"),
            (json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 59}}), "restartAttemptPeriod"),
            (
                json!({"restartPolicy": {"enabled": true, "restartAttemptPeriod": 1801}}),
                "restartAttemptPeriod",
            ),
            (
                json!({"restartPolicy": {"enabled": true, "ignoredExitCodes": vec![1; 51]}}),
                "at most 50 codes",
            ),
            (json!({"environmentFiles": [{"value": "arn:aws:s3:::b", "type": "s3"}]}), "BUCKET/KEY"),
            (json!({"environmentFiles": [{"value": "arn:aws:s3:::b/../k", "type": "s3"}]}), "BUCKET/KEY"),
            (json!({"environmentFiles": [{"value": "arn:aws:s3:::b/k", "type": "file"}]}), "must be s3"),
            (
                json!({"resourceRequirements": [{"type": "InferenceAccelerator", "value": "1"}]}),
                "must be GPU",
            ),
            (json!({"resourceRequirements": [{"type": "GPU", "value": "0"}]}), "a number of GPUs"),
            (json!({"extraHosts": [{"hostname": "db", "ipAddress": "db2"}]}), "db2"),
            (json!({"extraHosts": [{"hostname": "a:b", "ipAddress": "10.0.0.1"}]}), "a:b"),
            (json!({"dnsServers": ["dns"]}), "dns"),
            (json!({"dnsSearchDomains": ["a b"]}), "a b"),
            (json!({"dockerSecurityOptions": ["seccomp:unconfined"]}), "seccomp:unconfined"),
            (json!({"systemControls": [{"namespace": "vm.swappiness", "value": "1"}]}), "vm.swappiness"),
            (json!({"systemControls": [{"namespace": "net.core.somaxconn"}]}), "no value"),
            (json!({"linuxParameters": {"capabilities": {"add": ["CAP_KILL"]}}}), "CAP_KILL"),
            (json!({"linuxParameters": {"swappiness": 101}}), "swappiness"),
            (json!({"linuxParameters": {"maxSwap": -1}}), "maxSwap"),
            (json!({"linuxParameters": {"sharedMemorySize": 0}}), "sharedMemorySize"),
            (json!({"linuxParameters": {"devices": [{"hostPath": "null"}]}}), "hostPath"),
            (json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 0}]}}), "tmpfs.size"),
            (
                json!({"linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1, "mountOptions": ["size=9g"]}]}}),
                "size=9g",
            ),
        ] {
            let message = checked(None, &settings).unwrap_or_default();
            assert!(
                message.starts_with("Invalid setting for container 'app'. ") && message.contains(words),
                "{message}"
            );
        }
        let control = json!({"systemControls": [{"namespace": "net.core.somaxconn", "value": "64"}]});
        assert!(checked(Some(NetworkMode::Host), &control).unwrap().contains("networkMode=host"));
    }
}
