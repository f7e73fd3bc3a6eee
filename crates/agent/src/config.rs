//! What an agent is told by its operator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trireme_types::{AccountId, ClusterName, GpuId, Region, Zone};

use crate::logs::forward::{Origin, Sink};
use crate::{Error, gpu, resources};

/// Ports that ECS keeps from tasks: ssh, Docker's and the agent's own (ECS API: registeredResources).
pub const RESERVED_PORTS: [u16; 5] = [22, 2375, 2376, 51678, 51679];

/// Everything that an agent needs to know. Fields that are left out of a serialised form have their default.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// Control nodes' gRPC addresses, such as `http://127.0.0.1:7100`. The agent uses the first that answers.
    pub endpoints: Vec<String>,
    /// The ECS cluster's name. It is created when it does not exist.
    pub cluster: String,
    /// Where the machine is.
    pub zone: String,
    /// The agent's name, for people; such as `us-east-1a/agent-1`.
    pub name: String,
    /// The region that the agent's tasks live in.
    pub region: String,
    /// The account that the agent's tasks live in.
    pub account: String,
    /// Where the ledger is kept. Without one a restarted agent is a new container instance; only for simulated ones.
    pub data_dir: Option<PathBuf>,
    /// What runs containers.
    pub runtime: RuntimeConfig,
    /// Cpu units to offer; the machine's when not given (1,024 for each processor).
    pub cpu_units: Option<u32>,
    /// Memory to offer, in MiB; the machine's when not given.
    pub memory_mib: Option<u32>,
    /// Cpu units of the machine that are kept for the system; none when not given.
    pub reserve_cpu_units: Option<u32>,
    /// Memory of the machine that is kept for the system, in MiB; when neither it nor `memory_mib` is given, a twentieth of the
    /// machine's, at most a GiB.
    pub reserve_memory_mib: Option<u32>,
    /// Offer more than the machine has: several agents share it, for development.
    pub oversubscribe: bool,
    /// The ids of the GPUs to offer, in order. When not given, those that NVIDIA's driver tells of, then or later; none with
    /// `oversubscribe`, for who shares a machine would offer them twice.
    pub gpus: Option<Vec<String>>,
    /// Host ports that tasks may not have.
    pub reserved_ports: Vec<u16>,
    /// The pool that the machine belongs to: a capacity provider's, or `managed`, which serves the FARGATE tasks of every cluster. Such a
    /// machine is in no cluster of its own.
    pub pool: Option<String>,
    /// ECS attributes beside those that the agent sets itself.
    pub attributes: BTreeMap<String, String>,
    /// What of the machine containers may have.
    pub allow: Allowed,
    /// Whether containers can ask for their metadata at 169.254.170.2.
    pub metadata: bool,
    /// How images are had, and how they go again.
    pub images: ImageConfig,
    /// For how long an agent that is told to stop says that it goes away, in milliseconds; nothing is said when 0.
    pub absence_ms: u64,
    /// Where objects are that tasks name as those of S3: `BUCKET/KEY` below it. Without it tasks that need any are placed elsewhere.
    pub object_dir: Option<PathBuf>,
    /// Where lines are shipped to, off the node: `syslog://host:port` (UDP), `syslog+tcp://host:port`, `http://host:port/path`.
    pub log_forward: Option<String>,
}

/// What of the machine containers may have. Placement asks for it, and the agent itself refuses what is not allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowed {
    /// All of its rights (ECS API: ContainerDefinition.privileged).
    pub privileged: bool,
    /// Its devices (ECS API: LinuxParameters.devices).
    pub host_devices: bool,
    /// Its paths and disks (ECS API: HostVolumeProperties.sourcePath; `device` of a volume's driverOpts).
    pub host_paths: bool,
    /// Its namespaces of processes and of their communication (ECS API: TaskDefinition.pidMode, ipcMode).
    pub host_namespaces: bool,
}

