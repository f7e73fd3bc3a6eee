//! Limits that `decide` holds.

/// Events that one command may cause.
pub const EVENTS_PER_COMMAND: usize = 1_000;
/// Bytes of the events that one command may cause: the decider refuses more.
pub const BYTES_PER_COMMAND: usize = 512 * 1024;
/// Task reports in one batch of an agent.
pub const REPORTS_PER_COMMAND: usize = 200;
/// Tasks that one container instance may hold, so that losing it is one command.
pub const TASKS_PER_INSTANCE: usize = 900;
/// Bytes of a command in a container, with its arguments and who runs it.
pub const COMMAND_BYTES: usize = 64 * 1024;
/// Words of such a command.
pub const COMMAND_WORDS: usize = 1_000;
/// Bytes of what is said of its end.
pub const COMMAND_END_BYTES: usize = 1024;
/// Placements in one command.
pub const PLACEMENTS_PER_COMMAND: usize = 500;
/// ECS API: tags on a resource.
pub const TAGS_PER_RESOURCE: usize = 50;
/// ECS API: custom attributes of a container instance.
pub const ATTRIBUTES_PER_INSTANCE: usize = 10;
/// Bytes of what is described of one service or one cluster, as JSON.
pub const DESCRIBED_BYTES: usize = 64 * 1024;
/// Container instances of a cluster that are registered without a session.
pub const UNCONNECTED_PER_CLUSTER: usize = 500;
/// ECS API: capacity providers of a cluster, and items of a strategy.
pub const CAPACITY_PROVIDERS_PER_CLUSTER: usize = 20;
/// Capacity providers of an account in a region.
pub const CAPACITY_PROVIDERS: usize = 1_000;
/// Principals of an account in a region that have settings of their own.
pub const PRINCIPALS_WITH_SETTINGS: usize = 1_000;
/// EventBridge Scheduler API: schedule groups of an account in a region.
pub const SCHEDULE_GROUPS: usize = 500;
/// Schedules of all accounts and regions.
pub const SCHEDULES: usize = 100_000;
/// EventBridge API: rules of an account in a region.
pub const RULES: usize = 300;
/// EventBridge API: targets of a rule.
pub const TARGETS_PER_RULE: usize = 5;
/// Bytes of a schedule's target, or of a rule's targets, as JSON.
pub const TARGET_BYTES: usize = 64 * 1024;
/// Connections of an account in a region.
pub const CONNECTIONS: usize = 300;
/// API destinations of an account in a region.
pub const API_DESTINATIONS: usize = 300;
/// Bytes of a connection.
pub const DELIVERY_BYTES: usize = 64 * 1024;
/// Runs of one trigger that wait to be tried again.
pub const PENDING_PER_FIRING: usize = 100;
/// Tasks of one trigger that it is known to have started. `apply` reads it: it is frozen.
pub const TASKS_PER_FIRING: usize = 500;
/// Tasks of a cluster that wait for a machine, with those that were given up and are described still.
pub const WAITING_RUNS_PER_CLUSTER: usize = 1_000;
/// The same of all clusters of an account: none takes the others' room.
pub const WAITING_RUNS_PER_ACCOUNT: usize = 4_000;
/// The same of all clusters.
pub const WAITING_RUNS: usize = 10_000;
/// Log groups of an account in a region.
pub const LOG_GROUPS: usize = 10_000;
/// Alarms of an account in a region.
pub const ALARMS: usize = 5_000;
/// What is kept of what happened to an alarm. `apply` reads it: it is frozen.
pub const ALARM_HISTORY: usize = 20;
/// Deployments of a service whose records are kept; as many again of those whose tasks run still. `apply` reads it: it is frozen.
pub const DEPLOYMENTS_PER_SERVICE: usize = 20;
/// ECS API: task sets of a service, with those that are draining.
pub const TASK_SETS_PER_SERVICE: usize = 5;
/// ECS API: UpdateTaskProtection.expiresInMinutes.
pub const PROTECTION_MINUTES: std::ops::RangeInclusive<u32> = 1..=2_880;
/// The same, when it is not given.
pub const PROTECTION_MINUTES_DEFAULT: u32 = 120;
/// Subnets of all accounts and regions.
pub const SUBNETS: usize = 1_000;
/// ECS API: services in a cluster.
pub const SERVICES_PER_CLUSTER: usize = 5_000;
/// ECS API: a service's desired count.
pub const TASKS_PER_SERVICE: u32 = 5_000;
/// ECS API: container instances in a cluster.
pub const INSTANCES_PER_CLUSTER: usize = 5_000;
/// ECS API: Service.events.
pub const EVENTS_PER_SERVICE: usize = 100;
/// Idempotency keys without a client token that are kept beside the young ones. `apply` reads these three: they are frozen.
pub const REQUESTS_KEPT: usize = 65_536;
/// How long such a key is kept at most, in milliseconds.
pub const REQUEST_KEPT_MILLIS: u64 = 120_000;
/// How long such a key is kept at least, in milliseconds: twice as long as a node sends a request again.
pub const REQUEST_YOUNG_MILLIS: u64 = 60_000;
/// Keys beyond which no further write is taken until some are old: 60 seconds at 16,000 writes a second.
pub const REQUESTS_MAX: usize = 1_000_000;
/// How long an agent's absence counts at most, in milliseconds.
pub const ABSENCE_MILLIS_MAX: u64 = 600_000;
/// The shortest silence after which instances may be lost, in milliseconds: the time in which a witness must have been heard.
pub const LOST_AFTER_MILLIS_MIN: u64 = 2_000;
/// The longest such silence, in milliseconds.
pub const LOST_AFTER_MILLIS_MAX: u64 = 3_600_000;
/// Scaling activities of a service that are kept. `apply` reads it: it is frozen.
pub const ACTIVITIES_PER_SERVICE: usize = 100;
/// Application Auto Scaling API: policies of a scalable target.
pub const POLICIES_PER_TARGET: usize = 50;
/// Application Auto Scaling API: steps of a policy.
pub const STEPS_PER_POLICY: usize = 20;
/// Application Auto Scaling API: scheduled actions of a scalable target.
pub const ACTIONS_PER_TARGET: usize = 200;
