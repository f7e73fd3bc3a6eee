//! I6, I8: what an agent has accepted never goes back, it never ends by itself, and what it has said to be stopped runs no more: a
//! restarted agent finds its containers.

use std::collections::BTreeMap;

use super::truth::Truth;
use super::{Check, hold, launched};
use crate::shared::Shared;

/// Steps between two looks at the ledgers, which are files.
const EVERY: u64 = 250;

/// Steps between two looks at the containers.
const OFTEN: u64 = 3;

/// What was seen of each agent last.
#[derive(Default)]
pub struct Agents {
    steps: u64,
    seen: BTreeMap<u64, (u64, u64)>,
}

impl Agents {
    /// All agents now.
    ///
    /// # Errors
    /// One went back.
    pub fn check(&mut self, shared: &Shared, truth: &Truth) -> Check {
        self.steps += 1;
        if self.steps.is_multiple_of(OFTEN) {
            stopped_tasks_do_not_run(shared, truth)?;
            launched::on_machines(shared, truth)?;
        }
        if !self.steps.is_multiple_of(EVERY) {
            return Ok(());
        }
        for host in shared.agents.borrow().iter() {
            let ended = host.ended.borrow();
            hold("agents_do_not_end", ended.is_none(), || format!("{}: {ended:?}", host.name()))?;
            let Some(ledger) = host.ledger() else { continue };
            let new = (ledger.sequence, ledger.epoch);
            let old = self.seen.insert(host.number, new).unwrap_or_default();
            hold("agents_never_go_back", new.0 >= old.0 && new.1 >= old.1, || {
                format!("{}: sequence and epoch {old:?} then {new:?}", host.name())
            })?;
        }
        Ok(())
    }
}

fn stopped_tasks_do_not_run(shared: &Shared, truth: &Truth) -> Check {
    for host in shared.agents.borrow().iter() {
        let running = host.runtime.borrow().running_tasks();
        let ended = running.iter().find(|task| truth.ended.contains(task));
        hold("stopped_tasks_do_not_run", ended.is_none(), || format!("{} runs {ended:?}", host.name()))?;
    }
    Ok(())
}
