//! Overrides of RunTask and StartTask.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{self, TaskOverride};
use trireme_state::object::{ContainerOverride, TaskDefinition, TaskOverrides};
use trireme_types::{ContainerName, CpuUnits, Mebibytes};

use super::{container_settings, definition_input, role};
use crate::error::{Error, Result};
use crate::unsupported;

/// ECS API: the size of overrides, in characters of JSON.
const LIMIT: usize = 8192;

/// Checks overrides against the definition that they change.
pub(crate) fn parse(
    operation: Operation,
    given: &TaskOverride,
    definition: &TaskDefinition,
) -> Result<TaskOverrides> {
    unsupported::overrides(operation, given)?;
    let size = serde_json::to_string(given).map_or(usize::MAX, |json| json.chars().count());
    if size > LIMIT {
        return Err(Error::invalid(format!("overrides can have at most {LIMIT} characters of JSON.")));
    }
    let mut containers: Vec<ContainerOverride> = Vec::new();
    for given in given.container_overrides.iter().flatten() {
        let change = container(given, definition)?;
        if containers.iter().any(|other| other.name == change.name) {
            return Err(Error::invalid(format!("overrides name the container {} twice.", change.name)));
        }
        containers.push(change);
    }
    Ok(TaskOverrides {
        containers,
        cpu: definition_input::task_cpu(given.cpu.as_deref())?,
        memory: definition_input::task_memory(given.memory.as_deref())?,
        task_role_arn: role::parse(given.task_role_arn.as_ref())?,
        execution_role_arn: role::parse(given.execution_role_arn.as_ref())?,
    })
}

fn container(given: &shapes::ContainerOverride, definition: &TaskDefinition) -> Result<ContainerOverride> {
    let name = given.name.as_deref().unwrap_or_default();
    let known = definition.spec.containers.iter().find(|container| container.name.as_str() == name);
    let Some(known) = known else {
        return Err(Error::invalid(format!(
            "Override for container named {name} is not a container in the TaskDefinition."
        )));
    };
    let memory = |member: &str, value: Option<i32>| amount(&known.name, member, 6, value);
    let files = given.environment_files.as_deref().unwrap_or_default();
    container_settings::environment_files(files)
        .map_err(|what| Error::invalid(format!("Invalid override for container '{}'. {what}", known.name)))?;
    let change = ContainerOverride {
        name: known.name.clone(),
        command: given.command.clone(),
        environment: definition_input::environment(given.environment.as_deref().unwrap_or_default())?,
        cpu: amount(&known.name, "cpu", 0, given.cpu)?.map(CpuUnits::new),
        memory: memory("memory", given.memory)?.map(Mebibytes::new),
        memory_reservation: memory("memoryReservation", given.memory_reservation)?.map(Mebibytes::new),
    };
    match serde_json::to_string(files) {
        Ok(json) if !files.is_empty() => Ok(change.with_environment_files(json)),
        _ => Ok(change),
    }
}

fn amount(container: &ContainerName, member: &str, least: i32, value: Option<i32>) -> Result<Option<u32>> {
    match value {
        Some(value) if value < least => Err(Error::invalid(format!(
            "Invalid override for container '{container}'. '{member}' must be at least {least}."
        ))),
        other => Ok(other.map(i32::unsigned_abs)),
    }
}
