//! Autoscaling sets no desired count outside the bounds that hold at that moment, nobody else but users sets one, and no task is taken
//! away by what is not known: what each task used was looked at, or an alarm says so.

use std::time::Duration;

use trireme_state::object::{
    AlarmState, CoolingPolicy, ScalingActivity, ScalingPolicySpec, ServiceKey, TaskStatus, TrackedMetric,
};
use trireme_state::query::scaling_policy_arn;
use trireme_state::store::Record;
use trireme_state::{Actor, Event, State, event::AutoscalingEvent};
use trireme_types::{TaskId, Timestamp};

use super::{Check, hold};
use crate::load::Load;
use crate::shim;

/// A plan may be so old when it is applied.
const LAG: Duration = Duration::from_secs(10);
/// Autoscaling looks at a minute, by clocks that may be too fast by a fifth.
const MINUTE: Duration = Duration::from_secs(48);
/// No minute without a look at a task for so long is known: the steps are of five seconds, two of them may be without one, by clocks that
/// may be too slow by a fifth.
const GAP: Duration = Duration::from_secs(30);
/// Of a task that has just begun nothing is known, and need not be.
const NEW: Duration = Duration::from_secs(30);
/// A clock that is off by more makes a minute another one.
const CLOCK: Duration = Duration::from_secs(3);

/// What was scaled.
#[derive(Default)]
pub struct Scalings {
    /// Scalings by policies, and to bounds.
    pub count: u64,
    /// Those of them that took tasks away by what tasks use.
    pub fewer: u64,
    /// When each task was seen to run.
    running: std::collections::BTreeMap<TaskId, Duration>,
}

