//! How a deployment of a service goes: the stage of its life, what waits there for a word of its user, and how many of its tasks
//! have failed. It is there only for deployments whose service asks for something of it.

use serde::{Deserialize, Serialize};
use trireme_types::{DeploymentId, Timestamp};

/// Of the deployments whose records the service's history has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycles {
    /// By the deployment's id.
    pub deployments: std::collections::BTreeMap<DeploymentId, Lifecycle>,
}

impl Lifecycles {
    /// How a deployment goes; nothing has happened to one that is not known.
    pub fn of(&self, deployment: DeploymentId) -> Lifecycle {
        self.deployments.get(&deployment).cloned().unwrap_or_default()
    }
}

/// How one deployment goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Where it is, and since when. A rolling one has but two stages: it bakes, or it has none.
    pub stage: Option<(LifecycleStage, Timestamp)>,
    /// What waits in that stage, or waited.
    pub hooks: Vec<LifecycleHook>,
    /// Its tasks that failed.
    pub failures: TaskFailures,
    /// Why it failed, if it did.
    pub cause: Option<FailureCause>,
}

impl Lifecycle {
    /// Whether its tasks take the production traffic, or took it.
    pub fn has_shifted(&self) -> bool {
        self.stage.is_some_and(|(stage, _)| stage > LifecycleStage::ProductionTrafficShift)
    }

    /// Whether something waits for a word of its user.
    pub fn waits(&self) -> bool {
        self.hooks.iter().any(|hook| hook.status == HookStatus::AwaitingAction)
    }
}

/// ECS API: ServiceDeploymentLifecycleStage, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LifecycleStage {
    /// What is left of earlier deployments goes, but for what serves.
    ReconcileService,
    /// Nothing of the new revision has started.
    PreScaleUp,
    /// It starts all its tasks beside those that serve.
    ScaleUp,
    /// They run.
    PostScaleUp,
    /// Test traffic goes to them.
    TestTrafficShift,
    /// It went there.
    PostTestTrafficShift,
    /// Production traffic goes to them.
    ProductionTrafficShift,
    /// It went there.
    PostProductionTrafficShift,
    /// Both run on, for as long as was asked for.
    BakeTime,
    /// The tasks of the revision before go.
    CleanUp,
}

impl LifecycleStage {
    /// All of them, in their order.
    pub const ALL: [Self; 10] = [
        Self::ReconcileService,
        Self::PreScaleUp,
        Self::ScaleUp,
        Self::PostScaleUp,
        Self::TestTrafficShift,
        Self::PostTestTrafficShift,
        Self::ProductionTrafficShift,
        Self::PostProductionTrafficShift,
        Self::BakeTime,
        Self::CleanUp,
    ];

    /// ECS's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    /// The one after it; the last has none.
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage > self)
    }
}

/// A hook of type PAUSE that a deployment has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifecycleHook {
    /// Unique.
    pub id: u128,
    /// What became of it.
    pub status: HookStatus,
    /// When nobody is waited for any more.
    pub expires_at: Timestamp,
    /// What happens then.
    pub timeout_action: HookAction,
}

impl LifecycleHook {
    /// ECS API: DeploymentLifecycleHookDetail.hookId.
    pub fn name(&self) -> String {
        format!("ecs-pause-{:032x}", self.id)
    }

    /// Whether it waits still, although its time is over.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.status == HookStatus::AwaitingAction && self.expires_at <= now
    }
}

/// ECS API: DeploymentLifecycleHookStatus, as far as a hook of type PAUSE has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookStatus {
    /// The deployment waits.
    AwaitingAction,
    /// Its user lets the deployment go on.
    Succeeded,
    /// Its user turned the deployment back.
    Failed,
    /// Nobody said anything in time.
    TimedOut,
}

/// ECS API: DeploymentLifecycleHookAction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HookAction {
    /// The deployment turns back.
    #[default]
    Rollback,
    /// It goes on.
    Continue,
}

/// Tasks of a deployment that failed before they were healthy, as the circuit breaker counts them. It says up to where they are
/// counted, so that who looks twice counts once, and so that it does not depend on tasks that are forgotten by now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailures {
    /// How many.
    pub count: u32,
    /// Those that stopped before this are counted.
    pub seen_to: Timestamp,
    /// Of those that stopped at that very instant, so many.
    pub seen_then: u32,
    /// When a task became healthy with which the count began anew.
    pub healthy_at: Option<Timestamp>,
}

/// Why a deployment failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureCause {
    /// Too many of its tasks did: the circuit breaker.
    Tasks,
    /// A hook of this stage had no answer in time.
    HookTimedOut(LifecycleStage),
    /// The answer to a hook of this stage was to turn back.
    HookFailed(LifecycleStage),
    /// One of its alarms said so.
    Alarm,
}
