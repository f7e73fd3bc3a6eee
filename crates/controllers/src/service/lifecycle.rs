//! The life of a primary deployment that is under way: what its service asks of it, the stage that it is in, and what is new of that.

use std::sync::Arc;
use std::time::Duration;

use trireme_state::State;
use trireme_state::command::LifecycleProgress;
use trireme_state::object::{
    Alarm, CircuitBreaker, Deployment, DeploymentStrategy, EarlySuccess, FailureCause, HookStatus, Lifecycle,
    LifecycleStage, RolloutState, Service, bake_time,
};
use trireme_state::query::DeploymentAlarms;
use trireme_types::Timestamp;

use super::health::Health;
use super::judged::Judged;
use super::{breaker, restart};

/// What there is to know of it, and to say.
pub struct Life {
    /// How it goes, as it is recorded.
    pub known: Lifecycle,
    /// What is new.
    pub progress: LifecycleProgress,
    /// How soon it counts as completed, if not when all is done.
    pub early: Option<EarlySuccess>,
    bake_time: Duration,
    breaker: CircuitBreaker,
    /// It is looked at whenever an alarm may ring.
    listens: bool,
    /// One did.
    rings: bool,
    under_way: bool,
    late: bool,
}

impl Life {
    /// The life of a service's primary deployment.
    pub fn of(view: &State, service: &Service, primary: &Deployment, now: Timestamp) -> Self {
        let described = &service.spec.described;
        let known = view.lifecycles(&service.key).of(primary.id);
        let is_way_back = view.deployment_history(&service.key).is_way_back(primary.id);
        let under_way = primary.rollout == RolloutState::InProgress;
        let rolling = DeploymentStrategy::of(described) == DeploymentStrategy::Rolling;
        let deployment = primary.id;
        let alarms = view.alarms_of_deployment(service, primary);
        let bake_time = if is_way_back { Duration::ZERO } else { bake_time(described) };
        let bake_time = if bake_time.is_zero() && rolling { watch_time(&alarms) } else { bake_time };
        Self {
            progress: LifecycleProgress { deployment, failures: None, stage: None, failed: None },
            early: EarlySuccess::of(described).filter(|_| rolling && under_way),
            bake_time,
            breaker: CircuitBreaker::of(described),
            listens: under_way && DeploymentAlarms::of(described).enable,
            rings: alarms.iter().any(|alarm| alarm.has_rung_since(primary.created_at)),
            under_way,
            late: under_way && known.hooks.iter().any(|hook| hook.is_late(now)),
            known,
        }
    }

    /// The stage that it is in.
    pub fn stage(&self) -> Option<LifecycleStage> {
        self.known.stage.map(|(stage, _)| stage)
    }

    /// Whether it is to be looked at in each pass, for an alarm may ring.
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// What is to be recorded of it, if anything.
    pub fn news(self) -> Option<LifecycleProgress> {
        let LifecycleProgress { failures, stage, failed, .. } = &self.progress;
        let any = failures.is_some() || stage.is_some() || failed.is_some() || self.late;
        (self.under_way && any).then_some(self.progress)
    }

    /// Looks whether it fails, which is to have so many tasks: then nothing more is started of it.
    pub fn watch(&mut self, desired: u32, scene: &restart::Scene<'_>) {
        // What it replaces is on its way out already: there is nothing whole to go back to.
        if !self.under_way || self.stage() == Some(LifecycleStage::CleanUp) {
            return;
        }
        let verdict = breaker::judge(scene, self.breaker, self.known.failures, desired);
        self.progress.failures = verdict.record;
        self.progress.failed = match () {
            () if verdict.trips => Some(FailureCause::Tasks),
            () if self.rings => Some(FailureCause::Alarm),
            () => None,
        };
    }

    /// Whether it fails now, or did.
    pub fn fails(&self, primary: &Deployment) -> bool {
        self.progress.failed.is_some() || primary.rollout == RolloutState::Failed
    }

    /// Whether its bake time is over, which begins when `enough` is there for the first time.
    pub fn is_baked(&mut self, enough: bool, health: Health<'_>, judged: &mut Judged) -> bool {
        if self.bake_time.is_zero() || self.stage() == Some(LifecycleStage::CleanUp) {
            return enough;
        }
        match self.known.stage {
            Some((LifecycleStage::BakeTime, since)) => {
                let end = since.plus(self.bake_time);
                if end > health.now {
                    judged.wake(end);
                }
                enough && end <= health.now
            }
            _ => {
                if enough {
                    self.progress.stage = Some(LifecycleStage::BakeTime);
                }
                false
            }
        }
    }

    /// Whether something waits in its stage, until someone says a word or nobody is waited for any more.
    pub fn waits(&self, judged: &mut Judged) -> bool {
        let waiting = self.known.hooks.iter().filter(|hook| hook.status == HookStatus::AwaitingAction);
        if let Some(at) = waiting.map(|hook| hook.expires_at).min() {
            judged.wake(at);
        }
        self.known.waits()
    }
}

/// How long a deployment that has all its tasks is watched by alarms: as long as the slowest of them needs to see what they do. (ECS: the
/// bake time is computed from the alarms.)
fn watch_time(alarms: &[&Arc<Alarm>]) -> Duration {
    let seconds = alarms.iter().map(|alarm| {
        u64::from(alarm.spec.query.period_seconds).saturating_mul(alarm.spec.evaluation_periods.into())
    });
    Duration::from_secs(seconds.max().unwrap_or(0))
}
