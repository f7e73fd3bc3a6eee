//! The history: every event by its sequence number, each record carrying the hash of the one before. Records are
//! written as entries are applied, without a sync of their own; a node that lost some writes the same bytes again
//! when it applies the log again. What it did not lose it leaves as it is.
//!
//! What may go is the state's to say ([`trireme_state::State::trimmed`]); each node deletes it up to a checkpoint ([`trim`]),
//! from which the rest is replayed ([`replay`]).

pub(crate) mod replay;
mod trim;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use prost::Message;
use trireme_rpc::{convert, log};
use trireme_state::store::Record;
use trireme_state::{ChainHash, Entry, Position, SealedEvent};
use trireme_types::{Sequence, Timestamp};

use crate::batch::{actor_from_wire, actor_to_wire, hash_from_bytes, hash_to_bytes};
use crate::error::corrupt;
use crate::log::keys;
use crate::storage::{Family, Kv, Op};

/// Bytes of records that one read returns at most.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// What this node holds: all after `start`, but for a gap that a snapshot left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The event before the first record.
    pub start: Position,
    /// The event before the first missing record, and the last missing one.
    pub gap: Option<(Position, Position)>,
}

impl Extent {
    /// The first record from which on nothing is missing here.
    pub fn first(&self) -> Sequence {
        self.gap.map_or(self.start, |(_, to)| to).sequence.next()
    }
}

/// A part of the history.
#[derive(Debug)]
pub enum Part {
    /// Records in order, checked against each other's hashes.
    Records(Vec<log::HistoryRecord>),
    /// They are no longer kept.
    Trimmed {
        /// The first record that is.
        first: Sequence,
    },
    /// They are kept, but not on this node: a peer has them.
    Elsewhere,
}

/// The history on this node.
pub struct History {
    kv: Arc<dyn Kv>,
    /// Whoever changes it holds the lock until the change is written.
    extent: Mutex<Extent>,
    /// The same, for readers, who must not wait for a write.
    shown: RwLock<Extent>,
    /// The extent's start, for the state machine.
    floor: AtomicU64,
    /// The last record when this was opened. A machine that dies loses records from the end only: they are written in order. One
    /// that is damaged is not written anew; [`crate::verify`] finds it.
    recorded: u64,
}

impl History {
    /// The history in `kv`.
    pub fn open(kv: Arc<dyn Kv>) -> io::Result<Self> {
        let extent = match kv.get(Family::Meta, keys::HISTORY_EXTENT)? {
            None => Extent::default(),
            Some(bytes) => extent_from_wire(log::HistoryExtent::decode(bytes).map_err(corrupt)?)?,
        };
        let floor = AtomicU64::new(extent.start.sequence.get());
        // Where the end cannot be read, all that is applied again is written again.
        let last = kv.last(Family::History, &keys::number(0)).ok().flatten();
        let recorded = last.and_then(|(key, _)| keys::to_number(&key)).unwrap_or_default();
        Ok(Self { kv, extent: Mutex::new(extent), shown: RwLock::new(extent), floor, recorded })
    }

