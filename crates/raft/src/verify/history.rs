//! The history: the chain from its start to its end, and the replay.

use std::collections::BTreeMap;
use std::io;

use prost::Message;
use trireme_rpc::log::{HistoryExtent, HistoryRecord};
use trireme_state::hash::state_hash;
use trireme_state::{Position, State, StateHash};
use trireme_types::Sequence;

use super::files::{self, Checkpoint};
use super::{Report, Subject, Tip};
use crate::error::corrupt;
use crate::history::{Extent, extent_from_wire, follow, hash_of, replay};
use crate::log::keys;
use crate::storage::Family;

/// Records that are read at once.
const READ: usize = 1_024;

/// Checks the history up to where `tip` says that it goes.
///
/// # Errors
/// The check was given up.
pub(super) fn check(
    subject: &mut Subject<'_>,
    tip: Option<&Tip>,
    checkpoints: &[Checkpoint],
    report: &mut Report,
) -> io::Result<()> {
    let extent = match extent(subject) {
        Ok(extent) => extent,
        Err(error) => {
            report.problem("history", "its extent", error);
            return Ok(());
        }
    };
    let limit = tip.map_or(u64::MAX, |tip| tip.last.sequence.get());
    let mut walk = Walk::new(extent, tip, checkpoints);
    walk.begin(subject, report)?;
    loop {
        let (from, end) = (walk.next(), limit.saturating_add(1));
        let (records, bytes) = match read(subject, from, end) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                report.problem("history", format!("behind event {}", walk.position.sequence), error);
                break;
            }
        };
        subject.pace(bytes)?;
        let last = records.len() < READ;
        for record in records {
            walk.step(subject, record, report)?;
        }
        if last || report.problems.len() >= super::PROBLEMS {
            break;
        }
    }
    walk.end(report);
    Ok(())
}

fn extent(subject: &Subject<'_>) -> io::Result<Extent> {
    match subject.kv.get(Family::Meta, keys::HISTORY_EXTENT)? {
        None => Ok(Extent::default()),
        Some(bytes) => extent_from_wire(HistoryExtent::decode(bytes).map_err(corrupt)?),
    }
}

type Records = Vec<(u64, io::Result<HistoryRecord>)>;

fn read(subject: &Subject<'_>, from: u64, end: u64) -> io::Result<(Records, usize)> {
    let (mut found, mut bytes) = (Vec::new(), 0usize);
    subject.kv.scan(Family::History, &keys::number(from), &keys::number(end), &mut |key, value| {
        bytes = bytes.saturating_add(value.len());
        let at = keys::to_number(key).ok_or_else(|| corrupt("a record lies under no number"))?;
        found.push((at, HistoryRecord::decode(value).map_err(corrupt)));
        Ok(found.len() < READ)
    })?;
    Ok((found, bytes))
}

/// On the way through the history.
struct Walk<'a> {
    extent: Extent,
    tip: Option<&'a Tip>,
    /// The states that are known by their hashes.
    checkpoints: BTreeMap<Sequence, &'a Checkpoint>,
    /// Where the chain has to pass, and what says so.
    places: BTreeMap<Sequence, (Position, &'static str)>,
    position: Position,
    /// The replayed state; `None` where there is nothing to replay from.
    state: Option<State>,
    /// Whether the chain holds since the last place that is known.
    holds: bool,
    records: u64,
    replayed: u64,
    compared: u64,
    /// The last state whose hash was compared.
    hash: Option<(Sequence, StateHash)>,
}

impl<'a> Walk<'a> {
    fn new(extent: Extent, tip: Option<&'a Tip>, checkpoints: &'a [Checkpoint]) -> Self {
        let mut places = BTreeMap::new();
        for one in checkpoints {
            places.insert(one.position.sequence, (one.position, "a checkpoint"));
        }
        for (mark, last) in tip.iter().flat_map(|tip| tip.marks.iter().map(|mark| (*mark, tip.last))) {
            debug_assert!(mark.sequence <= last.sequence, "marks lie before the log's end");
            places.insert(mark.sequence, (mark, "the log"));
        }
        if let Some(tip) = tip {
            places.insert(tip.state.position().sequence, (tip.state.position(), "the state"));
        }
        Self {
            extent,
            tip,
            checkpoints: checkpoints.iter().map(|one| (one.position.sequence, one)).collect(),
            places,
            position: extent.start,
            state: None,
            holds: true,
            records: 0,
            replayed: 0,
            compared: 0,
            hash: None,
        }
    }

    fn next(&self) -> u64 {
        self.position.sequence.next().get()
    }

    fn begin(&mut self, subject: &mut Subject<'_>, report: &mut Report) -> io::Result<()> {
        if self.position == Position::default() {
            self.state = Some(State::new());
            return Ok(());
        }
        self.state = self.load(subject, report)?;
        if self.state.is_none() {
            let reason = "there is no sound checkpoint there, so that nothing behind can be replayed";
            report.problem("history", format!("its start, event {}", self.position.sequence), reason);
        }
        Ok(())
    }

