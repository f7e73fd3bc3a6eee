//! What a machine must be for a task to run on it, beyond what the task holds there: attributes that its agent says of it (ECS API:
//! TaskDefinition.requiresAttributes, runtimePlatform).

mod later;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use trireme_state::State;
use trireme_state::object::{
    ClusterKey, ContainerInstance, ContainerOverride, Described, Launch, NetworkConfiguration, NetworkMode,
    Reservation, Subnet, TaskDefinitionSpec, TaskOverrides,
};
use trireme_state::query::{reservation, settings};
use trireme_types::capability::{
    self, CPU_ARCHITECTURE, DOCKER, DOCKER_VOLUMES, ENVIRONMENT_FILES, HEALTH_CHECK, HOST_DEVICES,
    HOST_NAMESPACES, HOST_PATHS, LOG_DRIVER, ORDERING, POOL, PORT_RANGE, PRIVILEGED, RESTART_POLICY,
    SHARED_NAMESPACES, STORAGE_LIMIT, TASK_ENI, TASK_LIMIT, TASK_ROLE, TASK_ROLE_ON_HOST, is_capability,
};
use trireme_types::{Scope, Zone};

/// An attribute that a machine must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Its name.
    pub name: String,
    /// Its value; `None`: any.
    pub value: Option<String>,
}

impl Requirement {
    /// Whether an instance has it. An agent that does not even name Docker is older than such names, and has what all had then; and
    /// it calls a processor by the name that it has elsewhere.
    pub fn is_met(&self, instance: &ContainerInstance) -> bool {
        let attributes = &instance.registration.attributes;
        match (attributes.get(&self.name), &self.value) {
            (Some(found), Some(value)) => found == value || (found == "aarch64" && value == "arm64"),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => {
                is_capability(&self.name) && self.name != TASK_ENI && !attributes.contains_key(DOCKER)
            }
        }
    }
}

/// What one task asks of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What it holds there.
    pub reservation: Reservation,
    /// How many GPUs it holds there; which ones is decided when it is placed. A machine whose agent cannot give them has none.
    pub gpus: u32,
    /// What the machine must be.
    pub requirements: Vec<Requirement>,
    /// In which zones it gets a network interface of its own, if it is to have one.
    pub addresses: Option<Addresses>,
}

impl Wanted {
    /// Of a task that is made from this definition.
    pub fn of(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Self {
        let requirements = requirements(spec, overrides);
        Self { reservation: reservation(spec, overrides), gpus: spec.gpus(), requirements, addresses: None }
    }

    /// In these subnets, each of which has so many addresses `free`, if the definition has it that tasks have network interfaces of their own.
    #[must_use]
    pub fn in_subnets(
        mut self,
        view: &State,
        scope: &Scope,
        spec: &TaskDefinitionSpec,
        network: Option<&NetworkConfiguration>,
        free: impl FnMut(&Subnet) -> u32,
    ) -> Self {
        if spec.network_mode == Some(NetworkMode::Awsvpc) {
            let of = |network| Addresses::of(view, scope, network, free);
            self.addresses = Some(network.map_or_else(Addresses::default, of));
        }
        self
    }
}

impl Wanted {
    /// On a machine that takes what is launched so: of a capacity provider's pool, if it names one.
    #[must_use]
    pub fn launched(mut self, view: &State, cluster: &ClusterKey, launch: Option<&Launch>) -> Self {
        let named = launch.filter(|launch| !launch.is_fargate()).and_then(Launch::provider);
        if let Some(name) = named {
            // None has the name of a pool that is nobody's.
            let provider = view.provider_of_cluster(cluster, name);
            let value = provider.map_or_else(String::new, |provider| provider.group.pool().to_owned());
            self.requirements.push(Requirement { name: POOL.to_owned(), value: Some(value) });
        }
        self
    }
}

impl From<Reservation> for Wanted {
    fn from(reservation: Reservation) -> Self {
        Self { reservation, ..Self::default() }
    }
}

/// Addresses that new tasks may have, by zone. A zone without a subnet is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<Zone, u32>);

impl Addresses {
    /// Those of a configuration's subnets, of which each has so many `free`.
    pub fn of(
        view: &State,
        scope: &Scope,
        network: &NetworkConfiguration,
        mut free: impl FnMut(&Subnet) -> u32,
    ) -> Self {
        let mut zones: BTreeMap<Zone, u32> = BTreeMap::new();
        for subnet in network.subnets.iter().filter_map(|id| view.subnet_of(scope, *id)) {
            let zone = zones.entry(subnet.zone.clone()).or_default();
            *zone = zone.saturating_add(free(subnet));
        }
        Self(zones)
    }

