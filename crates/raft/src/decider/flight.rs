//! What the decider has promised nothing about yet: entries in flight, and answers that must wait for them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use trireme_state::store::Committed;
use trireme_state::{Outcome, Rejection};
use trireme_types::{Sequence, planted};

/// Entries in flight at most.
pub(crate) const ENTRIES: usize = 64;
/// With so many in flight the log has enough to do: what comes meanwhile goes together in the next.
pub(crate) const BUSY: usize = 2;
/// Bytes in flight at most.
pub(crate) const BYTES: usize = 8 * 1024 * 1024;

/// Why the decider gives no outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Refused for good; nothing has changed.
    Rejected(Rejection),
    /// It may be in the log, or not.
    Unknown(String),
    /// This node does not decide now, and the command was not looked at.
    NotDeciding,
}

/// What a caller gets.
pub type Answer = Result<Committed, Refusal>;
pub(crate) type Reply = oneshot::Sender<Answer>;

/// One command of an entry in flight.
#[derive(Debug)]
pub(crate) struct Passenger {
    pub reply: Reply,
    pub outcome: Outcome,
    /// The last event's number.
    pub sequence: Sequence,
}

#[derive(Debug)]
struct Flight {
    passengers: Vec<Passenger>,
    bytes: usize,
    since: Duration,
}

/// An answer that needs no entry. It leaves once all that the head held at its decision is applied and the leader is
/// confirmed after it.
#[derive(Debug)]
struct Held {
    reply: Reply,
    answer: Answer,
    /// The last entry in flight at the decision.
    after: u64,
    /// The first round of confirmation that starts after the decision.
    round: u64,
}

/// The book of both.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: BTreeMap<u64, Flight>,
    bytes: usize,
    last: u64,
    /// The first entry that was refused or void since the head was built.
    lost: Option<u64>,
    held: VecDeque<Held>,
    rounds_started: u64,
    round_confirmed: u64,
}

fn answer(reply: Reply, answer: Answer) {
    // The caller may have given up; that is its right.
    let _gone = reply.send(answer);
}

impl Flights {
    pub(crate) fn has_room(&self) -> bool {
        self.flights.len() < ENTRIES && self.bytes < BYTES
    }

    /// Whether another entry would only wait behind those in flight.
    pub(crate) fn is_busy(&self) -> bool {
        self.flights.len() >= BUSY
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// True when an entry was refused or void: the head is not what will be applied.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.lost.is_some()
    }

    /// Notes an entry that leaves; returns its number.
    pub(crate) fn depart(&mut self, passengers: Vec<Passenger>, bytes: usize, since: Duration) -> u64 {
        self.last = self.last.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        self.flights.insert(self.last, Flight { passengers, bytes, since });
        self.last
    }

    /// Answers an entry before its result; for a planted defect alone.
    pub(crate) fn answer_all(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        for passenger in flight.passengers.drain(..) {
            let Passenger { reply, outcome, sequence } = passenger;
            answer(reply, Ok(Committed { sequence, outcome }));
        }
    }

    /// An entry's result: for each passenger whether it was applied, or why nobody knows.
    pub(crate) fn arrive(&mut self, number: u64, result: Result<&[bool], &str>, now: Duration) {
        let Some(flight) = self.flights.remove(&number) else { return };
        self.bytes = self.bytes.saturating_sub(flight.bytes);
        let applied = result.unwrap_or_default();
        let whole = applied.len() == flight.passengers.len() && applied.iter().all(|applied| *applied);
        let keeps = planted::is("refused-proposal-keeps-the-head");
        if !whole && !keeps {
            self.lost = Some(self.lost.map_or(number, |lost| lost.min(number)));
        }
        let reason = result.err().unwrap_or("an entry before it was lost");
        for (place, passenger) in flight.passengers.into_iter().enumerate() {
            let outcome = if applied.get(place) == Some(&true) {
                Ok(Committed { sequence: passenger.sequence, outcome: passenger.outcome })
            } else {
                Err(Refusal::Unknown(reason.to_owned()))
            };
            answer(passenger.reply, outcome);
        }
        let took = now.saturating_sub(flight.since);
        metrics::histogram!("trireme_raft_commit_seconds").record(took.as_secs_f64());
        self.release();
    }