    fn load(&self, subject: &mut Subject<'_>, report: &mut Report) -> io::Result<Option<State>> {
        let found = self.checkpoints.get(&self.position.sequence);
        let Some(found) = found.filter(|found| found.position == self.position) else { return Ok(None) };
        match files::load(subject, found) {
            Ok(state) => Ok(Some(state)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                report.problem("checkpoint", found.name.clone(), error);
                Ok(None)
            }
        }
    }

    /// Over what a snapshot jumped over: it is not here.
    fn jump(&mut self, subject: &mut Subject<'_>, report: &mut Report) -> io::Result<()> {
        let Some((from, to)) = self.extent.gap.filter(|(from, _)| from.sequence == self.position.sequence)
        else {
            return Ok(());
        };
        if self.holds && from != self.position {
            report.problem(
                "history",
                format!("event {}", from.sequence),
                "it does not lead to the gap behind it",
            );
        }
        report.checked(format!(
            "history: events {} to {} are not here; a running node fetches them from another",
            from.sequence.next(),
            to.sequence
        ));
        (self.position, self.holds) = (to, true);
        self.state = self.load(subject, report)?;
        Ok(())
    }

    fn step(
        &mut self,
        subject: &mut Subject<'_>,
        (at, record): (u64, io::Result<HistoryRecord>),
        report: &mut Report,
    ) -> io::Result<()> {
        self.jump(subject, report)?;
        if at <= self.position.sequence.get() {
            // Left behind in the gap by an interrupted fetch.
            return Ok(());
        }
        self.records = self.records.saturating_add(1);
        let followed =
            record.and_then(|record| Ok((follow(self.position, &record), hash_of(&record)?, record)));
        let (next, own, record) = match followed {
            Ok(found) => found,
            Err(error) => {
                report.problem("history", format!("event {at}"), error);
                self.lose(Position { sequence: Sequence::new(at), ..self.position });
                return Ok(());
            }
        };
        let own = Position { sequence: Sequence::new(at), hash: own };
        match next {
            Ok(next) => {
                self.replay(&record, report);
                self.position = next;
            }
            Err(error) => {
                // Behind a record that could not be read nobody knows what should be here.
                if self.holds {
                    report.problem("history", format!("event {at} or the one before it"), error);
                }
                self.lose(own);
                self.holds = true;
            }
        }
        self.compare(report);
        if self.state.is_none() && self.checkpoints.contains_key(&self.position.sequence) {
            self.state = self.load(subject, report)?;
        }
        Ok(())
    }

    /// The chain is broken: goes on from `position`, without a state.
    fn lose(&mut self, position: Position) {
        (self.position, self.state, self.holds) = (position, None, false);
    }

    fn replay(&mut self, record: &HistoryRecord, report: &mut Report) {
        let Some(state) = &mut self.state else { return };
        match replay::apply(state, record) {
            Ok(()) => self.replayed = self.replayed.saturating_add(1),
            Err(error) => {
                report.problem("history", format!("event {}", record.sequence), error);
                self.state = None;
            }
        }
    }

    /// Holds the chain and the replayed state against everything else that is known of this place.
    fn compare(&mut self, report: &mut Report) {
        let sequence = self.position.sequence;
        if let Some((place, what)) = self.places.get(&sequence)
            && *place != self.position
        {
            let reason = format!(
                "the history's hash is {} here, and {what} has {}: an event at or before it was changed",
                self.position.hash, place.hash
            );
            report.problem("history", format!("event {sequence}"), reason);
        }
        let checkpoint = self.checkpoints.get(&sequence).filter(|found| found.position == self.position);
        if let Some(found) = checkpoint {
            self.compare_states(found.hash, "the checkpoint", report);
        }
        let tip = self.tip.filter(|tip| tip.state.position() == self.position);
        if let Some(tip) = tip {
            let hash = state_hash(&tip.state);
            report.state_hash = Some(hash);
            self.compare_states(hash, "the node's state", report);
        }
    }

    fn compare_states(&mut self, expected: StateHash, what: &'static str, report: &mut Report) {
        let Some(state) = &self.state else { return };
        let found = state_hash(state);
        self.compared = self.compared.saturating_add(1);
        self.hash = Some((self.position.sequence, found));
        if found != expected {
            let reason = format!("a replay of the history comes to hash {found}, and {what} has {expected}");
            report.problem("state", format!("event {}", self.position.sequence), reason);
        }
    }

    fn end(mut self, report: &mut Report) {
        if let Some(tip) = self.tip {
            if tip.state.position() == Position::default() || self.records == 0 {
                self.compare(report);
            }
            if self.position.sequence < tip.least.sequence && report.is_sound() {
                let reason = format!("it ends there, and the snapshot goes to event {}", tip.least.sequence);
                report.problem("history", format!("event {}", self.position.sequence), reason);
            }
        }
        let first = self.extent.start.sequence.next();
        report.checked(format!(
            "history: {} records from event {first} to {}, {} replayed, {} states compared by their hashes",
            self.records, self.position.sequence, self.replayed, self.compared
        ));
        if let Some((sequence, hash)) = self.hash {
            report.checked(format!("state: event {sequence}, state hash {hash}"));
        }
    }
}
