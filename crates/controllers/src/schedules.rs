//! Schedules and rules: each time that one is due, what it starts is started, once.
//!
//! A trigger (a schedule, or a rule with an expression) stands in the state at the time that it is due next. When that has come, one
//! command moves it on and starts its tasks, or says why not, in one entry; a command that names another time than the state's is
//! refused. So a new leader goes on where the old one was, and no time is seen to twice.
//!
//! Tasks that find no place are tried again, further apart each time, within the target's retry policy; how often they were is state.
//! A run has all its tasks or none.
//!
//! Reading order: this file · `step` (one trigger: what passed, what is due, what is tried again) · `target` (what a target comes to).

mod step;
mod target;

use std::collections::BTreeMap;

use trireme_scheduler::Nodes;
use trireme_state::command::{RunResult, ScheduleCommand};
use trireme_state::object::{ClusterKey, RuleKey, Target, Trigger};
use trireme_state::{Command, FeatureLevel, State};
use trireme_types::Timestamp;

use crate::driver::{Controller, Plan};
use crate::metrics;
use crate::observed::Observed;

/// Triggers of one pass; the next one goes on.
const TRIGGERS: usize = 500;

/// Fires schedules and rules.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScheduleController;

/// The nodes of clusters, as the pass leaves them: two runs do not take the same place.
#[derive(Debug, Default)]
struct Places(BTreeMap<ClusterKey, Nodes>);

impl Places {
    fn of(&mut self, view: &State, cluster: &ClusterKey) -> &mut Nodes {
        self.0.entry(cluster.clone()).or_insert_with(|| Nodes::of_cluster(view, cluster))
    }
}

/// What a target of a rule comes to when an event that its pattern means has happened: its tasks placed, or why not. Nothing else is taken
/// into account; whoever asks sees to it that each event is seen to.
pub fn start_target(view: &State, rule: &RuleKey, target: &Target, now: Timestamp) -> RunResult {
    target::run(view, &mut Places::default(), (&Trigger::Rule(rule.clone()), target), (now, 0), now)
}

impl Controller for ScheduleController {
    const NAME: &'static str = "schedules";

    fn plan(&self, view: &State, _: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if view.level() < FeatureLevel::SCALING {
            return plan;
        }
        let mut places = Places::default();
        let oldest = view.index().due().iter().next().map_or(now, |(at, _)| at);
        plan.report.gauge(
            metrics::SCHEDULES_LATE_SECONDS,
            now.since(oldest).as_secs().try_into().unwrap_or(usize::MAX),
        );
        for (at, trigger) in view.index().due().iter() {
            if at > now {
                plan.wake(at);
                break;
            }
            if plan.commands.len() >= TRIGGERS {
                plan.wake(now);
                break;
            }
            if let Some(fire) = step::plan(view, &mut places, trigger, now) {
                if step::goes_on(view, &fire, now) {
                    plan.wake(now);
                }
                step::report(&fire, now, &mut plan.report);
                plan.commands.push(Command::Schedule(Box::new(ScheduleCommand::Fire(Box::new(fire)))));
            }
        }
        plan
    }
}
