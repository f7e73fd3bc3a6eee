//! What ECS asks of tasks on FARGATE: the sizes that there are, and what their definitions may have (ECS developer guide: task definition
//! parameters for Fargate). Here the machines are the managed pool's.

use serde_json::Value;
use trireme_state::object::{
    Described, NetworkMode, PLACEMENT_CONSTRAINTS, TaskDefinitionSpec, TaskOverrides,
};
use trireme_types::{CpuUnits, Mebibytes};

use crate::launch::Unlaunchable;

/// Seconds that a container has to stop at most.
const STOP_TIMEOUT: u32 = 120;

/// The memory that goes with so much cpu: from, to, in steps of, in MiB.
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 1_024, 2_048, 1_024),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
];

/// Whether there is such a size.
pub fn is_size(cpu: CpuUnits, memory: Mebibytes) -> bool {
    let (cpu, memory) = (cpu.get(), memory.get());
    let fits = |(of, from, to, step): &(u32, u32, u32, u32)| {
        *of == cpu && (*from..=*to).contains(&memory) && memory.saturating_sub(*from).is_multiple_of(*step)
    };
    // The smallest has half a GiB too.
    (cpu == 256 && memory == 512) || SIZES.iter().any(fits)
}

/// Whether tasks of a definition may run there (ECS API: TaskDefinition.compatibilities).
pub fn is_compatible(spec: &TaskDefinitionSpec) -> bool {
    let patient =
        spec.containers.iter().all(|one| one.stop_timeout.is_none_or(|seconds| seconds <= STOP_TIMEOUT));
    let size = spec.cpu.zip(spec.memory).is_some_and(|(cpu, memory)| is_size(cpu, memory));
    spec.network_mode == Some(NetworkMode::Awsvpc) && patient && size && of_machine(spec).is_none()
}

/// The size of a task with overrides.
///
/// # Errors
///
/// There is none such.
pub fn check_size(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Result<(), Unlaunchable> {
    let (cpu, memory) = (overrides.cpu.or(spec.cpu), overrides.memory.or(spec.memory));
    match cpu.zip(memory) {
        Some((cpu, memory)) if is_size(cpu, memory) => Ok(()),
        Some((cpu, memory)) => Err(Unlaunchable::NoSuchSize { cpu, memory }),
        None => Err(Unlaunchable::NoSize),
    }
}

/// Read as it was registered; what is not there, or of another shape, asks for nothing.
fn member(described: &Described, name: &str) -> Value {
    described.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// Elements of a list.
fn all(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// What is of a machine, and so of nobody who has none: the first that a definition asks for. The machines of the managed pool run tasks of all
/// accounts side by side: whatever reaches beyond a task is for its own machines, also in a definition that did not ask for FARGATE.
pub fn of_machine(spec: &TaskDefinitionSpec) -> Option<&'static str> {
    let volumes = member(&spec.described, "volumes");
    let paths = all(&volumes)
        .any(|volume| volume["host"]["sourcePath"].as_str().is_some_and(|path| !path.is_empty()));
    let docker = all(&volumes).any(|volume| !volume["dockerVolumeConfiguration"].is_null());
    let long =
        spec.containers.iter().any(|one| one.stop_timeout.is_some_and(|seconds| seconds > STOP_TIMEOUT));
    let of_task = [
        ("placement constraints", all(&member(&spec.described, PLACEMENT_CONSTRAINTS)).next().is_some()),
        ("host volumes with a sourcePath", paths),
        ("Docker volumes", docker),
        ("ipcMode", !member(&spec.described, "ipcMode").is_null()),
        ("pidMode host", member(&spec.described, "pidMode") == "host"),
        ("a stopTimeout of more than 120 seconds", long),
    ];
    let of_task = of_task.into_iter().find(|(_, asked)| *asked).map(|(what, _)| what);
    of_task.or_else(|| spec.containers.iter().find_map(|one| container_of_machine(&one.described)))
}

/// The same of a container.
fn container_of_machine(described: &Described) -> Option<&'static str> {
    let filled = |name| all(&member(described, name)).next().is_some();
    let linux = member(described, "linuxParameters");
    // ECS API: KernelCapabilities.add.
    let capabilities = all(&linux["capabilities"]["add"]).any(|one| one != "SYS_PTRACE");
    let options = member(described, "dockerSecurityOptions");
    let loosened = all(&options).any(|one| one != "no-new-privileges" && one != "no-new-privileges:true");
    let log_driver = &member(described, "logConfiguration")["logDriver"];
    // Docker's own fill the machine's disk, or speak from its network.
    let logs = !log_driver.is_null() && log_driver != "awslogs";
    let asked = [
        ("privileged containers", member(described, "privileged") == true),
        ("devices", all(&linux["devices"]).next().is_some()),
        ("capabilities other than SYS_PTRACE", capabilities),
        ("dockerSecurityOptions other than no-new-privileges", loosened),
        ("links", filled("links")),
        ("GPUs", filled("resourceRequirements")),
        ("log drivers other than awslogs", logs),
    ];
    asked.into_iter().find(|(_, asked)| *asked).map(|(what, _)| what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn there_are_certain_sizes() {
        let is = |cpu, memory| is_size(CpuUnits::new(cpu), Mebibytes::new(memory));
        for (cpu, memory) in [(256, 512), (256, 2_048), (1_024, 3_072), (4_096, 30_720), (16_384, 122_880)] {
            assert!(is(cpu, memory), "{cpu} {memory}");
        }
        for (cpu, memory) in [(256, 1_536), (256, 4_096), (300, 512), (512, 512), (8_192, 17_408), (0, 0)] {
            assert!(!is(cpu, memory), "{cpu} {memory}");
        }
    }
}
