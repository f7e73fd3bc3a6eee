//! Standalone tasks.

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{RunTaskRequest, StartTaskRequest, TaskOverride};

use super::Refuse;
use crate::error::Result;

pub(crate) fn run_task(request: &RunTaskRequest) -> Result<()> {
    let refuse = Refuse(Operation::RunTask);
    refuse.given("referenceId", &request.reference_id)?;
    refuse.filled("volumeConfigurations", &request.volume_configurations)
}

pub(crate) fn start_task(request: &StartTaskRequest) -> Result<()> {
    let refuse = Refuse(Operation::StartTask);
    refuse.given("referenceId", &request.reference_id)?;
    refuse.filled("volumeConfigurations", &request.volume_configurations)
}

pub(crate) fn overrides(operation: Operation, overrides: &TaskOverride) -> Result<()> {
    let refuse = Refuse(operation);
    refuse.filled("overrides.inferenceAcceleratorOverrides", &overrides.inference_accelerator_overrides)?;
    refuse.given("overrides.ephemeralStorage", &overrides.ephemeral_storage)?;
    for container in overrides.container_overrides.iter().flatten() {
        refuse
            .filled("overrides.containerOverrides.resourceRequirements", &container.resource_requirements)?;
    }
    Ok(())
}
