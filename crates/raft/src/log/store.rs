//! The log as openraft wants it. Appends are written without a sync and are readable at once; the flusher makes
//! them durable and says so. The vote is durable before it is answered.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use prost::Message;
use trireme_rpc::log;
use trireme_types::planted;

use super::flusher::Flusher;
use super::keys;
use super::mark::{Durable, Mark};
use super::tail::{Tail, size};
use crate::config::{LogEntry, LogId, TypeConfig, Vote};
use crate::error::{Error, corrupt};
use crate::storage::{Family, Kv, Op};
use crate::wire;

/// One read of entries stops after so many bytes.
const READ_BYTES: usize = 2 * 1024 * 1024;

struct Shared {
    kv: Arc<dyn Kv>,
    mark: Mark,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    tail: Tail,
    vote: Option<Vote>,
    last: Option<LogId>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, range: Range<u64>, limit: usize) -> io::Result<Vec<LogEntry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(found) = self.memory().tail.get(range.clone(), limit) {
            return Ok(found);
        }
        let mut found: Vec<LogEntry> = Vec::new();
        let mut bytes = 0usize;
        self.kv.scan(
            Family::Log,
            &keys::number(range.start),
            &keys::number(range.end),
            &mut |key, value| {
                let entry = decode(value)?;
                let index = entry.log_id.index;
                if keys::to_number(key) != Some(index) {
                    return Err(corrupt(format!("log entry {index} lies under another index")));
                }
                if found.last().is_some_and(|last| last.log_id.index.checked_add(1) != Some(index)) {
                    return Err(corrupt(format!("the log has a hole before entry {index}")));
                }
                bytes = bytes.saturating_add(size(&entry));
                found.push(entry);
                Ok(bytes <= limit)
            },
        )?;
        Ok(found)
    }
}

fn log_id(kv: &dyn Kv, key: &[u8]) -> io::Result<Option<LogId>> {
    let Some(bytes) = kv.get(Family::Meta, key)? else { return Ok(None) };
    wire::log_id_from_wire(log::LogId::decode(bytes).map_err(corrupt)?).map(Some)
}

fn decode(bytes: bytes::Bytes) -> io::Result<LogEntry> {
    wire::entry_from_wire(log::LogEntry::decode(bytes).map_err(corrupt)?)
}

/// The log and the vote.
pub struct LogStore {
    shared: Arc<Shared>,
    flusher: Flusher,
}

impl LogStore {
    /// The log in `kv`, made durable by `flusher`. `mark` is kept up by [`LogWatch::mark`].
    ///
    /// # Errors
    /// Storage that fails, or a log that is behind its mark.
    pub fn open(kv: Arc<dyn Kv>, flusher: Flusher, mark: Mark) -> Result<Self, Error> {
        let memory = look(&*kv).map_err(Error::Storage)?;
        mark.check(memory.durable())?;
        let memory = Mutex::new(memory);
        Ok(Self { shared: Arc::new(Shared { kv, mark, memory }), flusher })
    }

    /// Looks at the log beside openraft.
    pub fn watch(&self) -> LogWatch {
        LogWatch { shared: Arc::clone(&self.shared) }
    }
}

fn look(kv: &dyn Kv) -> io::Result<Memory> {
    let vote = match kv.get(Family::Meta, keys::VOTE)? {
        None => None,
        Some(bytes) => Some(wire::vote_from_wire(Some(log::Vote::decode(bytes).map_err(corrupt)?))?),
    };
    let purged = log_id(kv, keys::PURGED)?;
    let from = purged.map_or(0, |id| id.index.saturating_add(1));
    let last = match kv.last(Family::Log, &keys::number(from))? {
        None => purged,
        Some((_, value)) => Some(decode(value)?.log_id),
    };
    let committed = log_id(kv, keys::COMMITTED)?;
    Ok(Memory { tail: Tail::default(), vote, last, committed, purged })
}

impl Memory {
    fn durable(&self) -> Durable {
        Durable { vote: self.vote, last: self.last, purged: self.purged }
    }
}

/// What is in the log, for those who check what others say of it.
#[derive(Clone)]
pub struct LogWatch {
    shared: Arc<Shared>,
}

impl LogWatch {
    /// What was written; a sync that starts after this call makes it durable.
    pub fn written(&self) -> Durable {
        self.shared.memory().durable()
    }

    /// The last entry that is known to be committed.
    pub fn committed(&self) -> Option<LogId> {
        self.shared.memory().committed
    }