/// When a registry is asked for an image (ECS developer guide: ECS_IMAGE_PULL_BEHAVIOR).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullBehavior {
    /// For a tag, for it may have moved; when that fails, the local image is used. Never for a digest that is here.
    #[default]
    Default,
    /// Each time. When that fails, so does the task.
    Always,
    /// Once for each image, even if it is here already. When that fails, so does the task.
    Once,
    /// Only for an image that is not here. What is here is never removed.
    PreferCached,
}

impl PullBehavior {
    /// Whether a local image will do when the registry gives none.
    pub const fn may_use_local(self) -> bool {
        matches!(self, Self::Default | Self::PreferCached)
    }
}

/// How images are had, and how they go again. The defaults are those of ECS's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageConfig {
    /// When a registry is asked.
    pub pull_behavior: PullBehavior,
    /// Docker's configuration folder, with the credentials for registries; `$DOCKER_CONFIG` or `~/.docker` when not given.
    pub docker_config: Option<PathBuf>,
    /// Pulls at the same time.
    pub pulls_at_once: usize,
    /// A pull that makes no progress for so long has failed.
    pub pull_inactivity_seconds: u64,
    /// A pull that takes so long has failed.
    pub pull_limit_seconds: u64,
    /// Whether images that this agent pulled and nobody uses are removed.
    pub cleanup: bool,
    /// How often.
    pub cleanup_interval_seconds: u64,
    /// Not before they were unused for so long.
    pub cleanup_minimum_age_seconds: u64,
    /// So many at a time.
    pub cleanup_at_most: usize,
    /// Earlier when less of Docker's disk is free, in percent; 0 to never do so.
    pub cleanup_below_free_percent: u32,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            pull_behavior: PullBehavior::Default,
            docker_config: None,
            pulls_at_once: 4,
            pull_inactivity_seconds: 60,
            pull_limit_seconds: 2 * 3600,
            cleanup: true,
            cleanup_interval_seconds: 30 * 60,
            cleanup_minimum_age_seconds: 3600,
            cleanup_at_most: 5,
            cleanup_below_free_percent: 10,
        }
    }
}

/// What runs an agent's containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RuntimeConfig {
    /// A Docker Engine.
    Docker {
        /// Its socket.
        socket: PathBuf,
    },
    /// Containers that exist in the agent's memory only.
    Fake {
        /// How long a container takes to start, in milliseconds.
        #[serde(default)]
        start_delay_ms: u64,
    },
}

impl RuntimeConfig {
    /// The Docker Engine at its usual socket.
    pub fn docker() -> Self {
        Self::Docker { socket: PathBuf::from("/var/run/docker.sock") }
    }

    /// Simulated containers that start at once.
    pub fn fake() -> Self {
        Self::Fake { start_delay_ms: 0 }
    }
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            cluster: "default".to_owned(),
            zone: "us-east-1a".to_owned(),
            name: "agent-1".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            data_dir: None,
            runtime: RuntimeConfig::docker(),
            cpu_units: None,
            memory_mib: None,
            reserve_cpu_units: None,
            reserve_memory_mib: None,
            oversubscribe: false,
            gpus: None,
            reserved_ports: RESERVED_PORTS.to_vec(),
            pool: None,
            attributes: BTreeMap::new(),
            allow: Allowed::default(),
            metadata: true,
            images: ImageConfig::default(),
            absence_ms: 120_000,
            object_dir: None,
            log_forward: None,
        }
    }
}

