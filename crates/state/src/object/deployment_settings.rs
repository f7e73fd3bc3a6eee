//! What a service asks of its deployments beside their limits: members that are kept as they were given, in ECS's names and JSON,
//! read here.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Described;
use super::lifecycle::{HookAction, LifecycleStage};
use super::scheduling::{BAKE_TIME, CIRCUIT_BREAKER, DEPLOYMENT_STRATEGY, EARLY_SUCCESS, LIFECYCLE_HOOKS};

/// Where a hook may wait that is of no stage of its own: before production traffic goes over.
const PRE_PRODUCTION: &str = "PRE_PRODUCTION_TRAFFIC_SHIFT";

fn read<T: DeserializeOwned>(described: &Described, member: &str) -> Option<T> {
    serde_json::from_str(described.get(member)?).ok()
}

/// ECS API: DeploymentStrategy, of those that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeploymentStrategy {
    /// New tasks take the place of old ones bit by bit.
    #[default]
    Rolling,
    /// All new ones run beside all old ones until the old ones go.
    BlueGreen,
}

impl DeploymentStrategy {
    /// What a service says.
    pub fn of(described: &Described) -> Self {
        let blue_green = described.get(DEPLOYMENT_STRATEGY).is_some_and(|json| json == "\"BLUE_GREEN\"");
        if blue_green { Self::BlueGreen } else { Self::Rolling }
    }
}

/// ECS API: DeploymentCircuitBreaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Whether deployments fail when too many of their tasks do.
    #[serde(default)]
    pub enable: bool,
    /// Whether they turn back then.
    #[serde(default)]
    pub rollback: bool,
    /// Whether a task that becomes healthy ends the count.
    #[serde(default = "yes")]
    pub reset_on_healthy_task: bool,
    /// How many are too many.
    #[serde(default, rename = "thresholdConfiguration")]
    pub threshold: Threshold,
}

const fn yes() -> bool {
    true
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { enable: false, rollback: false, reset_on_healthy_task: true, threshold: Threshold::default() }
    }
}

impl CircuitBreaker {
    /// What a service says.
    pub fn of(described: &Described) -> Self {
        read(described, CIRCUIT_BREAKER).unwrap_or_default()
    }
}

/// ECS API: ThresholdConfiguration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Threshold {
    /// What it is a number of.
    #[serde(rename = "type")]
    pub kind: ThresholdKind,
    /// The number.
    pub value: u32,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { kind: ThresholdKind::BoundedPercent, value: 50 }
    }
}

/// ECS API: ThresholdType.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ThresholdKind {
    /// Tasks.
    Count,
    /// Per cent of the desired count, from 3 to 200 tasks.
    BoundedPercent,
    /// Per cent of the desired count.
    UnboundedPercent,
}

impl Threshold {
    /// With how many failed tasks a deployment of a service of `desired` fails. One at least.
    pub fn of(self, desired: u32) -> u32 {
        let percent = u64::from(desired).saturating_mul(u64::from(self.value)).div_ceil(100);
        let percent = u32::try_from(percent).unwrap_or(u32::MAX);
        match self.kind {
            ThresholdKind::Count => self.value.max(1),
            ThresholdKind::BoundedPercent => percent.clamp(3, 200),
            ThresholdKind::UnboundedPercent => percent.max(1),
        }
    }
}

/// ECS API: DeploymentEarlySuccessCriteria, when they are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlySuccess {
    /// So many tasks of the new revision are enough, in per cent of the desired count.
    pub healthy_percent: u32,
    /// Whether older tasks are gone before the deployment counts as completed.
    pub blocks: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EarlySuccessCriteria {
    enable: Option<bool>,
    healthy_percent: Option<u32>,
    source_service_revision_cleanup: Option<String>,
}

impl EarlySuccess {
    /// What a service says.
    pub fn of(described: &Described) -> Option<Self> {
        let given: EarlySuccessCriteria = read(described, EARLY_SUCCESS)?;
        let blocks = given.source_service_revision_cleanup.is_none_or(|cleanup| cleanup != "DEFERRED");
        let healthy_percent = given.healthy_percent.unwrap_or(100);
        given.enable.unwrap_or(false).then_some(Self { healthy_percent, blocks })
    }

    /// How many healthy tasks are enough for a service of `desired`.
    pub fn enough(self, desired: u32) -> u32 {
        let product = u64::from(desired).saturating_mul(u64::from(self.healthy_percent));
        u32::try_from(product.div_ceil(100)).unwrap_or(u32::MAX)
    }
}

