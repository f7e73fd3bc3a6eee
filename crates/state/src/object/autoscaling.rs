//! Scalable targets: services whose desired count follows policies and schedules, between a minimum and a maximum (Application Auto Scaling
//! API).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imbl::Vector;
use serde::{Deserialize, Serialize};
use trireme_types::{Real, Timestamp};

use super::{MetricKey, Statistic, Tags};

/// Application Auto Scaling API: ScalableTarget. There is one for a service at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalableTarget {
    /// Part of its ARN, and of its policies' and actions'.
    pub id: u128,
    /// What was asked for.
    pub spec: ScalableTargetSpec,
    /// Its tags.
    pub tags: Tags,
    /// When it was registered first.
    pub created_at: Timestamp,
    /// Its policies by name.
    pub policies: BTreeMap<String, Arc<ScalingPolicy>>,
    /// Its scheduled actions by name.
    pub actions: BTreeMap<String, Arc<ScheduledAction>>,
    /// Rises with each change of it, and with each scaling. Commands name the version that they saw.
    pub version: u64,
}

/// What a user asks of a scalable target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalableTargetSpec {
    /// The fewest tasks.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// What is not done at present.
    pub suspended: SuspendedScaling,
    /// As it was given; without effect.
    pub role_arn: Option<String>,
}

/// Application Auto Scaling API: SuspendedState.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspendedScaling {
    /// Policies take no task away.
    pub scale_in: bool,
    /// Policies add none.
    pub scale_out: bool,
    /// Scheduled actions are passed over.
    pub scheduled: bool,
}

/// Application Auto Scaling API: ScalingPolicy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingPolicy {
    /// Part of its ARN.
    pub id: u128,
    /// What was asked for.
    pub spec: ScalingPolicySpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last time that it added tasks, unless it took some away since.
    pub scaled_out: Option<ScaledOut>,
    /// The last time that it took tasks away, unless it added some since.
    pub scaled_in: Option<Timestamp>,
}

/// A policy's scale-out, of which the cool-down is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaledOut {
    /// When.
    pub at: Timestamp,
    /// The desired count before the cool-down began: what was added since counts for what is added next.
    pub from: u32,
}

/// What a policy does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScalingPolicySpec {
    /// Keeps a metric at a value.
    TargetTracking(TargetTracking),
    /// Adds or takes away so much when an alarm rings, by how far the metric is beyond the alarm's threshold.
    Step(StepScaling),
}

/// Application Auto Scaling API: TargetTrackingScalingPolicyConfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTracking {
    /// The value, above 0.
    pub target: Real,
    /// The metric.
    pub metric: TrackedMetric,
    /// Seconds; [`COOLDOWN_SECONDS`] when not given.
    pub scale_out_cooldown: Option<u32>,
    /// Seconds; [`COOLDOWN_SECONDS`] when not given.
    pub scale_in_cooldown: Option<u32>,
    /// It adds tasks only.
    pub disable_scale_in: bool,
}

/// The metric of target tracking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackedMetric {
    /// ECSServiceAverageCPUUtilization: 100 × used ÷ reserved cpu of the service's running tasks.
    Cpu {
        /// As ECSServiceAverageCPUUtilizationHighResolution. There is no difference here.
        high_resolution: bool,
    },
    /// ECSServiceAverageMemoryUtilization.
    Memory {
        /// As ECSServiceAverageMemoryUtilizationHighResolution. There is no difference here.
        high_resolution: bool,
    },
    /// Any other metric that falls as tasks are added.
    Customized {
        /// Which one.
        metric: MetricKey,
        /// What of it.
        statistic: Statistic,
        /// Only samples of this unit.
        unit: Option<String>,
    },
}

/// Application Auto Scaling API: StepScalingPolicyConfiguration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepScaling {
    /// What an adjustment means.
    pub adjustment: AdjustmentType,
    /// In the order of their bounds; they do not overlap.
    pub steps: Vec<StepAdjustment>,
    /// Of [`AdjustmentType::PercentChangeInCapacity`]: so many tasks at least.
    pub min_magnitude: Option<u32>,
    /// Seconds; [`COOLDOWN_SECONDS`] when not given.
    pub cooldown: Option<u32>,
    /// As it was given. The alarm's own statistic is what counts.
    pub aggregation: Option<Statistic>,
}

/// Application Auto Scaling API: AdjustmentType.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdjustmentType {
    /// So many tasks more or fewer.
    ChangeInCapacity,
    /// So many percent.
    PercentChangeInCapacity,
    /// So many tasks in all.
    ExactCapacity,
}

/// Application Auto Scaling API: StepAdjustment. The bounds are differences from the alarm's threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepAdjustment {
    /// From here; without one from minus infinity.
    pub lower: Option<Real>,
    /// To here; without one to infinity.
    pub upper: Option<Real>,
    /// How much.
    pub adjustment: i32,
}

/// Application Auto Scaling API: ScheduledAction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledAction {
    /// Part of its ARN.
    pub id: u128,
    /// What was asked for.
    pub spec: ScheduledActionSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is taken next; never again when there is none.
    pub next: Option<Timestamp>,
}

/// What a user asks of a scheduled action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledActionSpec {
    /// `at(..)`, `rate(..)` or `cron(..)`.
    pub schedule: String,
    /// The time zone that it is meant in; UTC when not given.
    pub timezone: Option<String>,
    /// Not before.
    pub start: Option<Timestamp>,
    /// Not after.
    pub end: Option<Timestamp>,
    /// The minimum from then on.
    pub min: Option<u32>,
    /// The maximum from then on.
    pub max: Option<u32>,
}

/// Application Auto Scaling API: ScalingActivity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingActivity {
    /// Unique.
    pub id: u128,
    /// When.
    pub at: Timestamp,
    /// The desired count before.
    pub from: u32,
    /// The desired count since.
    pub to: u32,
    /// Why, for people.
    pub cause: String,
    /// Nothing was scaled, for this reason.
    pub held: Option<HeldScaling>,
}

/// Why a policy that wants more tasks does not get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldScaling {
    /// There are as many as there may be.
    AtMaximum,
    /// It is suspended.
    Suspended,
}

/// A policy that scaled, and its cool-downs from then on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoolingPolicy {
    /// Its name.
    pub name: String,
    /// As in [`ScalingPolicy`].
    pub scaled_out: Option<ScaledOut>,
    /// As in [`ScalingPolicy`].
    pub scaled_in: Option<Timestamp>,
}

impl ScalingPolicySpec {
    /// How long after a scale-out it counts what was added.
    pub fn scale_out_cooldown(&self) -> Duration {
        seconds(match self {
            Self::TargetTracking(tracking) => tracking.scale_out_cooldown,
            Self::Step(step) => step.cooldown,
        })
    }

    /// How long after a scale-in it takes nothing more away.
    pub fn scale_in_cooldown(&self) -> Duration {
        seconds(match self {
            Self::TargetTracking(tracking) => tracking.scale_in_cooldown,
            Self::Step(step) => step.cooldown,
        })
    }
}

fn seconds(given: Option<u32>) -> Duration {
    Duration::from_secs(given.unwrap_or(COOLDOWN_SECONDS).into())
}

/// The newest first; at most [`crate::limits::ACTIVITIES_PER_SERVICE`].
pub type ScalingActivities = Vector<ScalingActivity>;

/// Application Auto Scaling API: a policy's cool-down for services, when none is given.
pub const COOLDOWN_SECONDS: u32 = 300;
