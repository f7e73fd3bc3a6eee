//! What was decided on this node and is in flight: for each batch its entries, and the head after it, which is what the state
//! machine comes to when it applies that batch.
//!
//! A state is a pure function of its events, so the leader need not work each of them out twice. The state machine takes a
//! head only for the very batch that the decider of this process made, and only in the state on which that was decided.
//! Everything else it reads from the batch's bytes and applies event by event, as every other node does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trireme_state::{Entry, State};
use trireme_types::Sequence;

use super::flight::ENTRIES;

/// One batch, as it was decided.
#[derive(Debug)]
pub struct Decided {
    /// Its entries, before they became bytes.
    pub entries: Vec<Entry>,
    /// The head after them. `None` when it was not looked at before it held more.
    pub head: Option<State>,
}

impl Decided {
    /// A batch, and the head when it was sent off: an entry for which the batch had no room may be in it already.
    pub(crate) fn new(entries: Vec<Entry>, head: &State) -> Self {
        let head = (end(&entries) == Some(head.position().sequence)).then(|| head.clone());
        Self { entries, head }
    }
}

/// The number of the last event of a batch.
pub(crate) fn end(entries: &[Entry]) -> Option<Sequence> {
    let last = entries.last()?;
    let events = u64::try_from(last.events.len()).ok()?;
    last.base.sequence.get().checked_add(events).map(Sequence::new)
}

/// What is in flight, the oldest first. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Heads(Arc<Mutex<Flying>>);

#[derive(Debug, Default)]
struct Flying {
    /// Each batch has a number of its own for as long as the process lives.
    last: u64,
    decided: VecDeque<(u64, Decided)>,
}

impl Heads {
    fn lock(&self) -> MutexGuard<'_, Flying> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a batch that leaves; by the number it can be taken.
    pub(crate) fn note(&self, decided: Decided) -> u64 {
        let mut flying = self.lock();
        while flying.decided.len() >= ENTRIES {
            flying.decided.pop_front();
        }
        flying.last = flying.last.saturating_add(1);
        let number = flying.last;
        flying.decided.push_back((number, decided));
        number
    }

    /// Takes a batch, once; those before it are forgotten.
    pub(crate) fn take(&self, number: u64) -> Option<Decided> {
        let mut flying = self.lock();
        let place = flying.decided.iter().position(|(known, _)| *known == number)?;
        flying.decided.drain(..=place).next_back().map(|(_, decided)| decided)
    }

    /// Forgets all: what is in flight is not what will be applied.
    pub(crate) fn clear(&self) {
        self.lock().decided.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided() -> Decided {
        Decided { entries: Vec::new(), head: None }
    }

    #[test]
    fn a_batch_is_taken_once_and_what_was_passed_over_is_forgotten() {
        let heads = Heads::default();
        let [first, second, third] = [decided(), decided(), decided()].map(|decided| heads.note(decided));
        assert!(heads.take(second).is_some());
        assert!(heads.take(second).is_none());
        assert!(heads.take(first).is_none());
        heads.clear();
        assert!(heads.take(third).is_none());
        let fourth = heads.note(decided());
        assert!(![first, second, third].contains(&fourth), "no number comes again");
    }

    #[test]
    fn there_are_no_more_than_may_be_in_flight() {
        let heads = Heads::default();
        (0..=ENTRIES).for_each(|_| {
            heads.note(decided());
        });
        assert_eq!(heads.lock().decided.len(), ENTRIES);
    }
}
