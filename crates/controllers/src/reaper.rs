//! The reaper: a stopped task stays visible for an hour, then it is forgotten.

use std::time::Duration;

use trireme_state::{Command, State};
use trireme_types::{TaskId, Timestamp};

use crate::driver::{Controller, Plan};
use crate::observed::Observed;

/// Tasks forgotten in one command.
const BATCH: usize = 500;
/// Batches in one pass; the next pass goes on.
const BATCHES: usize = 8;

/// Forgets stopped tasks.
#[derive(Debug, Clone, Copy)]
pub struct Reaper {
    /// How long a stopped task stays visible. ECS promises an hour.
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
            due.push(*task);
        }
        if !due.is_empty() {
            plan.report.say(format!("forgets {} stopped tasks", due.len()));
        }
        plan.commands = due.chunks(BATCH).map(|tasks| Command::ReapTasks { tasks: tasks.to_vec() }).collect();
        plan
    }
}
