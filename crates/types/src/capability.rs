//! ECS's names for what a machine is and can do: an agent says them of its machine, a task definition requires them (ECS API:
//! TaskDefinition.requiresAttributes; developer guide: container instance attributes).

/// The operating system.
pub const OS_TYPE: &str = "ecs.os-type";
/// The processor: `x86_64` or `arm64`.
pub const CPU_ARCHITECTURE: &str = "ecs.cpu-architecture";
/// The zone.
pub const AVAILABILITY_ZONE: &str = "ecs.availability-zone";

/// Docker's API, which every task needs.
pub const DOCKER: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.18";
/// A log driver; its name follows.
pub const LOG_DRIVER: &str = "com.amazonaws.ecs.capability.logging-driver.";
/// Credentials for a task's role.
pub const TASK_ROLE: &str = "com.amazonaws.ecs.capability.task-iam-role";
/// The same, for tasks on the host's network.
pub const TASK_ROLE_ON_HOST: &str = "com.amazonaws.ecs.capability.task-iam-role-network-host";
/// Limits of the task as a whole.
pub const TASK_LIMIT: &str = "ecs.capability.task-cpu-mem-limit";

/// What every agent of this version can do.
pub const OF_AGENT: [&str; 3] = [DOCKER, "com.amazonaws.ecs.capability.logging-driver.json-file", TASK_LIMIT];

/// Whether an attribute says what a machine can do.
pub fn is_capability(name: &str) -> bool {
    name.starts_with("com.amazonaws.ecs.capability.") || name.starts_with("ecs.capability.")
}

/// This machine's processor, as ECS calls it.
pub fn cpu_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}
