//! Trimming: records up to a checkpoint are deleted, in batches. Each batch sets the start in the same write, its number and
//! its hash, so that the history verifies from its start after a crash at any point.

use std::io;
use std::sync::atomic::Ordering;

use prost::Message;
use trireme_rpc::log;
use trireme_state::Position;
use trireme_types::{Sequence, Timestamp};

use super::{Extent, History, broken, hash_of, put_extent};
use crate::batch::hash_from_bytes;
use crate::error::corrupt;
use crate::log::keys;
use crate::storage::{Family, Op};

/// Records that one batch deletes.
const BATCH: u64 = 8_192;
/// Unreadable records that a search for a moment passes over at once.
const PROBES: u64 = 16;

impl History {
    /// Deletes the next records up to and with `to`, the place of a checkpoint that is durable here. True while there are more.
    ///
    /// # Errors
    /// Storage that fails; a history that does not lead to `to`. Nothing is deleted then.
    pub(crate) fn trim(&self, to: Position) -> io::Result<bool> {
        let mut extent = self.lock();
        if to.sequence <= extent.start.sequence {
            return Ok(false);
        }
        self.check_leads_to(to, *extent)?;
        let next = self.step(to, *extent)?;
        let gap = match extent.gap {
            Some((_, end)) if end.sequence <= next.sequence => None,
            Some((from, end)) if from.sequence < next.sequence => Some((next, end)),
            gap => gap,
        };
        let first = keys::number(extent.start.sequence.get().saturating_add(1));
        let end = keys::number(next.sequence.get().saturating_add(1));
        let after = Extent { start: next, gap };
        self.kv.write(vec![Op::DeleteRange(Family::History, first, end), put_extent(after)])?;
        let deleted = next.sequence.get().saturating_sub(extent.start.sequence.get());
        metrics::counter!("trireme_history_trimmed_records_total").increment(deleted);
        self.show(&mut extent, after);
        self.floor.store(next.sequence.get(), Ordering::Relaxed);
        Ok(next.sequence < to.sequence)
    }

    /// Where the next batch ends: at `to`, or at a record before it.
    fn step(&self, to: Position, extent: Extent) -> io::Result<Position> {
        let last = Sequence::new(extent.start.sequence.get().saturating_add(BATCH));
        let missing = extent.gap.is_some_and(|(from, end)| from.sequence < last && last < end.sequence);
        if to.sequence <= last || missing {
            return Ok(to);
        }
        match extent.gap {
            Some((from, _)) if from.sequence == last => Ok(from),
            Some((_, end)) if end.sequence == last => Ok(end),
            _ => match self.chained_at(last) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(%error, to = to.sequence.get(), "a record that may go is damaged: it goes in one step with all others");
                    Ok(to)
                }
                position => position,
            },
        }
    }

    /// The position at `sequence`, if the record there and the one behind it agree.
    fn chained_at(&self, sequence: Sequence) -> io::Result<Position> {
        let position = self.position_at(sequence)?;
        let behind = self.record_at(sequence.next())?;
        if hash_from_bytes(&behind.previous_hash)? != position.hash {
            return Err(broken(sequence.next().get()));
        }
        Ok(position)
    }

    /// The checkpoint must be of this history, else what it stands for would be lost.
    fn check_leads_to(&self, to: Position, extent: Extent) -> io::Result<()> {
        let here = match extent.gap {
            Some((_, end)) if end.sequence == to.sequence => end,
            Some((from, end)) if from.sequence < to.sequence && to.sequence < end.sequence => return Ok(()),
            _ => self.position_at(to.sequence).or_else(|error| {
                // A damaged one goes; the one behind it says what it was.
                let behind = self.record_at(to.sequence.next()).map_err(|_| error)?;
                Ok::<_, io::Error>(Position {
                    sequence: to.sequence,
                    hash: hash_from_bytes(&behind.previous_hash)?,
                })
            })?,
        };
        if here != to {
            return Err(corrupt(format!("the checkpoint at {} is of another history", to.sequence)));
        }
        Ok(())
    }

    fn record_at(&self, sequence: Sequence) -> io::Result<log::HistoryRecord> {
        let value = self.kv.get(Family::History, &keys::number(sequence.get()))?;
        let value = value.ok_or_else(|| broken(sequence.get()))?;
        let record = log::HistoryRecord::decode(value).map_err(corrupt)?;
        if record.sequence != sequence.get() {
            return Err(broken(sequence.get()));
        }
        Ok(record)
    }

    fn position_at(&self, sequence: Sequence) -> io::Result<Position> {
        Ok(Position { sequence, hash: hash_of(&self.record_at(sequence)?)? })
    }

    /// Gives back the room of what is deleted, unless that is done already. The deletion must be durable.
    pub(crate) fn reclaim(&self) -> io::Result<()> {
        let start = self.extent().start.sequence;
        let last = keys::number(start.get());
        let done = self.kv.get(Family::Meta, keys::HISTORY_RECLAIMED)?;
        if start == Sequence::default() || done.is_some_and(|done| done == last) {
            return Ok(());
        }
        self.kv.reclaim(Family::History, &keys::number(0), &last)?;
        self.kv.write(vec![Op::Put(Family::Meta, keys::HISTORY_RECLAIMED.to_vec(), last.into())])
    }

    /// The last event that happened before `moment`, as far as it is known here; at least the one before the first record. A
    /// damaged record counts as younger, unless one behind it is known to be older.
    pub(crate) fn last_before(&self, moment: Timestamp, applied: Sequence) -> io::Result<Sequence> {
        let extent = self.extent();
        let (mut older, mut younger) = (extent.start.sequence.get(), applied.get().saturating_add(1));
        if let Some((from, to)) = extent.gap {
            // What is missing is older only if what is behind it is.
            let behind = to.sequence.next().get();
            match self.readable(behind, younger)? {
                Some(record) if record.at_millis < moment.millis() => older = record.sequence,
                _ => younger = from.sequence.next().get(),
            }
        }
        // Time never goes back in the history.
        while older.saturating_add(1) < younger {
            let middle = older.saturating_add(younger.saturating_sub(older) / 2);
            match self.readable(middle, younger)? {
                Some(record) if record.at_millis < moment.millis() => older = record.sequence,
                _ => younger = middle,
            }
        }
        Ok(Sequence::new(older))
    }

    /// The first readable one of some records.
    fn readable(&self, from: u64, end: u64) -> io::Result<Option<log::HistoryRecord>> {
        for sequence in from..end.min(from.saturating_add(PROBES)) {
            match self.record_at(Sequence::new(sequence)) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                read => return read.map(Some),
            }
        }
        Ok(None)
    }
}