    /// The same subnets, with all the addresses that one may want.
    #[must_use]
    pub fn plenty(self) -> Self {
        Self(self.0.into_keys().map(|zone| (zone, u32::MAX)).collect())
    }

    /// The zones that have a subnet.
    pub fn zones(&self) -> impl Iterator<Item = &Zone> {
        self.0.keys()
    }

    /// Whether there is a subnet in a zone.
    pub fn are_in(&self, zone: &Zone) -> bool {
        self.0.contains_key(zone)
    }

    /// Whether one is left in a zone.
    pub fn are_left_in(&self, zone: &Zone) -> bool {
        self.left_in(zone) > 0
    }

    /// How many are left in a zone.
    pub fn left_in(&self, zone: &Zone) -> u32 {
        self.0.get(zone).copied().unwrap_or_default()
    }

    /// One in a zone is not free any more.
    pub fn take(&mut self, zone: &Zone) {
        if let Some(free) = self.0.get_mut(zone) {
            *free = free.saturating_sub(1);
        }
    }
}

/// The part of a container's `logConfiguration` that is of interest here.
#[derive(Deserialize)]
struct LogConfiguration {
    #[serde(rename = "logDriver")]
    driver: Option<String>,
}

/// The part of `linuxParameters` that is of interest here.
#[derive(Deserialize)]
struct LinuxParameters {
    devices: Option<Vec<serde::de::IgnoredAny>>,
}

/// The part of a volume that is of interest here.
#[derive(Deserialize)]
struct Volume {
    host: Option<Host>,
    #[serde(rename = "dockerVolumeConfiguration")]
    docker: Option<DockerVolume>,
}

#[derive(Deserialize)]
struct Host {
    #[serde(rename = "sourcePath")]
    path: Option<String>,
}

#[derive(Deserialize)]
struct DockerVolume {
    driver: Option<String>,
    #[serde(rename = "driverOpts")]
    options: Option<BTreeMap<String, String>>,
}

impl DockerVolume {
    fn mounts_machine(&self) -> bool {
        let option = |name: &str| self.options.as_ref()?.get(name).map(String::as_str);
        capability::mounts_machine(self.driver.as_deref(), option("type"), option("device"))
    }
}

impl Volume {
    fn has_path(&self) -> bool {
        let path = self.host.as_ref().and_then(|host| host.path.as_ref());
        path.is_some_and(|path| !path.is_empty())
            || self.docker.as_ref().is_some_and(DockerVolume::mounts_machine)
    }
}

/// The part of a `runtimePlatform` that is of interest here.
#[derive(Deserialize)]
struct RuntimePlatform {
    #[serde(rename = "cpuArchitecture")]
    architecture: Option<String>,
}

fn read<T: serde::de::DeserializeOwned>(described: &Described, member: &str) -> Option<T> {
    serde_json::from_str(described.get(member)?).ok()
}

/// ECS API: TaskDefinition.requiresAttributes, by name, in order.
pub fn attributes(spec: &TaskDefinitionSpec) -> BTreeSet<String> {
    let mut names = capabilities(spec);
    names.extend(later::capabilities(spec));
    names
}

/// What placement asks for under ECS's names.
fn capabilities(spec: &TaskDefinitionSpec) -> BTreeSet<String> {
    let mut names = BTreeSet::from([DOCKER.to_owned()]);
    let logs = spec
        .containers
        .iter()
        .filter_map(|container| read::<LogConfiguration>(&container.described, "logConfiguration")?.driver);
    names.extend(logs.map(|driver| format!("{LOG_DRIVER}{driver}")));
    if spec.task_role_arn.is_some() {
        let on_host = spec.network_mode == Some(NetworkMode::Host);
        names.insert(if on_host { TASK_ROLE_ON_HOST } else { TASK_ROLE }.to_owned());
    }
    if spec.network_mode == Some(NetworkMode::Awsvpc) {
        names.insert(TASK_ENI.to_owned());
    }
    if spec.cpu.is_some() || spec.memory.is_some() {
        names.insert(TASK_LIMIT.to_owned());
    }
    for (member, name) in [
        ("privileged", PRIVILEGED),
        ("healthCheck", HEALTH_CHECK),
        ("dependsOn", ORDERING),
        ("restartPolicy", RESTART_POLICY),
        ("portMappings", PORT_RANGE),
        ("environmentFiles", ENVIRONMENT_FILES),
        ("pidMode", SHARED_NAMESPACES),
        ("ipcMode", SHARED_NAMESPACES),
    ] {
        if settings(spec).any(|(known, _)| known == member) {
            names.insert(name.to_owned());
        }
    }
    for volume in volumes(spec).into_iter().filter_map(|volume| volume.docker) {
        names.insert(DOCKER_VOLUMES.to_owned());
        names.extend(volume.driver.map(|driver| capability::of_volume_driver(&driver)));
    }
    for (_, json) in settings(spec).filter(|(member, _)| *member == "dockerSecurityOptions") {
        let options: Vec<String> = serde_json::from_str(json).unwrap_or_default();
        names.extend(options.iter().filter_map(|option| security_module(option)));
    }
    names
}

/// ECS's capability for a security module that an option is about.
fn security_module(option: &str) -> Option<String> {
    let module = match option.split_once(':')?.0 {
        "label" => "selinux",
        "apparmor" => "apparmor",
        _ => return None,
    };
    Some(format!("{}{module}", capability::SECURITY))
}

fn volumes(spec: &TaskDefinitionSpec) -> Vec<Volume> {
    read(&spec.described, "volumes").unwrap_or_default()
}

/// Trireme's own capabilities for what an operator, or the machine, must have beside the agent's version.
fn of_machine(spec: &TaskDefinitionSpec) -> impl Iterator<Item = &'static str> {
    let of_setting = settings(spec).filter_map(|(member, json)| match member {
        "linuxParameters" if has_devices(json) => Some(HOST_DEVICES),
        "pidMode" | "ipcMode" if json == "\"host\"" => Some(HOST_NAMESPACES),
        "ephemeralStorage" => Some(STORAGE_LIMIT),
        _ => None,
    });
    let paths = volumes(spec).into_iter().filter(Volume::has_path).map(|_| HOST_PATHS);
    of_setting.chain(paths)
}

