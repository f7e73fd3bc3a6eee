//! The reaper: a stopped task stays visible for an hour, then it is forgotten. So is a deleted task definition, once nothing uses it.

use std::time::Duration;

use trireme_state::object::TaskDefinitionKey;
use trireme_state::{Command, State};
use trireme_types::{TaskId, Timestamp};

use crate::driver::{Controller, Plan};
use crate::observed::Observed;

/// Tasks forgotten in one command.
const BATCH: usize = 500;
/// Batches in one pass; the next pass goes on.
const BATCHES: usize = 8;

/// Deleted task definitions forgotten in one pass.
const DEFINITIONS: usize = 100;
/// A deleted task definition that something uses, and a task whose address may be in use, is looked at again after this.
const USED: Duration = Duration::from_secs(60);

/// Forgets stopped tasks and deleted task definitions.
#[derive(Debug, Clone, Copy)]
pub struct Reaper {
    /// How long a stopped task or a deleted task definition stays visible. ECS promises an hour for tasks.
    pub kept: Duration,
}

impl Default for Reaper {
    fn default() -> Self {
        Self { kept: Duration::from_secs(3_600) }
    }
}

impl Controller for Reaper {
    const NAME: &'static str = "reaper";

    fn plan(&self, view: &State, _: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut due: Vec<TaskId> = Vec::new();
        for (stopped_at, task) in view.index().stopped_tasks() {
            let at = stopped_at.plus(self.kept);
            if at > now || due.len() >= BATCH.saturating_mul(BATCHES) {
                plan.wake(at.max(now));
                break;
            }
            if view.holds_address(*task, now) {
                plan.wake(now.plus(USED));
                continue;
            }
            due.push(*task);
        }
        if !due.is_empty() {
            plan.report.say(format!("forgets {} stopped tasks", due.len()));
        }
        plan.commands = due.chunks(BATCH).map(|tasks| Command::ReapTasks { tasks: tasks.to_vec() }).collect();
        self.forget_definitions(view, now, &mut plan);
        plan
    }
}

impl Reaper {
    fn forget_definitions(&self, view: &State, now: Timestamp, plan: &mut Plan) {
        let mut due: Vec<TaskDefinitionKey> = Vec::new();
        for (key, deleted_at) in view.deleted_definitions() {
            let at = deleted_at.plus(self.kept);
            if at > now {
                plan.wake(at);
            } else if due.len() >= DEFINITIONS {
                plan.wake(now);
            } else if view.is_definition_used(key) {
                plan.wake(now.plus(USED));
            } else {
                due.push(key.clone());
            }
        }
        if !due.is_empty() {
            plan.report.say(format!("forgets {} deleted task definitions", due.len()));
            plan.commands.push(Command::ForgetTaskDefinitions { keys: due });
        }
    }
}
