//! Why a service has not all of its tasks: for each deployment or task set what is missing, and what it waits for.

use std::sync::Arc;

use trireme_scheduler::NodeAnswer;
use trireme_state::State;
use trireme_state::object::{
    DeploymentStatus, DesiredStatus, HookStatus, Lifecycle, LifecycleHook, LifecycleStage, RolloutState,
    Service, ServiceStatus, Task, TaskStatus, bake_time,
};
use trireme_types::{DeploymentId, TaskId, Timestamp};

use super::nodes::of_unit;
use crate::service;
use crate::unit::Unit;

/// Tasks that failed which are told of.
const FAILED: usize = 5;

/// What tasks wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Machines do not take them: what each says.
    NoPlace(Vec<NodeAnswer>),
    /// Tasks of it failed: so long none starts.
    BackOff {
        /// No task starts before.
        until: Timestamp,
        /// Rounds of failures in a row.
        failures: u32,
    },
    /// There may be no more tasks at a time, and none may stop yet.
    Limits {
        /// The most with desired status RUNNING.
        maximum: u32,
        /// The fewest healthy ones.
        minimum: u32,
    },
    /// They are placed, and do not run yet.
    Starting(Vec<TaskId>),
    /// They run, and have not shown yet that they work: older tasks stay until then.
    Health {
        /// When the first of them will have, if nothing but time is needed.
        until: Option<Timestamp>,
    },
    /// Its deployment waits in a stage for a word of its user (ECS API: ContinueServiceDeployment).
    Hook {
        /// Where it waits.
        stage: LifecycleStage,
        /// What the word is to be about.
        hook: String,
        /// When nobody is waited for any more.
        until: Timestamp,
    },
    /// Its deployment has yet to come to the stage in which its tasks start, or bakes.
    Stage {
        /// Where it is; `None` before the first.
        stage: Option<LifecycleStage>,
        /// When the stage ends, if nothing but time is needed.
        until: Option<Timestamp>,
    },
    /// Its deployment has failed: nothing of it is started any more.
    Failed,
    /// What they are to be made from is not there.
    NoDefinition,
    /// Nothing: they are started with the controller's next look.
    Nothing,
}

/// Tasks of one deployment or task set that are not as they should be; none, where they all are and only their deployment waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The deployment or task set.
    pub unit: DeploymentId,
    /// How many.
    pub tasks: usize,
    /// What they wait for.
    pub cause: Cause,
}

/// What there is to say of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAnswer {
    /// How many tasks it wants.
    pub desired: u32,
    /// Tasks that are RUNNING.
    pub running: u32,
    /// Tasks on their way to RUNNING.
    pub pending: u32,
    /// What is missing, and why.
    pub missing: Vec<Missing>,
    /// Tasks of older deployments, or on machines that are drained, that run still.
    pub outgoing: Vec<Arc<Task>>,
    /// Those that failed last, the latest first.
    pub failed: Vec<Arc<Task>>,
}

/// Explains a service as it is in `view` at `now`.
pub fn explain(view: &State, service: &Arc<Service>, now: Timestamp) -> ServiceAnswer {
    let counts = view.index().service_load(&service.key).counts();
    let tasks = view.tasks_of_service(&service.key);
    let units = Unit::of_service(view, service);
    let held = |task: &Arc<Task>| units.iter().any(|unit| unit.holds(view, task));
    let outgoing: Vec<Arc<Task>> = tasks
        .iter()
        .filter(|task| task.desired_status == DesiredStatus::Running && !held(task))
        .cloned()
        .collect();
    let mut missing = Vec::new();
    for unit in &units {
        one(view, unit, &tasks, outgoing.len(), now, &mut missing);
    }
    let desired = units.iter().fold(0_u32, |sum, unit| sum.saturating_add(unit.desired));
    ServiceAnswer {
        desired: if service.status == ServiceStatus::Active { desired } else { 0 },
        running: counts.running,
        pending: counts.pending,
        missing,
        outgoing,
        failed: units.iter().flat_map(|unit| failed(view, unit)).take(FAILED).collect(),
    }
}

