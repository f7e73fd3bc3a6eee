//! What the cluster consists of. Each object keeps what was asked for (spec) apart from what is (status).

pub mod access_key;
pub mod account_setting;
pub mod alarm;
pub mod autoscaling;
pub mod capacity;
pub mod capacity_provider;
pub mod cluster;
pub mod container_instance;
mod delivery;
pub mod deployment_history;
mod deployment_settings;
mod gpu;
pub mod image_pin;
pub mod lifecycle;
pub mod log_group;
pub mod metric;
pub mod placement;
pub mod restore;
pub mod retention;
mod rule;
mod schedule;
mod scheduling;
pub mod service;
pub mod subnet;
pub mod task;
pub mod task_definition;
pub mod task_set;
mod trigger;
mod zone_move;

pub use access_key::{AccessKey, AccessKeyId, SealedSecret};
pub use account_setting::{AccountSettings, SettingsKey};
pub use alarm::{
    Alarm, AlarmHappening, AlarmKey, AlarmNote, AlarmSpec, AlarmState, AlarmStatus, Comparison, MissingData,
};
pub use autoscaling::{
    AdjustmentType, CoolingPolicy, HeldScaling, ScalableTarget, ScalableTargetSpec, ScaledOut,
    ScalingActivities, ScalingActivity, ScalingPolicy, ScalingPolicySpec, ScheduledAction,
    ScheduledActionSpec, StepAdjustment, StepScaling, SuspendedScaling, TargetTracking, TrackedMetric,
};
pub use capacity::{
    CAPACITY_STRATEGY, LAUNCH_TYPE, Launch, Launching, PoolSize, RunEnd, WaitingRun, kept_strategy,
};
pub use capacity_provider::{
    AutoScalingGroup, CapacityProvider, CapacityProviderKey, ManagedScaling, StrategyItem,
};
pub use cluster::{Cluster, ClusterConfiguration, ClusterKey, ClusterStatus, ContainerInsights};
pub use container_instance::{ContainerInstance, InstanceRegistration, InstanceResources, InstanceStatus};
pub use delivery::{
    ApiDestination, ApiDestinationKey, ApiDestinationSpec, Authorization, Connection, ConnectionKey,
    ConnectionSpec, Delivery, DeliveryKey, HttpParameter, HttpPlace,
};
pub use deployment_history::{
    DeploymentHistory, Rollback, ServiceDeployment, ServiceDeploymentStatus, ServiceRevision,
};
pub use deployment_settings::{
    CircuitBreaker, DeploymentStrategy, EarlySuccess, HookTimeout, Threshold, ThresholdKind, bake_time,
    pauses_at,
};
pub use gpu::TaskGpus;
pub use image_pin::{ImagePin, ImagePins, Images, is_pinned};
pub use lifecycle::{
    FailureCause, HookAction, HookStatus, Lifecycle, LifecycleHook, LifecycleStage, Lifecycles, TaskFailures,
};
pub use log_group::{LogGroup, LogGroupKey};
pub use metric::{Datapoint, MetricKey, MetricQuery, Statistic};
pub use placement::{BinpackField, PlacementConstraint, PlacementRules, PlacementStrategy, SpreadField};
pub use restore::RestoreSource;
pub use retention::Retention;
pub use rule::{Rule, RuleKey, RuleSpec};
pub use schedule::{DEFAULT_GROUP, Schedule, ScheduleGroup, ScheduleGroupKey, ScheduleKey, ScheduleSpec};
pub use scheduling::{
    BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_ALARMS, DEPLOYMENT_STRATEGY, EARLY_SUCCESS, LIFECYCLE_HOOKS,
    PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY, SCHEDULING_STRATEGY, SchedulingStrategy, ZONE_REBALANCING,
    is_rebalanced,
};
pub use service::{
    BackOff, Deployment, DeploymentConfiguration, DeploymentStatus, EXECUTE_COMMAND, PropagateTags,
    ROLLED_OUT, RolloutState, Service, ServiceEvent, ServiceKey, ServiceSpec, ServiceStatus, roll_out,
    roll_out_task_set,
};
pub use subnet::{Hold, Interface, NETWORK_CONFIGURATION, NetworkConfiguration, Subnet};
pub use task::{
    ContainerOverride, ContainerReport, DesiredStatus, HealthStatus, NetworkBinding, Reservation, StopCode,
    Task, TaskHealth, TaskOrigin, TaskOverrides, TaskStatus, TaskTimes,
};
pub use task_definition::{
    Compatibility, ContainerDefinition, NetworkMode, PortMapping, TaskDefinition, TaskDefinitionKey,
    TaskDefinitionSpec, TaskDefinitionStatus,
};
pub use task_set::{Scale, TaskSet, TaskSetSpec, TaskSetStatus, TaskSets};
pub use trigger::{
    ApiDestinationCall, Due, Firing, FiringPolicy, Invocation, MissedRuns, Overlap, Pending, RetryPolicy,
    Target, TargetInput, TargetTasks, Trigger,
};
pub use zone_move::ZoneMove;

/// Members that are described as they were given, and have no effect or one that only agents see to: ECS's name to JSON. Opaque here; `ecs-api` reads it, and placement the
/// little that it needs.
pub type Described = std::collections::BTreeMap<String, String>;

/// Attributes by name; the value may be empty (ECS API: Attribute).
pub type Attributes = std::collections::BTreeMap<String, String>;

/// Tags by key. Sorted, as ECS lists them.
pub type Tags = std::collections::BTreeMap<String, String>;
