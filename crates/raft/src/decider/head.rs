//! The head: the applied state and all that is in flight. Only the decider sees it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use trireme_state::codec::CodecError;
use trireme_state::invariant::{self, Violation};
use trireme_state::{
    Applied, Decision, Entry, Event, IdSource, Outcome, Proposal, Rejection, SealedEvent, Stamp, State,
    apply_entry, decide, limits,
};

use trireme_types::planted;

use crate::clock::OfficeClock;
use crate::guard::Guard;

/// One command's events may be so long, and so may a Raft entry.
pub(crate) const ENTRY_BYTES: usize = 1024 * 1024;

/// The pure functions that the decider runs. Tests put in their own.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Command to events.
    pub decide: fn(&State, &Proposal, &mut Stamp) -> Result<Decision, Rejection>,
    /// Bytes to event, as every node will read them.
    pub open: fn(Bytes) -> Result<SealedEvent, CodecError>,
    /// What must hold after them.
    pub check: fn(&State, &State, &[Event]) -> Result<(), Violation>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { decide, open: SealedEvent::open, check: invariant::check_step }
    }
}

/// What a command came to on the head.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It has events; the head has them already.
    Entry { entry: Entry, bytes: usize, outcome: Outcome },
    /// Success without a change, or a repeat.
    Unchanged(Outcome),
    /// Refused.
    Rejected(Rejection),
}

/// The head.
pub(crate) struct Head {
    state: State,
    ids: IdSource,
    /// For a planted defect alone.
    first_ids: IdSource,
    clock: OfficeClock,
    rules: Rules,
    guard: Guard,
}

impl Head {
    pub(crate) fn new(state: State, seed: [u8; 32], clock: OfficeClock, rules: Rules, guard: Guard) -> Self {
        let ids = IdSource::from_seed(seed);
        Self { state, first_ids: ids.clone(), ids, clock, rules, guard }
    }

    /// Forgets what was in flight. Ids that were drawn stay drawn.
    pub(crate) fn rebuild(&mut self, applied: State) {
        self.state = applied;
        if planted::is("ids-drawn-twice") {
            self.ids = self.first_ids.clone();
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Decides one command and applies it to the head. A panic in any of the pure functions refuses this command
    /// and stays out of the log; the head is as before.
    pub(crate) fn decide(&mut self, proposal: &Proposal) -> Verdict {
        match catch_unwind(AssertUnwindSafe(|| self.attempt(proposal))) {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(rejection)) => Verdict::Rejected(rejection),
            Err(panic) => {
                let message = panic_text(&*panic);
                tracing::error!(request = %proposal.request_id, %message, "deciding a command panicked");
                metrics::counter!("trireme_raft_decider_panics_total").increment(1);
                Verdict::Rejected(Rejection::Defect { message })
            }
        }
    }

    fn attempt(&mut self, proposal: &Proposal) -> Result<Verdict, Rejection> {
        let mut stamp = Stamp { now: self.clock.now().max(self.state.clock()), ids: self.ids.clone() };
        let decided = (self.rules.decide)(&self.state, proposal, &mut stamp);
        self.ids = stamp.ids;
        let Decision { events, outcome } = decided?;
        if events.is_empty() {
            return Ok(Verdict::Unchanged(outcome));
        }
        self.guard.admit(&proposal.command, &self.state)?;
        limit("events of one command", events.len(), limits::EVENTS_PER_COMMAND)?;
        let sealed: Vec<SealedEvent> = events.iter().cloned().map(SealedEvent::seal).collect();
        let bytes = sealed.iter().map(|event| event.bytes().len().saturating_add(16)).sum::<usize>();
        limit("bytes of one command's events", bytes, ENTRY_BYTES)?;
        self.check_sealed(&events, &sealed)?;
        let entry = Entry {
            base: self.state.position(),
            at: stamp.now,
            actor: proposal.actor.clone(),
            request_id: proposal.request_id,
            events: sealed,
        };
        let mut next = self.state.clone();
        if apply_entry(&mut next, &entry) == Applied::Void {
            return Err(Rejection::Defect {
                message: "an entry on the head's own position is void".to_owned(),
            });
        }
        if let Err(violation) = (self.rules.check)(&self.state, &next, &events) {
            tracing::error!(request = %proposal.request_id, %violation, "a command would break an invariant");
            return Err(Rejection::Defect { message: violation.to_string() });
        }
        self.state = next;
        Ok(Verdict::Entry { entry, bytes: bytes.saturating_add(256), outcome })
    }

    /// What is in the log must read as what was decided: an event that other nodes read otherwise, or not at all, would
    /// part them from this one, or stop them all.
    fn check_sealed(&self, events: &[Event], sealed: &[SealedEvent]) -> Result<(), Rejection> {
        for (event, sealed) in events.iter().zip(sealed) {
            let read = (self.rules.open)(sealed.bytes().clone());
            if !read.as_ref().is_ok_and(|read| read.event() == event) {
                let message = match read {
                    Ok(_) => format!("an event reads as another one once it is sealed: {event:?}"),
                    Err(error) => format!("an event cannot be read once it is sealed: {error}"),
                };
                return Err(Rejection::Defect { message });
            }
        }
        Ok(())
    }
}

fn limit(what: &str, found: usize, limit: usize) -> Result<(), Rejection> {
    if found > limit {
        return Err(Rejection::LimitExceeded { what: what.to_owned(), limit: limit as u64 });
    }
    Ok(())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