fn one(
    view: &State,
    unit: &Unit<'_>,
    tasks: &[Arc<Task>],
    outgoing: usize,
    now: Timestamp,
    missing: &mut Vec<Missing>,
) {
    let mut say = |tasks: usize, cause: Cause| missing.push(Missing { unit: unit.id(), tasks, cause });
    let there: Vec<&Arc<Task>> = tasks.iter().filter(|task| unit.holds(view, task)).collect();
    let starting: Vec<TaskId> =
        there.iter().filter(|task| task.last_status < TaskStatus::Running).map(|task| task.id).collect();
    if !starting.is_empty() {
        say(starting.len(), Cause::Starting(starting));
    }
    let lacking = unit.missing(&there);
    match stage(view, unit, now) {
        Some((cause, true)) => say(lacking, cause),
        early_or_none => {
            early_or_none.into_iter().for_each(|(cause, _)| say(0, cause));
            if lacking > 0 {
                say(lacking, lack(view, unit, tasks, now));
            }
        }
    }
    let health = service::health(view, unit.service, now);
    let unproven: Vec<&&Arc<Task>> = there
        .iter()
        .filter(|task| task.last_status == TaskStatus::Running && !health.is_healthy(task))
        .collect();
    if outgoing > 0 && !unproven.is_empty() {
        let until = unproven.iter().filter_map(|task| health.proven_at(task)).filter(|at| *at > now).min();
        say(unproven.len(), Cause::Health { until });
    }
}

/// Where a primary deployment that is under way is kept in its life, and whether its tasks are yet to be started because of that.
fn stage(view: &State, unit: &Unit<'_>, now: Timestamp) -> Option<(Cause, bool)> {
    let Unit { deployment, service, is_set, .. } = unit;
    let under_way = deployment.rollout == RolloutState::InProgress;
    if *is_set || !under_way || deployment.status != DeploymentStatus::Primary {
        return None;
    }
    let Lifecycle { stage, hooks, .. } = view.lifecycles(&service.key).of(deployment.id);
    let at = stage.map(|(stage, _)| stage);
    let early = view.is_beside(service) && at < Some(LifecycleStage::ScaleUp);
    let waiting = |hook: &&LifecycleHook| hook.status == HookStatus::AwaitingAction;
    let cause = match (stage, hooks.iter().find(waiting)) {
        (Some((stage, _)), Some(hook)) => {
            Some(Cause::Hook { stage, hook: hook.name(), until: hook.expires_at })
        }
        (Some((LifecycleStage::BakeTime, since)), None) => {
            let until = since.plus(bake_time(&service.spec.described));
            Some(Cause::Stage { stage: at, until: (until > now).then_some(until) })
        }
        _ => early.then_some(Cause::Stage { stage: at, until: None }),
    };
    cause.map(|cause| (cause, early))
}

/// Why tasks that are not even placed are not.
fn lack(view: &State, unit: &Unit<'_>, tasks: &[Arc<Task>], now: Timestamp) -> Cause {
    let back_off = unit.deployment.back_off.filter(|back_off| back_off.not_before > now);
    if let Some(back_off) = back_off {
        return Cause::BackOff { until: back_off.not_before, failures: back_off.failures };
    }
    if unit.deployment.rollout == RolloutState::Failed {
        return Cause::Failed;
    }
    let limits = unit.service.spec.deployment_configuration;
    let wanted = tasks.iter().filter(|task| task.desired_status == DesiredStatus::Running).count();
    let (maximum, minimum) = (limits.maximum(unit.desired), limits.minimum(unit.desired));
    if wanted >= maximum as usize {
        return Cause::Limits { maximum, minimum };
    }
    match of_unit(view, unit, &service::unstarted(view, unit, now), now) {
        None => Cause::NoDefinition,
        Some(answers) if answers.iter().any(|node| node.chosen) => Cause::Nothing,
        Some(answers) => Cause::NoPlace(answers),
    }
}

/// A unit's tasks that stopped without being told to, the latest first.
fn failed(view: &State, unit: &Unit<'_>) -> Vec<Arc<Task>> {
    let load = view.index().service_load(&unit.service.key);
    let stopped = load.stopped_since(unit.id(), Timestamp::EPOCH).filter_map(|(_, id)| view.task(id));
    stopped.filter(|task| service::failed_by_itself(task)).take(FAILED).cloned().collect()
}
