//! What ECS asks of tasks on FARGATE: the sizes that there are, and what their definitions may have (ECS developer guide: task definition
//! parameters for Fargate). Here the machines are the managed pool's.

use trireme_ecs_model::shapes::RegisterTaskDefinitionRequest;
use trireme_state::object::{NetworkMode, TaskDefinitionSpec, TaskOverrides};
use trireme_types::{CpuUnits, Mebibytes};

use crate::error::{Error, Result};

/// The one platform version that there is.
pub(crate) const PLATFORM_VERSION: &str = "1.4.0";
/// What a caller calls the newest.
pub(crate) const LATEST: &str = "LATEST";
/// ECS API: Task.platformFamily.
pub(crate) const PLATFORM_FAMILY: &str = "Linux";
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
pub(crate) fn is_size(cpu: CpuUnits, memory: Mebibytes) -> bool {
    let (cpu, memory) = (cpu.get(), memory.get());
    let fits = |(of, from, to, step): &(u32, u32, u32, u32)| {
        *of == cpu && (*from..=*to).contains(&memory) && memory.saturating_sub(*from) % *step == 0
    };
    // The smallest has half a GiB too.
    (cpu == 256 && memory == 512) || SIZES.iter().any(fits)
}

pub(crate) fn no_size(cpu: CpuUnits, memory: Mebibytes) -> String {
    format!("No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.")
}

/// Whether tasks of a definition may run there (ECS API: TaskDefinition.compatibilities).
pub(crate) fn is_compatible(spec: &TaskDefinitionSpec) -> bool {
    let patient =
        spec.containers.iter().all(|one| one.stop_timeout.is_none_or(|seconds| seconds <= STOP_TIMEOUT));
    let size = spec.cpu.zip(spec.memory).is_some_and(|(cpu, memory)| is_size(cpu, memory));
    spec.network_mode == Some(NetworkMode::Awsvpc) && patient && size
}

/// The size of a task with overrides.
pub(crate) fn check_overrides(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Result<()> {
    let (cpu, memory) = (overrides.cpu.or(spec.cpu), overrides.memory.or(spec.memory));
    match cpu.zip(memory) {
        Some((cpu, memory)) if is_size(cpu, memory) => Ok(()),
        Some((cpu, memory)) => Err(Error::invalid(no_size(cpu, memory))),
        None => Err(Error::invalid("Fargate requires that 'cpu' be defined at the task level.")),
    }
}

/// RegisterTaskDefinition with requiresCompatibilities FARGATE.
pub(crate) fn check_definition(
    request: &RegisterTaskDefinitionRequest,
    mode: Option<NetworkMode>,
    (cpu, memory): (Option<CpuUnits>, Option<Mebibytes>),
) -> Result<()> {
    if mode != Some(NetworkMode::Awsvpc) {
        return Err(Error::client("Fargate only supports network mode ‘awsvpc’."));
    }
    let missing =
        |what: &str| Error::client(format!("Fargate requires that '{what}' be defined at the task level."));
    let cpu = cpu.ok_or_else(|| missing("cpu"))?;
    let memory = memory.ok_or_else(|| missing("memory"))?;
    if !is_size(cpu, memory) {
        return Err(Error::client(no_size(cpu, memory)));
    }
    match of_machine(request) {
        None => Ok(()),
        Some(what) => {
            Err(Error::client(format!("Fargate compatible task definitions do not support {what}.")))
        }
    }
}

/// What is of a machine, and so of nobody who has none: the first that a definition asks for.
fn of_machine(request: &RegisterTaskDefinitionRequest) -> Option<&'static str> {
    let containers = || request.container_definitions.iter().flatten();
    let filled = |list: Option<usize>| list.is_some_and(|length| length > 0);
    let devices = containers().any(|one| {
        let linux = one.linux_parameters.as_ref();
        filled(linux.and_then(|linux| linux.devices.as_ref()).map(Vec::len))
    });
    let paths = request.volumes.iter().flatten().any(|volume| {
        let path = volume.host.as_ref().and_then(|host| host.source_path.as_ref());
        path.is_some_and(|path| !path.is_empty())
    });
    let docker = request.volumes.iter().flatten().any(|one| one.docker_volume_configuration.is_some());
    let long = containers()
        .any(|one| one.stop_timeout.is_some_and(|seconds| i64::from(seconds) > i64::from(STOP_TIMEOUT)));
    let asked = [
        ("placement constraints", filled(request.placement_constraints.as_ref().map(Vec::len))),
        ("privileged containers", containers().any(|one| one.privileged == Some(true))),
        ("devices", devices),
        ("links", containers().any(|one| filled(one.links.as_ref().map(Vec::len)))),
        ("host volumes with a sourcePath", paths),
        ("Docker volumes", docker),
        ("ipcMode", request.ipc_mode.is_some()),
        ("pidMode host", request.pid_mode == Some(trireme_ecs_model::shapes::PidMode::Host)),
        ("a stopTimeout of more than 120 seconds", long),
        ("GPUs", containers().any(|one| filled(one.resource_requirements.as_ref().map(Vec::len)))),
    ];
    asked.into_iter().find(|(_, asked)| *asked).map(|(what, _)| what)
}

#[cfg(test)]
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
