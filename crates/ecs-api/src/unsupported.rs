//! What is refused because it has no effect yet. A member that would change what runs is named in the error; one that asks for
//! what happens anyway is accepted.
//!
//! When a member becomes real, its line goes from here.

mod container;
mod service;
mod task;

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{LaunchType, RegisterTaskDefinitionRequest};

pub(crate) use container::container_definition;
pub(crate) use service::{create_service, create_task_set, update_service};
pub(crate) use task::{overrides, run_task, start_task};

use crate::error::{Error, Result};

/// Refuses for one operation.
#[derive(Clone, Copy)]
struct Refuse(Operation);

impl Refuse {
    fn error(self, member: &str) -> Error {
        Error::unsupported(self.0, member)
    }

    /// Refuses a member that is there at all.
    fn given<T>(self, member: &str, value: &Option<T>) -> Result<()> {
        self.when(member, value.is_some())
    }

    /// Refuses a list with something in it.
    fn filled<T>(self, member: &str, value: &Option<Vec<T>>) -> Result<()> {
        self.when(member, value.as_ref().is_some_and(|list| !list.is_empty()))
    }

    /// Refuses a switch that is on.
    fn on(self, member: &str, value: Option<bool>) -> Result<()> {
        self.when(member, value == Some(true))
    }

    fn when(self, member: &str, refused: bool) -> Result<()> {
        if refused { Err(self.error(member)) } else { Ok(()) }
    }

    /// Task sets run on any container instance of their cluster, which ECS calls EC2.
    fn launch_type(self, value: Option<&LaunchType>) -> Result<()> {
        match value {
            None | Some(LaunchType::Ec2) => Ok(()),
            Some(other) => Err(self.error(&format!("launchType {other}"))),
        }
    }
}

pub(crate) fn register_task_definition(request: &RegisterTaskDefinitionRequest) -> Result<()> {
    use trireme_ecs_model::shapes::{Compatibility, OSFamily};
    let refuse = Refuse(Operation::RegisterTaskDefinition);
    for compatibility in request.requires_compatibilities.iter().flatten() {
        let runs =
            matches!(compatibility, Compatibility::Ec2 | Compatibility::External | Compatibility::Fargate);
        refuse.when(&format!("requiresCompatibilities {compatibility}"), !runs)?;
    }
    refuse.given("proxyConfiguration", &request.proxy_configuration)?;
    refuse.filled("inferenceAccelerators", &request.inference_accelerators)?;
    if let Some(platform) = &request.runtime_platform {
        let linux = matches!(platform.operating_system_family, None | Some(OSFamily::Linux));
        refuse.when("runtimePlatform.operatingSystemFamily other than LINUX", !linux)?;
    }
    refuse.on("enableFaultInjection", request.enable_fault_injection)?;
    refuse.given("trustedExecutionConfiguration", &request.trusted_execution_configuration)
}