    /// What is here.
    pub fn extent(&self) -> Extent {
        *self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, once a change that is under way is written: who missed a record learns whether it was being trimmed.
    fn settled(&self) -> Extent {
        *self.lock()
    }

    /// Shows a change that is written.
    fn show(&self, held: &mut Extent, next: Extent) {
        *held = next;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    fn lock(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writes that record an applied entry. What is trimmed stays so when the log is applied again, and what is here is
    /// not written twice.
    pub(crate) fn record(&self, entry: &Entry, ops: &mut Vec<Op>) {
        let floor = self.floor.load(Ordering::Relaxed).max(self.recorded);
        let mut position = entry.base;
        if position.sequence.get().saturating_add(entry.events.len() as u64) <= floor {
            return;
        }
        for (number, sealed) in entry.events.iter().enumerate() {
            if number > 0 {
                position = entry.after(position, entry.events[number - 1].bytes());
            }
            if position.sequence.get() < floor {
                continue;
            }
            let record = log::HistoryRecord {
                sequence: position.sequence.next().get(),
                previous_hash: hash_to_bytes(position.hash),
                at_millis: entry.at.millis(),
                actor: Some(actor_to_wire(&entry.actor)),
                request_id: convert::request_to_bytes(entry.request_id),
                event: sealed.bytes().clone(),
            };
            ops.push(Op::Put(Family::History, keys::number(record.sequence), record.encode_to_vec().into()));
        }
    }

    /// At most `limit` records from `from` on up to `applied`, the state's position. Each is checked against the one
    /// before it, the first too, and the one at `applied` against the state's own hash.
    pub fn read(&self, from: Sequence, limit: usize, applied: Position) -> io::Result<Part> {
        let from = from.max(Sequence::new(1));
        loop {
            let extent = self.extent();
            if let Some(absent) = absent(from, extent) {
                return Ok(absent);
            }
            match self.read_here(from, limit, applied, extent) {
                // It was trimmed while it was read.
                Err(_) if self.settled() != extent => {}
                read => return read.map(Part::Records),
            }
        }
    }

    fn read_here(
        &self,
        from: Sequence,
        limit: usize,
        applied: Position,
        extent: Extent,
    ) -> io::Result<Vec<log::HistoryRecord>> {
        let mut records: Vec<log::HistoryRecord> = Vec::new();
        if limit == 0 || from > applied.sequence {
            return Ok(records);
        }
        let mut position = self.before(from, extent)?;
        let mut bytes = 0usize;
        let end = keys::number(applied.sequence.get().saturating_add(1));
        self.kv.scan(Family::History, &keys::number(from.get()), &end, &mut |_, value| {
            bytes = bytes.saturating_add(value.len());
            let record = log::HistoryRecord::decode(value).map_err(corrupt)?;
            position = follow(position, &record)?;
            if position.sequence == applied.sequence && position != applied {
                return Err(broken(applied.sequence.get()));
            }
            records.push(record);
            Ok(records.len() < limit && bytes < READ_BYTES)
        })?;
        if records.is_empty() {
            return Err(broken(from.get()));
        }
        // What the last one says is known by the one behind it: it may be the very one that was changed.
        if self.known_end(position.sequence, extent, applied)? != position {
            return Err(broken(position.sequence.get()));
        }
        Ok(records)
    }

    /// The position before `from`: from the extent where it begins there, else from the record before.
    fn before(&self, from: Sequence, extent: Extent) -> io::Result<Position> {
        let previous = from.get().saturating_sub(1);
        let edges = [Some(extent.start), extent.gap.map(|(_, to)| to)];
        if let Some(edge) = edges.into_iter().flatten().find(|edge| edge.sequence.get() == previous) {
            return Ok(edge);
        }
        let value = self.kv.get(Family::History, &keys::number(previous))?;
        let record = log::HistoryRecord::decode(value.ok_or_else(|| broken(previous))?).map_err(corrupt)?;
        if record.sequence != previous {
            return Err(broken(previous));
        }
        Ok(Position { sequence: Sequence::new(previous), hash: hash_of(&record)? })
    }

    /// A snapshot has brought the state to `position`. What lies before it and was never applied here is missing.
    pub(crate) fn jump(&self, position: Position) -> io::Result<()> {
        let mut extent = self.lock();
        let before = match extent.gap {
            Some((_, to)) if to == position => return Ok(()),
            Some((from, _)) => from,
            None => match self.end(extent.start)? {
                end if end.sequence >= position.sequence => return Ok(()),
                end => end,
            },
        };
        let next = Extent { start: extent.start, gap: Some((before, position)) };
        self.kv.write(vec![put_extent(next)])?;
        self.show(&mut extent, next);
        Ok(())
    }

    /// The last record's position, given where the records start.
    fn end(&self, start: Position) -> io::Result<Position> {
        let from = keys::number(start.sequence.get().saturating_add(1));
        match self.kv.last(Family::History, &from)? {
            None => Ok(start),
            Some((_, value)) => {
                let record = log::HistoryRecord::decode(value).map_err(corrupt)?;
                Ok(Position { sequence: Sequence::new(record.sequence), hash: hash_of(&record)? })
            }
        }
    }

    /// Writes records that a peer sent for the gap. They must follow what is here; the last ones must lead to the
    /// snapshot's hash, else nothing of them is believed. True once the gap is closed.
    pub(crate) fn fill(&self, records: &[log::HistoryRecord]) -> io::Result<bool> {
        let mut extent = self.lock();
        let Some((mut from, to)) = extent.gap else { return Ok(true) };
        let mut ops = Vec::new();
        for record in records {
            if from.sequence >= to.sequence {
                break;
            }
            from = follow(from, record)?;
            ops.push(Op::Put(Family::History, keys::number(record.sequence), record.encode_to_vec().into()));
        }
        if from.sequence == to.sequence && from != to {
            return Err(broken(to.sequence.get()));
        }
        let gap = (from != to).then_some((from, to));
        let next = Extent { start: extent.start, gap };
        ops.push(put_extent(next));
        self.kv.write(ops)?;
        self.show(&mut extent, next);
        Ok(gap.is_none())
    }
}

/// Why records are not here from `from` on, if they are not.
fn absent(from: Sequence, extent: Extent) -> Option<Part> {
    if from <= extent.start.sequence {
        return Some(Part::Trimmed { first: extent.start.sequence.next() });
    }
    extent.gap.is_some_and(|(_, to)| from <= to.sequence).then_some(Part::Elsewhere)
}

fn broken(sequence: u64) -> io::Error {
    corrupt(format!("the history's chain is broken at record {sequence}"))
}

/// The position after a record that must follow `position`.
pub(crate) fn follow(position: Position, record: &log::HistoryRecord) -> io::Result<Position> {
    let next = position.sequence.next();
    let follows =
        record.sequence == next.get() && record.previous_hash.as_ref() == position.hash.0.as_slice();
    if !follows {
        return Err(broken(next.get()));
    }
    Ok(Position { sequence: next, hash: hash_of(record)? })
}

/// A record's own hash.
pub(crate) fn hash_of(record: &log::HistoryRecord) -> io::Result<ChainHash> {
    let previous = hash_from_bytes(&record.previous_hash)?;
    let actor = actor_from_wire(record.actor.clone())?;
    let request = convert::request_from_bytes(&record.request_id).map_err(corrupt)?;
    Ok(previous.next(Timestamp::from_millis(record.at_millis), &actor, request, &record.event))
}

/// A record with its event decoded.
pub fn decode(record: log::HistoryRecord) -> io::Result<Record> {
    Ok(Record {
        sequence: Sequence::new(record.sequence),
        hash: hash_of(&record)?,
        at: Timestamp::from_millis(record.at_millis),
        request_id: convert::request_from_bytes(&record.request_id).map_err(corrupt)?,
        event: SealedEvent::open(record.event).map_err(corrupt)?.event().clone(),
        actor: actor_from_wire(record.actor)?,
    })
}

/// A place in the history as a message.
pub(crate) fn position_to_wire(position: Position) -> log::Position {
    log::Position { sequence: position.sequence.get(), hash: hash_to_bytes(position.hash) }
}

/// And back.
pub(crate) fn position_from_wire(position: &log::Position) -> io::Result<Position> {
    Ok(Position { sequence: Sequence::new(position.sequence), hash: hash_from_bytes(&position.hash)? })
}

pub(crate) fn put_extent(extent: Extent) -> Op {
    let message = log::HistoryExtent {
        start: Some(position_to_wire(extent.start)),
        gap_from: extent.gap.map(|(from, _)| position_to_wire(from)),
        gap_to: extent.gap.map(|(_, to)| position_to_wire(to)),
    };
    Op::Put(Family::Meta, keys::HISTORY_EXTENT.to_vec(), message.encode_to_vec().into())
}

pub(crate) fn extent_from_wire(extent: log::HistoryExtent) -> io::Result<Extent> {
    let read = |position: log::Position| position_from_wire(&position);
    let gap = match (extent.gap_from, extent.gap_to) {
        (Some(from), Some(to)) => Some((read(from)?, read(to)?)),
        _ => None,
    };
    Ok(Extent { start: extent.start.map(read).transpose()?.unwrap_or_default(), gap })
}

#[cfg(test)]
mod tests;