/// ECS API: DeploymentConfiguration.bakeTimeInMinutes.
pub fn bake_time(described: &Described) -> Duration {
    let minutes: u64 = read(described, BAKE_TIME).unwrap_or(0);
    Duration::from_secs(minutes.saturating_mul(60))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    target_type: Option<String>,
    #[serde(default)]
    lifecycle_stages: Vec<String>,
    timeout_configuration: Option<Timeout>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Timeout {
    timeout_in_minutes: Option<u64>,
    action: Option<HookAction>,
}

/// How long a hook waits, and what happens then (ECS API: DeploymentLifecycleHookTimeoutConfiguration).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookTimeout {
    /// How long.
    pub after: Duration,
    /// What happens then.
    pub action: HookAction,
}

impl HookTimeout {
    /// ECS API: DeploymentLifecycleHookTimeoutConfiguration.timeoutInMinutes, when it is not given.
    const MINUTES: u64 = 1_440;

    fn new(given: Timeout) -> Self {
        let minutes = given.timeout_in_minutes.unwrap_or(Self::MINUTES);
        let after = Duration::from_secs(minutes.saturating_mul(60));
        Self { after, action: given.action.unwrap_or_default() }
    }
}

/// The hooks of type PAUSE at which a deployment waits in a stage.
pub fn pauses_at(described: &Described, stage: LifecycleStage) -> Vec<HookTimeout> {
    let hooks: Vec<Hook> = read(described, LIFECYCLE_HOOKS).unwrap_or_default();
    let is_here = |name: &String| {
        name == stage.name() || (name == PRE_PRODUCTION && stage == LifecycleStage::ProductionTrafficShift)
    };
    let here = hooks.into_iter().filter(|hook| {
        hook.target_type.as_deref() == Some("PAUSE") && hook.lifecycle_stages.iter().any(is_here)
    });
    here.map(|hook| HookTimeout::new(hook.timeout_configuration.unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(member: &str, json: &str) -> Described {
        Described::from([(member.to_owned(), json.to_owned())])
    }

    #[test]
    fn a_threshold_is_between_3_and_200_unless_it_is_said_otherwise() {
        let of = |json: &str, desired| {
            let json = format!(r#"{{"enable":true,"rollback":true{json}}}"#);
            CircuitBreaker::of(&described(CIRCUIT_BREAKER, &json)).threshold.of(desired)
        };
        assert_eq!([0, 1, 7, 25, 400, 5000].map(|desired| of("", desired)), [3, 3, 4, 13, 200, 200]);
        let count = r#","thresholdConfiguration":{"type":"COUNT","value":5}"#;
        assert_eq!((of(count, 0), of(count, 800)), (5, 5));
        let free = r#","thresholdConfiguration":{"type":"UNBOUNDED_PERCENT","value":50}"#;
        assert_eq!((of(free, 0), of(free, 1), of(free, 800)), (1, 1, 400));
    }

    #[test]
    fn a_breaker_that_is_not_spoken_of_is_off_and_counts_anew_with_a_healthy_task() {
        assert_eq!(CircuitBreaker::of(&Described::new()), CircuitBreaker::default());
        let kept =
            described(CIRCUIT_BREAKER, r#"{"enable":true,"rollback":false,"resetOnHealthyTask":false}"#);
        let breaker = CircuitBreaker::of(&kept);
        assert!(breaker.enable && !breaker.rollback && !breaker.reset_on_healthy_task);
    }

    #[test]
    fn hooks_wait_a_day_and_turn_back_unless_it_is_said_otherwise() {
        let json = r#"[{"targetType":"PAUSE","lifecycleStages":["POST_SCALE_UP","PRE_PRODUCTION_TRAFFIC_SHIFT"]},
            {"targetType":"PAUSE","lifecycleStages":["POST_SCALE_UP"],"timeoutConfiguration":{"timeoutInMinutes":10,"action":"CONTINUE"}}]"#;
        let kept = described(LIFECYCLE_HOOKS, json);
        let minutes = |minutes: u64, action| HookTimeout { after: Duration::from_secs(minutes * 60), action };
        let day = minutes(1440, HookAction::Rollback);
        assert_eq!(pauses_at(&kept, LifecycleStage::PostScaleUp), [day, minutes(10, HookAction::Continue)]);
        assert_eq!(pauses_at(&kept, LifecycleStage::ProductionTrafficShift), [day]);
        assert!(pauses_at(&kept, LifecycleStage::BakeTime).is_empty());
    }

    #[test]
    fn early_success_rounds_up() {
        let json = r#"{"enable":true,"healthyPercent":50,"sourceServiceRevisionCleanup":"DEFERRED"}"#;
        let early = EarlySuccess::of(&described(EARLY_SUCCESS, json)).unwrap();
        assert!(!early.blocks);
        assert_eq!(early.enough(3), 2);
        assert_eq!(EarlySuccess::of(&described(EARLY_SUCCESS, r#"{"enable":false}"#)), None);
    }
}
