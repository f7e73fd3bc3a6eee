//! GPUs: how many a container is to have (ECS API: ResourceRequirement), which ones a machine has, and which of them are a task's.

use std::collections::BTreeMap;

use serde::Deserialize;
use trireme_types::capability::GPUS;
use trireme_types::{ContainerName, GpuId, gpu};

use super::{ContainerDefinition, InstanceRegistration, TaskDefinitionSpec};

/// The member of a container definition that is kept as it was given, and read here.
const RESOURCE_REQUIREMENTS: &str = "resourceRequirements";

/// The GPUs of a task by container, from its placement until it is forgotten. It holds them until it is STOPPED.
pub type TaskGpus = BTreeMap<ContainerName, Vec<GpuId>>;

/// ECS's words for it.
#[derive(Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

impl ContainerDefinition {
    /// How many GPUs it is to have.
    pub fn gpus(&self) -> u32 {
        let kept = self.described.get(RESOURCE_REQUIREMENTS);
        let asked: Vec<Requirement> =
            kept.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let gpus = asked.iter().filter(|one| one.kind == "GPU").filter_map(|one| one.value.parse().ok());
        gpus.fold(0, u32::saturating_add)
    }
}

impl TaskDefinitionSpec {
    /// How many GPUs its containers are to have together: none has any of another's.
    pub fn gpus(&self) -> u32 {
        self.containers.iter().map(ContainerDefinition::gpus).fold(0, u32::saturating_add)
    }
}

impl InstanceRegistration {
    /// Its GPUs, in its own order. What cannot be read is none.
    pub fn gpus(&self) -> Vec<GpuId> {
        self.attributes.get(GPUS).and_then(|text| gpu::parse(text).ok()).unwrap_or_default()
    }
}