impl Scalings {
    /// One command's events.
    ///
    /// # Errors
    /// A count out of bounds, one that nobody had a right to set, or tasks that are taken away by what is not known.
    pub fn check(&mut self, load: &Load, before: &State, after: &State, records: &[Record]) -> Check {
        for record in records {
            match &record.event {
                Event::TaskProgressed { report } if report.status == TaskStatus::Running => {
                    self.running.entry(report.task).or_insert_with(shim::now);
                }
                Event::TaskReaped { task } => {
                    self.running.remove(task);
                }
                Event::ServiceUpdated { key, .. } => by_whom(before, after, key, records)?,
                Event::Autoscaling(AutoscalingEvent::ScheduledActionTaken { key, name, next }) => {
                    taken(before, (key, name), *next, record.at)?;
                }
                Event::Autoscaling(AutoscalingEvent::ScalingActivityRecorded { key, activity, policy })
                    if activity.held.is_none() =>
                {
                    self.count += 1;
                    within_bounds(before, after, key, activity)?;
                    if let Some(policy) = policy.as_deref().filter(|_| activity.to < activity.from) {
                        self.known(load, before, key, policy)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A policy takes tasks away.
    fn known(&mut self, load: &Load, before: &State, key: &ServiceKey, policy: &CoolingPolicy) -> Check {
        let spec = before.scalable_target(key).and_then(|target| target.policies.get(&policy.name));
        let Some(put) = spec else {
            return hold("who_scales_is_there", false, || format!("{}: policy {}", key.name, policy.name));
        };
        match &put.spec {
            ScalingPolicySpec::Step(_) => {
                let arn = scaling_policy_arn(key, &policy.name, put.id);
                let mut alarms = before.alarms_acting_on(&key.cluster.scope, &arn);
                let rings =
                    alarms.any(|alarm| alarm.status.value == AlarmState::Alarm && alarm.spec.actions_enabled);
                hold("an_alarm_takes_tasks_away", rings, || format!("{}: {arn}", key.name))
            }
            ScalingPolicySpec::TargetTracking(tracking) => {
                let may = !tracking.disable_scale_in;
                hold("who_may_take_tasks_away_does", may, || format!("{}: {}", key.name, policy.name))?;
                self.fewer += 1;
                match &tracking.metric {
                    TrackedMetric::Cpu { .. } | TrackedMetric::Memory { .. } => {
                        self.looked_at(load, before, key)
                    }
                    TrackedMetric::Customized { .. } => Ok(()),
                }
            }
        }
    }

    /// Each task of the service was looked at again and again in the last minute.
    fn looked_at(&self, load: &Load, before: &State, key: &ServiceKey) -> Check {
        let now = shim::now();
        let right = Timestamp::from_millis(u64::try_from((shim::EPOCH + now).as_millis()).unwrap_or(0));
        if before.clock().since(right) > CLOCK {
            return Ok(());
        }
        let (from, to) = (now.saturating_sub(MINUTE), now.saturating_sub(LAG));
        for task in before.tasks_of_service(key).iter().filter(|task| task.last_status == TaskStatus::Running)
        {
            let Some(since) = self.running.get(&task.id) else { continue };
            let from = from.max(*since + NEW);
            let looks = load.looks(task.id);
            let within = looks.iter().copied().filter(|at| *at > from && *at < to);
            let moments: Vec<Duration> = std::iter::once(from).chain(within).chain([to]).collect();
            let gap = moments.windows(2).map(|two| two[1].saturating_sub(two[0])).max().unwrap_or_default();
            hold("no_task_is_taken_away_by_what_is_not_known", gap <= GAP, || {
                format!(
                    "service {}: what task {} uses was not known for {gap:?} of the last minute",
                    key.name, task.id
                )
            })?;
        }
        Ok(())
    }
}

/// A desired count is the users', or autoscaling's own with a reason.
fn by_whom(before: &State, after: &State, key: &ServiceKey, records: &[Record]) -> Check {
    let count = |state: &State| state.service(key).map(|service| service.spec.desired_count);
    let controller = records.iter().any(|record| matches!(record.actor, Actor::Controller(_)));
    let same = count(before) == count(after);
    let told = records.iter().any(|record| {
        let Event::Autoscaling(happened) = &record.event else { return false };
        matches!(happened, AutoscalingEvent::ScalingActivityRecorded { key: of, .. } if of == key)
    });
    hold("counts_change_for_a_reason", same || !controller || told, || {
        format!("service {}: {:?} to {:?} by {:?}", key.name, count(before), count(after), records[0].actor)
    })
}

fn within_bounds(before: &State, after: &State, key: &ServiceKey, activity: &ScalingActivity) -> Check {
    let ScalingActivity { from, to, cause, .. } = activity;
    let Some(target) = after.scalable_target(key) else {
        return hold("who_scales_is_there", false, || format!("service {} has no target: {cause}", key.name));
    };
    let spec = &target.spec;
    hold("scaled_within_the_bounds", (spec.min..=spec.max).contains(to), || {
        format!("service {}: {to} tasks, not {} to {}: {cause}", key.name, spec.min, spec.max)
    })?;
    let count = |state: &State| state.service(key).map(|service| service.spec.desired_count);
    let as_told = count(before) == Some(*from) && count(after) == Some(*to);
    hold("an_activity_is_what_was_done", as_told, || {
        format!(
            "service {}: {from} to {to} is told, {:?} to {:?} was done",
            key.name,
            count(before),
            count(after)
        )
    })
}

/// A scheduled action was due, and its next time comes later.
fn taken(
    before: &State,
    (key, name): (&ServiceKey, &String),
    next: Option<Timestamp>,
    at: Timestamp,
) -> Check {
    let action = before.scalable_target(key).and_then(|target| target.actions.get(name).cloned());
    let due = action.and_then(|action| action.next);
    let holds = due.is_some_and(|due| due <= at && next.is_none_or(|next| next > due));
    hold("actions_are_taken_when_they_are_due", holds, || {
        format!(
            "service {}: action {name}, due {due:?}, was taken at {at}, and is next due {next:?}",
            key.name
        )
    })
}

/// Scheduled actions of services that are there that should have been taken before.
pub fn overdue(state: &State, before: Timestamp) -> Option<String> {
    let targets = state
        .scalable_targets()
        .iter()
        .flat_map(|(key, target)| target.actions.iter().map(move |(name, action)| (key, name, action.next)));
    let mut late = targets.filter(|(.., next)| next.is_some_and(|next| next < before));
    late.next().map(|(key, name, next)| format!("action {name} of service {} was due {next:?}", key.name))
}