    /// The id of the entry at `index`, if it is in the log or the last purged one.
    ///
    /// # Errors
    /// Storage that fails.
    pub fn id_at(&self, index: u64) -> io::Result<Option<LogId>> {
        let (last, purged) = {
            let memory = self.shared.memory();
            (memory.last, memory.purged)
        };
        for known in [last, purged].into_iter().flatten() {
            if known.index == index {
                return Ok(Some(known));
            }
        }
        let found = self.shared.read(index..index.saturating_add(1), 1)?;
        Ok(found.first().map(|entry| entry.log_id))
    }

    /// Marks what is durable once `sync` has returned.
    ///
    /// # Errors
    /// The sync or the mark's file failed.
    pub async fn mark(&self, sync: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let cuts = self.shared.mark.cuts();
        let written = self.written();
        if !self.shared.mark.is_behind(written) {
            return Ok(());
        }
        sync.await?;
        let mark = self.shared.mark.clone();
        crate::snapshot::blocking(move || mark.raise(written, cuts)).await
    }
}

/// Reads the log, beside the writer.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        self.shared.read(to_range(&range), usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.memory().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.shared.read(start..end, READ_BYTES)
    }
}

fn to_range(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let found = self.shared.memory().durable();
        Ok(LogState { last_purged_log_id: found.purged, last_log_id: found.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader { shared: Arc::clone(&self.shared) }
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let value = wire::vote_to_wire(vote).encode_to_vec().into();
        self.shared.kv.write(vec![Op::Put(Family::Meta, keys::VOTE.to_vec(), value)])?;
        if !planted::is("vote-without-sync") {
            self.flusher.sync().await?;
        }
        self.shared.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        // It needs no sync of its own: a node that lost it applies again from an earlier place.
        let op = match committed {
            Some(id) => {
                let value = wire::log_id_to_wire(id).encode_to_vec().into();
                Op::Put(Family::Meta, keys::COMMITTED.to_vec(), value)
            }
            None => Op::Delete(Family::Meta, keys::COMMITTED.to_vec()),
        };
        self.shared.kv.write(vec![op])?;
        self.shared.memory().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<LogEntry> = entries.into_iter().collect();
        let ops = entries.iter().map(|entry| {
            let value = wire::entry_to_wire(entry).encode_to_vec().into();
            Op::Put(Family::Log, keys::number(entry.log_id.index), value)
        });
        self.shared.kv.write(ops.collect())?;
        {
            let mut memory = self.shared.memory();
            for entry in entries {
                memory.last = memory.last.max(Some(entry.log_id));
                memory.tail.push(entry);
            }
        }
        if planted::is("append-without-sync") {
            callback.io_completed(Ok(()));
            return Ok(());
        }
        self.flusher.entries(callback).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |id| id.index.saturating_add(1));
        {
            let memory = self.shared.memory();
            if memory.committed.is_some_and(|committed| committed.index >= from) {
                let committed = memory.committed.map_or_else(String::new, |id| id.to_string());
                return Err(corrupt(format!(
                    "the leader's log contradicts what is committed here: it would cut the log before {committed}"
                )));
            }
        }
        self.shared.mark.lower(last)?;
        {
            let mut memory = self.shared.memory();
            memory.tail.cut_from(from);
            memory.last = memory.last.min(last).max(memory.purged);
        }
        if planted::is("cut-log-keeps-its-end") {
            return Ok(());
        }
        self.shared.kv.write(vec![Op::DeleteRange(Family::Log, keys::number(from), keys::end())])
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let from = self.shared.memory().purged.map_or(0, |id| id.index.saturating_add(1));
        let more = u64::from(planted::is("purge-one-entry-more"));
        let value = wire::log_id_to_wire(upto).encode_to_vec().into();
        // In one batch, so that no crash leaves entries gone without the mark that says so.
        let mut ops = vec![Op::Put(Family::Meta, keys::PURGED.to_vec(), value)];
        if from <= upto.index {
            let end = keys::number(upto.index.saturating_add(1).saturating_add(more));
            ops.push(Op::DeleteRange(Family::Log, keys::number(from), end));
        }
        self.shared.kv.write(ops)?;
        let mut memory = self.shared.memory();
        memory.tail.cut_to(upto.index.saturating_add(more));
        memory.purged = Some(upto);
        memory.last = memory.last.max(Some(upto));
        Ok(())
    }
}
