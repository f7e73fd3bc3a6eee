//! Trimming: records up to a checkpoint are deleted, in batches. Each batch sets the start in the same write, its number and
//! its hash, so that the history verifies from its start after a crash at any point.

use std::io;
use std::sync::atomic::Ordering;

use prost::Message;
use trireme_rpc::log;
use trireme_state::Position;
use trireme_types::{Sequence, Timestamp};

use super::{Extent, History, broken, hash_of, put_extent};
use crate::error::corrupt;
use crate::log::keys;
use crate::storage::{Family, Op};

/// Records that one batch deletes.
const BATCH: u64 = 8_192;

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
        *extent = after;
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
            Some((_, end)) if end.sequence == last => Ok(end),
            _ => self.position_at(last),
        }
    }

    /// The checkpoint must be of this history, else what it stands for would be lost.
    fn check_leads_to(&self, to: Position, extent: Extent) -> io::Result<()> {
        let here = match extent.gap {
            Some((_, end)) if end.sequence == to.sequence => end,
            Some((from, end)) if from.sequence < to.sequence && to.sequence < end.sequence => return Ok(()),
            _ => self.position_at(to.sequence)?,
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

    /// Gives back the room of what is deleted. The deletion must be durable.
    pub(crate) fn reclaim(&self) -> io::Result<()> {
        let start = self.extent().start.sequence.get();
        self.kv.reclaim(Family::History, &keys::number(0), &keys::number(start))
    }

    /// The last event that happened before `moment`, as far as it is known here; at least the one before the first record.
    pub(crate) fn last_before(&self, moment: Timestamp, applied: Sequence) -> io::Result<Sequence> {
        let extent = self.extent();
        let mut older = extent.gap.map_or(extent.start, |(_, to)| to).sequence.get();
        let mut younger = applied.get().saturating_add(1);
        // Time never goes back in the history.
        while older.saturating_add(1) < younger {
            let middle = older.saturating_add(younger.saturating_sub(older) / 2);
            let record = self.record_at(Sequence::new(middle))?;
            if record.at_millis < moment.millis() {
                older = middle;
            } else {
                younger = middle;
            }
        }
        Ok(Sequence::new(older))
    }
}
