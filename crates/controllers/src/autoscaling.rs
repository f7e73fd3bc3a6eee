//! Autoscaling: services with a scalable target get the desired count that their policies and scheduled actions want, within its bounds
//! (Application Auto Scaling API).
//!
//! - Utilisation is 100 × used ÷ reserved over the service's running tasks, as their agents say every five seconds. Wanted are
//!   `running × metric ÷ target` tasks, rounded up.
//! - Tasks are added when two samples in a row, of five seconds each, say so; they are taken away only by the most that was used within a minute, and only as far
//!   as a tenth of the target is left. What is not known takes no task away.
//! - Of several policies the largest count wins; each that may take tasks away must agree to do so.
//! - During a cool-down a policy counts what it has added already, and takes nothing more away.
//! - What cool-downs and due times need is state: after a change of leaders it goes on as before.
//!
//! Reading order: `load` (what tasks use, as utilisation) · `tracking` (target tracking) · `step` (steps by alarms) · `opinion` (what several policies come to) ·
//! `action` (scheduled actions).

mod action;
mod load;
mod opinion;
mod step;
mod tracking;

use std::time::Duration;

use trireme_state::command::AutoscalingCommand;
use trireme_state::object::{
    Alarm, HeldScaling, MetricQuery, ScalableTarget, ScalingPolicySpec, Service, ServiceKey, ServiceStatus,
    Task, TaskStatus, TrackedMetric,
};
use trireme_state::query::scaling_policy_arn;
use trireme_state::{Command, State};
use trireme_types::{TaskId, Timestamp};

use crate::driver::{Controller, Plan};
use crate::observed::{Observed, USAGE_STEP};
use load::{Running, Sort};
use opinion::Verdict;
use step::Ringing;

/// It looks again after so long, whatever happens: what tasks use says so in no wake-up.
const LOOK: Duration = Duration::from_secs(1);

/// Scales services.
#[derive(Debug, Clone, Copy, Default)]
pub struct Autoscaler;

impl Controller for Autoscaler {
    const NAME: &'static str = "autoscaling";
    const PAUSE: Duration = LOOK;

    fn measured(&self, view: &State) -> Vec<TaskId> {
        let measured = |target: &ScalableTarget| {
            target.policies.values().any(|policy| match &policy.spec {
                ScalingPolicySpec::TargetTracking(tracking) => Sort::of(&tracking.metric).is_some(),
                ScalingPolicySpec::Step(_) => false,
            })
        };
        let targets = view.scalable_targets().iter().filter(|(_, target)| measured(target));
        targets
            .flat_map(|(key, _)| view.tasks_of_service(key))
            .filter(|task| runs(task))
            .map(|task| task.id)
            .collect()
    }

    fn queried(&self, view: &State) -> Vec<(MetricQuery, usize)> {
        let policies = view.scalable_targets().values().flat_map(|target| target.policies.values());
        let tracked = policies.filter_map(|policy| tracking::query(&policy.spec));
        tracked.chain(step::queries(&step::ringing(view))).collect()
    }

    fn plan(&self, view: &State, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let ringing = step::ringing(view);
        let mut followed = 0_usize;
        for (key, target) in view.scalable_targets() {
            let active = |service: &&std::sync::Arc<Service>| service.status == ServiceStatus::Active;
            let Some(service) = view.service(key).filter(active) else { continue };
            // Its commands make the target another one: the policies are asked in the next pass.
            if action::due(&mut plan, key, target, now) {
                continue;
            }
            followed = followed.saturating_add(usize::from(!target.policies.is_empty()));
            scale(&mut plan, (view, observed, now), (service, target), &ringing);
        }
        plan.report.gauge(crate::metrics::SCALABLE_TARGETS, view.scalable_targets().len());
        if followed > 0 {
            plan.wake(now.plus(LOOK));
        }
        plan
    }
}

/// Whether what a task uses counts.
fn runs(task: &Task) -> bool {
    task.last_status == TaskStatus::Running
        && task.desired_status == trireme_state::object::DesiredStatus::Running
}

/// One service, by its policies.
fn scale(
    plan: &mut Plan,
    (view, observed, now): (&State, &Observed, Timestamp),
    (service, target): (&Service, &ScalableTarget),
    ringing: &Ringing<'_>,
) {
    if target.policies.is_empty() {
        return;
    }
    let tasks: Vec<_> = view.tasks_of_service(&service.key).into_iter().filter(|task| runs(task)).collect();
    let running = Running::new(&tasks, &observed.usage, now);
    let desired = service.spec.desired_count;
    // What tasks carried that are gone is not known: tasks are taken away by a minute in which there were the same.
    let window = USAGE_STEP.saturating_mul(load::WINDOW);
    let settled = service.deployments.first().is_none_or(|primary| now >= primary.updated_at.plus(window));
    let opinions = target.policies.iter().map(|(name, policy)| match &policy.spec {
        ScalingPolicySpec::TargetTracking(tracking) => {
            tracking::opinion(name, policy, tracking, (&running, observed, desired, settled, now))
        }
        ScalingPolicySpec::Step(step) => {
            let arn = scaling_policy_arn(&service.key, name, policy.id);
            // Whoever writes an ARN into an alarm of another account has no say here.
            let own = |alarm: &&Alarm| alarm.key.scope == service.key.cluster.scope;
            let alarms: Vec<&Alarm> =
                ringing.get(arn.as_str()).into_iter().flatten().copied().filter(own).collect();
            step::opinion(name, policy, step, (&alarms, observed, desired, now))
        }
    });
    let deploying = view.is_deploying(&service.key);
    let verdict = opinion::verdict(opinions.collect(), &target.spec, desired, deploying);
    let (service, version) = (service.key.clone(), target.version);
    match verdict {
        Verdict::Stay => {}
        Verdict::Scale { to, policy, why } => {
            plan.report.say(format!("service {}: {desired} to {to}: {why}", service.name));
            let command =
                AutoscalingCommand::Scale { service, version, from: desired, to, policy, cause: why };
            plan.commands.push(Command::Autoscaling(Box::new(command)));
        }
        Verdict::Held { held, why } if is_told(view, &service, held, &why) => {}
        Verdict::Held { held, why } => {
            plan.report.say(format!("service {}: {why}", service.name));
            let command = AutoscalingCommand::Hold { service, version, held, cause: why };
            plan.commands.push(Command::Autoscaling(Box::new(command)));
        }
    }
}

/// Whether that reason was recorded since something was scaled last.
fn is_told(view: &State, service: &ServiceKey, held: HeldScaling, why: &str) -> bool {
    let activities = view.scaling_activities(service);
    let mut since = activities.iter().take_while(|activity| activity.held.is_some());
    since.any(|activity| activity.held == Some(held) && activity.cause == why)
}

/// The name of a tracked metric, for people.
fn metric_name(metric: &TrackedMetric) -> String {
    match metric {
        TrackedMetric::Cpu { .. } => "ECSServiceAverageCPUUtilization".to_owned(),
        TrackedMetric::Memory { .. } => "ECSServiceAverageMemoryUtilization".to_owned(),
        TrackedMetric::Customized { metric, .. } => format!("{}/{}", metric.namespace, metric.name),
    }
}
