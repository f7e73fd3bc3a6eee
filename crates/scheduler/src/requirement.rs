//! What a machine must be for a task to run on it, beyond what the task holds there: attributes that its agent says of it (ECS API:
//! TaskDefinition.requiresAttributes, runtimePlatform).

use std::collections::BTreeSet;

use serde::Deserialize;
use trireme_state::object::{
    ContainerInstance, Described, NetworkMode, Reservation, TaskDefinitionSpec, TaskOverrides,
};
use trireme_state::query::reservation;
use trireme_types::capability::{
    CPU_ARCHITECTURE, DOCKER, LOG_DRIVER, TASK_LIMIT, TASK_ROLE, TASK_ROLE_ON_HOST, is_capability,
};

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
            (None, None) => is_capability(&self.name) && !attributes.contains_key(DOCKER),
        }
    }
}

/// What one task asks of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What it holds there.
    pub reservation: Reservation,
    /// What the machine must be.
    pub requirements: Vec<Requirement>,
}

impl Wanted {
    /// Of a task that is made from this definition.
    pub fn of(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Self {
        Self { reservation: reservation(spec, overrides), requirements: requirements(spec) }
    }
}

impl From<Reservation> for Wanted {
    fn from(reservation: Reservation) -> Self {
        Self { reservation, requirements: Vec::new() }
    }
}

/// The part of a container's `logConfiguration` that is of interest here.
#[derive(Deserialize)]
struct LogConfiguration {
    #[serde(rename = "logDriver")]
    driver: Option<String>,
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
pub fn capabilities(spec: &TaskDefinitionSpec) -> BTreeSet<String> {
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
    if spec.cpu.is_some() || spec.memory.is_some() {
        names.insert(TASK_LIMIT.to_owned());
    }
    names
}

/// What placement asks for: the capabilities, and the processor. Roles are without effect yet, so that no machine need know them.
fn requirements(spec: &TaskDefinitionSpec) -> Vec<Requirement> {
    let asked = |name: &String| name != TASK_ROLE && name != TASK_ROLE_ON_HOST;
    let names = capabilities(spec).into_iter().filter(asked);
    let mut all: Vec<Requirement> = names.map(|name| Requirement { name, value: None }).collect();
    let platform: Option<RuntimePlatform> = read(&spec.described, "runtimePlatform");
    if let Some(architecture) = platform.and_then(|platform| platform.architecture) {
        let value = Some(architecture.to_lowercase());
        all.push(Requirement { name: CPU_ARCHITECTURE.to_owned(), value });
    }
    all
}