    /// Holds an answer that needs no entry.
    pub(crate) fn hold(&mut self, reply: Reply, answer: Answer) {
        if planted::is("rejection-answered-early") {
            let _gone = reply.send(answer);
            return;
        }
        let round = self.rounds_started.saturating_add(1);
        self.held.push_back(Held { reply, answer, after: self.last, round });
    }

    /// True when an answer waits for a round of confirmation that has not started.
    pub(crate) fn wants_round(&self) -> bool {
        self.held.back().is_some_and(|held| held.round > self.rounds_started)
    }

    pub(crate) fn start_round(&mut self) -> u64 {
        self.rounds_started = self.rounds_started.saturating_add(1);
        self.rounds_started
    }

    /// A round's result. Without confirmation its answers are unknown: another leader may have gone on.
    pub(crate) fn end_round(&mut self, round: u64, result: Result<(), String>) {
        match result {
            Ok(()) => self.round_confirmed = self.round_confirmed.max(round),
            Err(reason) => {
                let (failed, kept) = self.held.drain(..).partition(|held: &Held| held.round <= round);
                self.held = kept;
                let failed: VecDeque<Held> = failed;
                for held in failed {
                    answer(held.reply, Err(Refusal::Unknown(reason.clone())));
                }
            }
        }
        self.release();
    }

    /// Lets the answers go for which both conditions hold; they are in order.
    fn release(&mut self) {
        while let Some(first) = self.held.front() {
            let lost = self.lost.is_some_and(|lost| lost <= first.after);
            let flying = self.flights.keys().next().is_some_and(|oldest| *oldest <= first.after);
            let confirmed = first.round <= self.round_confirmed;
            if !lost && (flying || !confirmed) {
                return;
            }
            let Some(held) = self.held.pop_front() else { return };
            let result = if lost {
                Err(Refusal::Unknown("an entry before it was lost".to_owned()))
            } else {
                held.answer
            };
            answer(held.reply, result);
        }
    }

    /// Everything that was in flight has landed and the head is built anew. Answers that were decided on what was
    /// lost are unknown; older ones may still wait for their round.
    pub(crate) fn rebuilt(&mut self) {
        let Some(lost) = self.lost.take() else { return };
        let (kept, unknown): (VecDeque<Held>, VecDeque<Held>) =
            self.held.drain(..).partition(|held| held.after < lost);
        self.held = kept;
        for held in unknown {
            answer(held.reply, Err(Refusal::Unknown("an entry before it was lost".to_owned())));
        }
    }

