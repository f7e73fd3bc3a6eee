//! What must hold over all nodes, after each step of the simulation and at its end. One file each; the names are those that a
//! failure prints. What must hold of one state is in `trireme_state::invariant`, and is checked here on every new view.

pub mod acked;
pub mod addresses;
pub mod agents;
pub mod alive;
pub mod due;
pub mod epoch;
pub mod explained;
pub mod healed;
pub mod images;
pub mod launched;
pub mod leader;
pub mod log_matching;
pub mod maximum;
pub mod monotonic;
pub mod replay;
pub mod restart;
pub mod scaling;
pub mod spread;
pub mod stale;
pub mod truth;

use std::rc::Rc;
use std::time::Duration;

use crate::shared::Shared;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct Violation {
    /// The invariant.
    pub name: String,
    /// Where it fails.
    pub detail: String,
}

impl Violation {
    /// `name` does not hold.
    pub fn new(name: &str, detail: impl Into<String>) -> Self {
        Self { name: name.to_owned(), detail: detail.into() }
    }
}

impl From<trireme_state::invariant::Violation> for Violation {
    fn from(violation: trireme_state::invariant::Violation) -> Self {
        Self::new(violation.name, violation.detail)
    }
}

/// What a check comes to.
pub type Check = Result<(), Violation>;

/// Holds, or fails with what `detail` says.
///
/// # Errors
/// It does not hold.
pub fn hold(name: &str, holds: bool, detail: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation::new(name, detail())) }
}

/// All that is checked after each step, with what it remembers.
pub struct Checks {
    shared: Rc<Shared>,
    /// The one history, and the state after each of its events.
    pub truth: truth::Truth,
    acked: acked::Acked,
    /// Addresses that tasks had.
    pub addresses: addresses::Addresses,
    agents: agents::Agents,
    alive: alive::Alive,
    leaders: leader::Leaders,
    lives: restart::Lives,
    logs: log_matching::Logs,
    marks: monotonic::Marks,
    stale: stale::Stale,
}

impl Checks {
    /// Nothing was seen yet.
    pub fn new(shared: &Rc<Shared>) -> Self {
        Self {
            shared: Rc::clone(shared),
            truth: truth::Truth::new(&shared.load),
            acked: acked::Acked::default(),
            addresses: addresses::Addresses::default(),
            agents: agents::Agents::default(),
            alive: alive::Alive::default(),
            leaders: leader::Leaders::default(),
            lives: restart::Lives::default(),
            logs: log_matching::Logs::default(),
            marks: monotonic::Marks::default(),
            stale: stale::Stale::default(),
        }
    }

    /// After each step.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn step(&mut self, now: Duration) -> Check {
        for host in self.shared.controls.borrow().iter() {
            self.alive.check(host, &self.shared)?;
            self.lives.check(host)?;
            let node = host.node.borrow();
            let Some(node) = node.as_ref() else { continue };
            let probe = node.probe();
            self.marks.check(host, &probe)?;
            self.leaders.check(host, &probe)?;
            self.logs.check(host, node, &probe)?;
            self.truth.check(host, node)?;
        }
        {
            let record = &mut self.shared.record.borrow_mut();
            let may_wait = explained::may_wait(&self.shared, record, &self.truth, now);
            self.acked.check(record, &self.truth, may_wait)?;
            explained::check(record, &self.truth, may_wait)?;
        }
        self.stale.check(&self.shared, &self.truth)?;
        self.addresses.check(&self.shared)?;
        self.agents.check(&self.shared, &self.truth)
    }
}