fn has_devices(json: &str) -> bool {
    let any = |linux: LinuxParameters| linux.devices.is_some_and(|devices| !devices.is_empty());
    serde_json::from_str(json).is_ok_and(any)
}

/// What placement asks for: the capabilities, those of Trireme's own, and the processor. Roles are without effect yet, so that no
/// machine need know them.
fn requirements(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Vec<Requirement> {
    let asked = |name: &String| name != TASK_ROLE && name != TASK_ROLE_ON_HOST;
    let files = overrides.containers.iter().filter_map(ContainerOverride::environment_files);
    let of_files = [capability::of_setting("environmentFiles"), ENVIRONMENT_FILES.to_owned()];
    let names: BTreeSet<String> = settings(spec)
        .map(|(member, _)| capability::of_setting(member))
        .chain(of_machine(spec).map(str::to_owned))
        .chain(capabilities(spec).into_iter().filter(asked))
        .chain(files.flat_map(|_| of_files.clone()))
        .collect();
    let mut all: Vec<Requirement> = names.into_iter().map(|name| Requirement { name, value: None }).collect();
    let platform: Option<RuntimePlatform> = read(&spec.described, "runtimePlatform");
    if let Some(architecture) = platform.and_then(|platform| platform.architecture) {
        let value = Some(architecture.to_lowercase());
        all.push(Requirement { name: CPU_ARCHITECTURE.to_owned(), value });
    }
    all
}
