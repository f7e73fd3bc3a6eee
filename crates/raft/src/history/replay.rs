//! The state as of any kept event: the nearest checkpoint at or before it, and a replay of the records behind, checked at
//! the end against the hash that the history says it has.

use std::io;

use prost::Message as _;
use trireme_rpc::log::HistoryRecord;
use trireme_rpc::{convert, log};
use trireme_state::{Entry, Position, SealedEvent, State, apply_entry};
use trireme_types::{Sequence, Timestamp};

use super::{Extent, History, broken, follow};
use crate::batch::{actor_from_wire, hash_from_bytes};
use crate::checkpoint::Checkpoints;
use crate::error::{Error, corrupt};
use crate::log::keys;
use crate::storage::Family;

/// Records that are read at once.
const READ: usize = 4_096;

fn damaged(error: io::Error) -> Error {
    Error::History { reason: error.to_string() }
}

impl History {
    /// The state after event `sequence`, given how far this node has applied.
    ///
    /// # Errors
    /// It is trimmed, elsewhere, has not happened yet, or the history is damaged.
    pub fn state_at(
        &self,
        checkpoints: &Checkpoints,
        sequence: Sequence,
        applied: Position,
    ) -> Result<State, Error> {
        if sequence > applied.sequence {
            return Err(Error::NotYet { asked: sequence, last: applied.sequence });
        }
        loop {
            let start = self.extent().start;
            let done = self.replay_to(checkpoints, sequence, applied);
            // It may have been trimmed under the reader.
            if done.is_ok() || self.settled().start == start {
                return done;
            }
        }
    }

    fn trimmed(&self, asked: Sequence) -> Option<Error> {
        let start = self.extent().start.sequence;
        (asked < start).then(|| Error::Trimmed { asked, first: start.next() })
    }

    fn replay_to(
        &self,
        checkpoints: &Checkpoints,
        sequence: Sequence,
        applied: Position,
    ) -> Result<State, Error> {
        if let Some(trimmed) = self.trimmed(sequence) {
            return Err(trimmed);
        }
        let extent = self.extent();
        let mut state = base(checkpoints, extent, sequence)?;
        while state.position().sequence < sequence {
            let position = state.position();
            let left = sequence.get().saturating_sub(position.sequence.get());
            let limit = usize::try_from(left).unwrap_or(READ).min(READ);
            for record in self.records_behind(position, limit, applied)? {
                apply(&mut state, &record).map_err(damaged)?;
            }
        }
        let end = self.known_end(sequence, extent, applied).map_err(damaged)?;
        if state.position() != end {
            return Err(damaged(broken(sequence.get())));
        }
        Ok(state)
    }

    fn records_behind(
        &self,
        position: Position,
        limit: usize,
        applied: Position,
    ) -> Result<Vec<HistoryRecord>, Error> {
        self.read_here(position.sequence.next(), limit, applied, self.extent()).map_err(damaged)
    }

    /// What the history says the position is at `sequence`: by the state, by an edge, or by the record behind.
    pub(super) fn known_end(
        &self,
        sequence: Sequence,
        extent: Extent,
        applied: Position,
    ) -> io::Result<Position> {
        let gap = extent.gap;
        let edges = [Some(applied), Some(extent.start), gap.map(|(from, _)| from), gap.map(|(_, to)| to)];
        if let Some(edge) = edges.into_iter().flatten().find(|edge| edge.sequence == sequence) {
            return Ok(edge);
        }
        let next = sequence.next().get();
        let value = self.kv.get(Family::History, &keys::number(next))?;
        let record = log::HistoryRecord::decode(value.ok_or_else(|| broken(next))?).map_err(corrupt)?;
        Ok(Position { sequence, hash: hash_from_bytes(&record.previous_hash)? })
    }
}

/// The state to begin with: the newest checkpoint behind which everything is here.
fn base(checkpoints: &Checkpoints, extent: Extent, sequence: Sequence) -> Result<State, Error> {
    let whole = |from: Sequence| match extent.gap {
        Some((before, after)) => sequence <= before.sequence || after.sequence <= from,
        None => true,
    };
    let mut failure = None;
    for position in checkpoints.positions().into_iter().rev() {
        let (at, start) = (position.sequence, extent.start.sequence);
        if at < start || at > sequence || !whole(at) {
            continue;
        }
        match checkpoints.load(position) {
            Ok(state) => return Ok(state),
            Err(error) => failure = Some(error),
        }
    }
    if extent.start == Position::default() && whole(extent.start.sequence) {
        return Ok(State::new());
    }
    if !whole(extent.start.sequence) {
        let reason = "a snapshot jumped over it, and it is not fetched yet".to_owned();
        return Err(Error::Elsewhere { asked: sequence, reason });
    }
    let none = || corrupt(format!("there is no checkpoint at or before {sequence}"));
    Err(damaged(failure.unwrap_or_else(none)))
}

/// Applies one record, which must follow the state.
pub(crate) fn apply(state: &mut State, record: &HistoryRecord) -> io::Result<()> {
    let next = follow(state.position(), record)?;
    let entry = Entry {
        base: state.position(),
        at: Timestamp::from_millis(record.at_millis),
        actor: actor_from_wire(record.actor.clone())?,
        request_id: convert::request_from_bytes(&record.request_id).map_err(corrupt)?,
        events: vec![SealedEvent::open(record.event.clone()).map_err(corrupt)?],
    };
    apply_entry(state, &entry);
    if state.position() == next { Ok(()) } else { Err(broken(next.sequence.get())) }
}