impl AgentConfig {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |reason: &str| Err(Error::Config { reason: reason.to_owned() });
        if self.endpoints.is_empty() {
            return bad("give the address of at least one control node");
        }
        for endpoint in &self.endpoints {
            if let Err(error) = tonic::transport::Endpoint::from_shared(endpoint.clone()) {
                return bad(&format!("`{endpoint}` is not an address of a control node: {error}"));
            }
        }
        self.check_names()?;
        if self.images.pull_inactivity_seconds == 0 || self.images.pull_limit_seconds == 0 {
            return bad("the limits of an image pull must be a second at least");
        }
        if let Some(address) = &self.log_forward
            && let Err(reason) = Sink::new(address, Origin::default())
        {
            return bad(&format!("where logs are shipped to: {reason}"));
        }
        if matches!(self.runtime, RuntimeConfig::Docker { .. }) && self.data_dir.is_none() {
            return bad("an agent with Docker needs a data folder, to find its containers again");
        }
        if let Some(gpus) = &self.gpus
            && let Err(error) = trireme_types::gpu::check(gpus.iter().map(String::as_str))
        {
            return bad(&error.to_string());
        }
        self.check_offer(&resources::Machine::here())
    }

    /// What is offered is there. Simulated containers need nothing.
    fn check_offer(&self, machine: &resources::Machine) -> Result<(), Error> {
        if self.oversubscribe || !matches!(self.runtime, RuntimeConfig::Docker { .. }) {
            return Ok(());
        }
        let offer = resources::Offer::of(self, machine);
        offer.check(machine).map_err(|reason| Error::Config { reason })
    }

    /// What the control node would refuse.
    fn check_names(&self) -> Result<(), Error> {
        let names = [
            Zone::new(&self.zone).err(),
            ClusterName::new(&self.cluster).err(),
            Region::new(&self.region).err(),
            AccountId::new(&self.account).err(),
        ];
        let pool = self.pool.as_ref().filter(|pool| !is_pool(pool));
        match (names.into_iter().flatten().next(), pool) {
            (Some(error), _) => Err(Error::Config { reason: error.to_string() }),
            (None, Some(pool)) => Err(Error::Config {
                reason: format!(
                    "`{pool}` is no pool: its name is 1 to 255 characters, none of them a space or a control character"
                ),
            }),
            (None, None) => Ok(()),
        }
    }

    /// Containers in memory ask nothing.
    pub(crate) fn serves_metadata(&self) -> bool {
        self.metadata && matches!(self.runtime, RuntimeConfig::Docker { .. })
    }

    /// Whether the GPUs that tasks may have are those that NVIDIA's driver tells of.
    pub(crate) fn finds_gpus(&self) -> bool {
        let alone = matches!(self.runtime, RuntimeConfig::Docker { .. }) && !self.oversubscribe;
        alone && self.gpus.is_none()
    }

    /// The GPUs that tasks may have.
    pub(crate) fn gpus(&self) -> Vec<GpuId> {
        match &self.gpus {
            Some(named) => named.iter().filter_map(|id| GpuId::new(id).ok()).collect(),
            None if self.finds_gpus() => gpu::found(Path::new(gpu::NVIDIA)),
            None => Vec::new(),
        }
    }

    /// What tasks may have of the machine.
    pub(crate) fn offer(&self) -> resources::Offer {
        resources::Offer::of(self, &resources::Machine::here())
    }
}

/// Whether a pool may have this name: those of Auto Scaling groups are among them.
fn is_pool(name: &str) -> bool {
    let length = name.chars().count();
    (1..=255).contains(&length) && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut AgentConfig)) -> String {
        let mut config = AgentConfig { runtime: RuntimeConfig::fake(), ..AgentConfig::default() };
        config.endpoints = vec!["http://127.0.0.1:7100".to_owned()];
        config.check().unwrap();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
        for text in [
            refused(|config| config.zone = "a/b".into()),
            refused(|config| config.cluster = String::new()),
            refused(|config| config.region = "us east".into()),
            refused(|config| config.account = "me".into()),
            refused(|config| config.pool = Some("my pool".into())),
            refused(|config| config.images.pull_inactivity_seconds = 0),
            refused(|config| config.gpus = Some(["a", "b", "a"].map(str::to_owned).into())),
        ] {
            assert!(text.starts_with("bad configuration: "), "{text}");
        }
    }
}