    /// The office is over: nobody here knows what becomes of the rest.
    pub(crate) fn abandon(&mut self, reason: &str) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            for passenger in flight.passengers {
                answer(passenger.reply, Err(Refusal::Unknown(reason.to_owned())));
            }
        }
        for held in self.held.drain(..) {
            answer(held.reply, Err(Refusal::Unknown(reason.to_owned())));
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passenger(sequence: u64) -> (Passenger, oneshot::Receiver<Answer>) {
        let (reply, receiver) = oneshot::channel();
        (Passenger { reply, outcome: Outcome::default(), sequence: Sequence::new(sequence) }, receiver)
    }

    fn held(flights: &mut Flights) -> oneshot::Receiver<Answer> {
        let (reply, receiver) = oneshot::channel();
        flights.hold(reply, Err(Refusal::Rejected(Rejection::TaskNotFound)));
        receiver
    }

    fn is_unknown(receiver: &mut oneshot::Receiver<Answer>) -> bool {
        matches!(receiver.try_recv(), Ok(Err(Refusal::Unknown(_))))
    }

    #[test]
    fn a_rejection_waits_for_what_the_head_held_and_for_the_leader() {
        let mut flights = Flights::default();
        let (first, mut first_answer) = passenger(1);
        let number = flights.depart(vec![first], 10, Duration::ZERO);
        let mut rejection = held(&mut flights);
        assert!(flights.wants_round());
        let round = flights.start_round();
        assert!(!flights.wants_round());
        flights.end_round(round, Ok(()));
        assert!(rejection.try_recv().is_err(), "the entry before it is still in flight");
        flights.arrive(number, Ok(&[true]), Duration::ZERO);
        assert!(matches!(first_answer.try_recv(), Ok(Ok(_))));
        assert!(matches!(rejection.try_recv(), Ok(Err(Refusal::Rejected(_)))));
    }

    #[test]
    fn a_round_that_began_before_the_decision_confirms_nothing() {
        let mut flights = Flights::default();
        let mut first = held(&mut flights);
        let round = flights.start_round();
        let mut second = held(&mut flights);
        flights.end_round(round, Ok(()));
        assert!(matches!(first.try_recv(), Ok(Err(Refusal::Rejected(_)))));
        assert!(second.try_recv().is_err());
        assert!(flights.wants_round());
        let round = flights.start_round();
        flights.end_round(round, Err("no quorum".to_owned()));
        assert!(is_unknown(&mut second));
    }

    #[test]
    fn a_lost_entry_makes_what_was_decided_after_it_unknown_and_nothing_before() {
        let mut flights = Flights::default();
        let (one, mut one_answer) = passenger(1);
        let (two, mut two_answer) = passenger(2);
        let first = flights.depart(vec![one], 10, Duration::ZERO);
        let mut before = held(&mut flights);
        let second = flights.depart(vec![two], 10, Duration::ZERO);
        let mut after = held(&mut flights);
        let round = flights.start_round();
        flights.arrive(second, Err("the lease lapsed"), Duration::ZERO);
        assert!(flights.is_poisoned());
        assert!(is_unknown(&mut two_answer));
        flights.end_round(round, Ok(()));
        assert!(before.try_recv().is_err());
        flights.arrive(first, Ok(&[true]), Duration::ZERO);
        assert!(matches!(one_answer.try_recv(), Ok(Ok(_))));
        assert!(matches!(before.try_recv(), Ok(Err(Refusal::Rejected(_)))));
        assert!(is_unknown(&mut after));
        flights.rebuilt();
        assert!(!flights.is_poisoned());
    }

    #[test]
    fn what_was_decided_on_a_lost_entry_stays_unknown_behind_an_answer_that_waits() {
        let mut flights = Flights::default();
        let mut before = held(&mut flights);
        let (one, _answer) = passenger(1);
        let number = flights.depart(vec![one], 10, Duration::ZERO);
        let mut after = held(&mut flights);
        flights.arrive(number, Err("refused"), Duration::ZERO);
        flights.rebuilt();
        assert!(is_unknown(&mut after));
        let round = flights.start_round();
        flights.end_round(round, Ok(()));
        assert!(matches!(before.try_recv(), Ok(Err(Refusal::Rejected(_)))));
    }

    #[test]
    fn void_is_unknown_and_poisons() {
        let mut flights = Flights::default();
        let (one, mut one_answer) = passenger(1);
        let (two, mut two_answer) = passenger(2);
        let number = flights.depart(vec![one, two], 10, Duration::ZERO);
        flights.arrive(number, Ok(&[true, false]), Duration::ZERO);
        assert!(matches!(one_answer.try_recv(), Ok(Ok(_))));
        assert!(is_unknown(&mut two_answer));
        assert!(flights.is_poisoned());
    }

    #[test]
    fn there_are_limits() {
        let mut flights = Flights::default();
        flights.depart(Vec::new(), BYTES, Duration::ZERO);
        assert!(!flights.has_room());
        let mut flights = Flights::default();
        (0..ENTRIES).for_each(|_| {
            flights.depart(Vec::new(), 1, Duration::ZERO);
        });
        assert!(!flights.has_room());
    }
}
