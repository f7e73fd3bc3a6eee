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
/// The same, with volumes of its own.
pub const DOCKER_VOLUMES: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.25";
/// A log driver; its name follows.
pub const LOG_DRIVER: &str = "com.amazonaws.ecs.capability.logging-driver.";
/// Credentials for a task's role.
pub const TASK_ROLE: &str = "com.amazonaws.ecs.capability.task-iam-role";
/// The same, for tasks on the host's network.
pub const TASK_ROLE_ON_HOST: &str = "com.amazonaws.ecs.capability.task-iam-role-network-host";
/// Limits of the task as a whole.
pub const TASK_LIMIT: &str = "ecs.capability.task-cpu-mem-limit";

/// Health checks of containers.
pub const HEALTH_CHECK: &str = "ecs.capability.container-health-check";
/// Containers that wait for each other.
pub const ORDERING: &str = "ecs.capability.container-ordering";
/// Containers that come again in place.
pub const RESTART_POLICY: &str = "ecs.capability.container-restart-policy";
/// Ranges of ports that are published as ranges.
pub const PORT_RANGE: &str = "ecs.capability.container-port-range";
/// Namespaces that containers of a task, or tasks and the machine, have together.
pub const SHARED_NAMESPACES: &str = "ecs.capability.pid-ipc-namespace-sharing";
/// Variables from files. An agent has it only when its operator says where the files are.
pub const ENVIRONMENT_FILES: &str = "ecs.capability.env-files.s3";

/// Containers with all of the machine's rights. An agent has it only when its operator says so.
pub const PRIVILEGED: &str = "com.amazonaws.ecs.capability.privileged-container";
/// Devices of the machine in containers. Trireme's own; an agent has it only when its operator says so.
pub const HOST_DEVICES: &str = "trireme.capability.host-devices";

/// Images that a service's tasks share whatever their tag says. Trireme's own. An agent without it is given the shared image in the
/// tag's place: nothing is placed elsewhere for it.
pub const IMAGE_PINS: &str = "trireme.capability.image-pins";

/// A security module of Linux; its name follows.
pub const SECURITY: &str = "com.amazonaws.ecs.capability.";
/// Paths of the machine in containers. Trireme's own; an agent has it only when its operator says so.
pub const HOST_PATHS: &str = "trireme.capability.host-paths";
/// Namespaces of the machine in containers. Trireme's own; an agent has it only when its operator says so.
pub const HOST_NAMESPACES: &str = "trireme.capability.host-namespaces";
/// A limit of what a container writes. Trireme's own; an agent has it only when Docker's storage driver can.
pub const STORAGE_LIMIT: &str = "trireme.capability.storage-limit";
/// The ids of the machine's GPUs, as [`crate::gpu::list`] has them. Trireme's own. An agent that says them asks Docker to give each
/// container those that are its. A container that asked for none is not kept from seeing them where Docker's default runtime is NVIDIA's.
pub const GPUS: &str = "trireme.gpus";
/// The pool that a machine belongs to, as its agent's operator names it. Trireme's own.
pub const POOL: &str = "trireme.pool";
/// The pool whose machines are nobody's own: they take the FARGATE tasks of every cluster.
pub const MANAGED_POOL: &str = "managed";
/// A volume driver of Docker's; its name follows.
pub const VOLUME_DRIVER: &str = "ecs.capability.docker-plugin.";

/// Under what name a machine of the managed pool keeps the logs of an account's region: of each account its own.
pub fn pooled_region(account: &str, region: &str) -> String {
    format!("{account}.{region}")
}

/// Network interfaces of tasks' own (ECS API: NetworkMode awsvpc).
pub const TASK_ENI: &str = "ecs.capability.task-eni";

/// What every agent of this version can do, beside log drivers and [`SETTINGS`].
pub const OF_AGENT: [&str; 10] = [
    DOCKER,
    DOCKER_VOLUMES,
    TASK_LIMIT,
    HEALTH_CHECK,
    ORDERING,
    IMAGE_PINS,
    RESTART_POLICY,
    PORT_RANGE,
    SHARED_NAMESPACES,
    TASK_ENI,
];

/// Members of a container definition that only the agent sees to (ECS API: ContainerDefinition). They go to it as they were
/// registered. An agent that came before a member would run containers without it: so each is a capability.
pub const SETTINGS: [&str; 21] = [
    "dependsOn",
    "dnsSearchDomains",
    "dnsServers",
    "dockerSecurityOptions",
    "environmentFiles",
    "extraHosts",
    "firelensConfiguration",
    "healthCheck",
    "linuxParameters",
    "links",
    "logConfiguration",
    "mountPoints",
    "portMappings",
    "privileged",
    "repositoryCredentials",
    "restartPolicy",
    "secrets",
    "startTimeout",
    "systemControls",
    "ulimits",
    "volumesFrom",
];

/// The same of a task definition (ECS API: TaskDefinition).
pub const TASK_SETTINGS: [&str; 4] = ["ephemeralStorage", "ipcMode", "pidMode", "volumes"];

/// The capability to see to one of [`SETTINGS`] or [`TASK_SETTINGS`]. Trireme's own: ECS has none for most of them.
pub fn of_setting(member: &str) -> String {
    format!("trireme.capability.{member}")
}

/// Whether a volume of Docker's is a path or a disk of the machine: its own driver mounts whatever device it is told.
pub fn mounts_machine(driver: Option<&str>, kind: Option<&str>, device: Option<&str>) -> bool {
    let own = matches!(driver, None | Some("" | "local"));
    let elsewhere = matches!(kind, Some("nfs" | "nfs4" | "cifs" | "tmpfs"));
    own && device.is_some() && !elsewhere
}

/// A volume driver's name in a capability, which has no colons.
pub fn of_volume_driver(name: &str) -> String {
    format!("{VOLUME_DRIVER}{}", name.replace(':', "."))
}

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
