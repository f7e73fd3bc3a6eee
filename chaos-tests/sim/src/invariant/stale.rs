//! I6: what nobody wants to run any more is stopped within 15 s, once nothing is in the way.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_state::object::DesiredStatus;
use trireme_types::TaskId;

use super::truth::Truth;
use super::{Check, hold};
use crate::shared::Shared;

/// The limit.
const LIMIT: Duration = Duration::from_secs(15);
/// Steps between two looks.
const EVERY: u64 = 50;

/// Since when each running task is wanted no more.
#[derive(Default)]
pub struct Stale {
    steps: u64,
    since: BTreeMap<(u64, TaskId), Duration>,
}

impl Stale {
    /// All machines, when the faults are over.
    ///
    /// # Errors
    /// A task that runs on.
    pub fn check(&mut self, shared: &Shared, truth: &Truth) -> Check {
        self.steps += 1;
        if !shared.faults_over.get() || !self.steps.is_multiple_of(EVERY) {
            return Ok(());
        }
        let now = crate::shim::now();
        let mut since = BTreeMap::new();
        for host in shared.agents.borrow().iter() {
            for task in host.runtime.borrow().running_tasks() {
                let known = truth.state().task(task);
                if known.is_some_and(|task| task.desired_status == DesiredStatus::Running) {
                    continue;
                }
                let first = self.since.get(&(host.number, task)).copied().unwrap_or(now);
                since.insert((host.number, task), first);
                hold("stale_tasks_are_stopped", now.saturating_sub(first) <= LIMIT, || {
                    format!("{} still runs {task}", host.name())
                })?;
            }
        }
        self.since = since;
        Ok(())
    }
}
