//! The streams on this machine's disk: a folder for each, bounded in bytes each and together. What does not fit any more goes, the oldest
//! first.
//!
//! A record is with the system when `append` returns: it outlives the agent. It is on the disk within a second ([`Store::sync`]), or at once when a client
//! waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use trireme_rpc::logs::Record;

use crate::clock::wall_nanos;

use super::read::{Merge, Span};
use super::segment::Segment;
use super::stream::{Freed, Stream, StreamName};
use super::{DROPPED, Limits, STORED_BYTES};

/// By how much a container's lines may be out of order, in nanoseconds: what it says on two ways is stamped by two threads.
const DISORDER: u64 = 5_000_000_000;

/// A record that has no number yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// Of a container's lines: when the runtime had each, in nanoseconds.
    pub stamps: Vec<u64>,
    /// The text.
    pub message: String,
}

/// Which of a container's newest lines are there already. What is read again is read in the order in which it was stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// From where to read again, in nanoseconds; 0: from the beginning.
    pub from: u64,
    /// How many lines there are of each stamp from there on.
    stamps: BTreeMap<u64, u32>,
    newest: u64,
}

impl Seen {
    /// Whether a line is there already, by the stamps of its parts. Each is asked for once.
    pub fn take(&mut self, stamps: &[u64]) -> bool {
        let Some(first) = stamps.first().filter(|_| !self.stamps.is_empty()) else { return false };
        if *first > self.newest.saturating_add(DISORDER) {
            self.stamps.clear();
            return false;
        }
        if *first < self.from {
            return true;
        }
        let there = self.stamps.contains_key(first);
        for stamp in stamps {
            if let Some(left) = self.stamps.get_mut(stamp) {
                *left -= 1;
                if *left == 0 {
                    self.stamps.remove(stamp);
                }
            }
        }
        there
    }
}

/// The streams of one agent.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    limits: Limits,
    /// Whether records are shipped off the node: what goes unshipped is counted then.
    ships: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: BTreeMap<StreamName, Stream>,
    bytes: u64,
    last_number: u64,
}

impl Inner {
    fn give_up(&mut self, freed: Freed) {
        self.bytes = self.bytes.saturating_sub(freed.bytes);
        if freed.unshipped > 0 {
            metrics::counter!(DROPPED, "reason" => "unshipped").increment(freed.unshipped);
        }
    }
}

impl Store {
    /// Opens what is in `folder`. What cannot be read of it is left out, and said.
    ///
    /// # Errors
    /// There is no such folder, and it cannot be made.
    pub fn open(folder: &Path, limits: Limits, ships: bool) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut inner = Inner::default();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if !path.is_dir() {
                continue;
            }
            match Stream::open(&path) {
                Ok(mut stream) => {
                    stream.shipped = ships.then_some(0);
                    inner.bytes += stream.bytes();
                    inner.last_number = inner.last_number.max(stream.last_number());
                    inner.streams.insert(stream.name.clone(), stream);
                }
                Err(error) => {
                    tracing::warn!(folder = %path.display(), %error, "a log stream cannot be read");
                }
            }
        }
        metrics::gauge!(STORED_BYTES).set(approximately(inner.bytes));
        Ok(Self { folder: folder.to_owned(), limits, ships, inner: Mutex::new(inner) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a stream, if it is not there. False when it was.
    ///
    /// # Errors
    /// It cannot be made, or there are too many.
    pub fn create(&self, name: &StreamName) -> io::Result<bool> {
        self.created(&mut self.lock(), name)
    }

    fn created(&self, inner: &mut Inner, name: &StreamName) -> io::Result<bool> {
        if inner.streams.contains_key(name) {
            return Ok(false);
        }
        if inner.streams.len() >= self.limits.streams {
            self.drop_stalest(inner)?;
        }
        let mut stream =
            Stream::create(self.folder.join(folder_of(name)), name.clone(), millis(wall_nanos()))?;
        stream.shipped = self.ships.then_some(0);
        inner.streams.insert(name.clone(), stream);
        Ok(true)
    }

    /// Adds records to a stream, which is made if it is not there.
    ///
    /// # Errors
    /// The disk does not take them: none of this call's last piece is there.
    pub fn append(&self, name: &StreamName, records: Vec<NewRecord>, synced: bool) -> io::Result<()> {
        let mut inner = self.lock();
        self.created(&mut inner, name)?;
        let mut last_number = inner.last_number;
        let Some(stream) = inner.streams.get_mut(name) else { return Ok(()) };
        let (mut added, mut freed) = (0, Freed::default());
        let mut written = Ok(());
        for piece in pieces(records, self.limits.segment) {
            let numbered: Vec<Record> = piece.into_iter().map(|new| number(new, &mut last_number)).collect();
            match stream.append(&numbered, &self.limits) {
                Ok((bytes, gone)) => {
                    added += bytes;
                    freed.bytes += gone.bytes;
                    freed.unshipped += gone.unshipped;
                }
                // The caller tries all of it again.
                Err(error) => {
                    written = Err(error);
                    break;
                }
            }
        }
        if synced && written.is_ok() {
            written = stream.sync();
        }
        inner.last_number = last_number;
        inner.bytes += added;
        inner.give_up(freed);
        if let Err(error) = self.make_room(&mut inner) {
            tracing::warn!(%error, "an old log cannot be removed");
        }
        metrics::gauge!(STORED_BYTES).set(approximately(inner.bytes));
        written
    }

    /// Gives up the oldest segments of the streams that were written to the longest ago.
    fn make_room(&self, inner: &mut Inner) -> io::Result<()> {
        while inner.bytes > self.limits.total {
            let oldest = |stream: &&mut Stream| {
                stream.segments.front().map_or(u64::MAX, |segment| segment.summary.last_ingested)
            };
            let stalest = inner.streams.values_mut().filter(|one| one.segments.len() > 1).min_by_key(oldest);
            match stalest.map(Stream::drop_oldest).transpose()?.flatten() {
                Some(gone) => inner.give_up(gone),
                // Only newest segments are left: whole streams go.
                None if inner.streams.len() > 1 && self.drop_stalest(inner)? => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Gives up the stream that was written to the longest ago. False when there is none.
    fn drop_stalest(&self, inner: &mut Inner) -> io::Result<bool> {
        let stalest = inner.streams.values().min_by_key(|stream| stream.touched());
        let Some(stream) = stalest else { return Ok(false) };
        stream.delete()?;
        let shipped = stream.shipped.is_none_or(|shipped| shipped >= stream.last_number());
        let records: u64 = stream.segments.iter().map(|segment| segment.summary.records).sum();
        let (name, bytes) = (stream.name.clone(), stream.bytes());
        inner.streams.remove(&name);
        inner.give_up(Freed { bytes, unshipped: if shipped { 0 } else { records } });
        Ok(true)
    }

    /// Which of a container's newest lines a stream has.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn seen(&self, name: &StreamName) -> io::Result<Seen> {
        let segments: Vec<Segment> = match self.lock().streams.get(name) {
            Some(stream) => stream.segments.iter().rev().take(2).rev().cloned().collect(),
            None => return Ok(Seen::default()),
        };
        let mut stamps: BTreeMap<u64, u32> = BTreeMap::new();
        for segment in &segments {
            segment.read(|record, _| {
                for stamp in record.stamps {
                    *stamps.entry(stamp).or_default() += 1;
                    while let Some(first) = stamps.first_entry()
                        && first.key().saturating_add(2 * DISORDER) < stamp
                    {
                        first.remove();
                    }
                }
                true
            })?;
        }
        let newest = stamps.last_key_value().map_or(0, |(stamp, _)| *stamp);
        let from = newest.saturating_sub(DISORDER);
        stamps.retain(|stamp, _| *stamp >= from);
        Ok(Seen { from, stamps, newest })
    }

    /// Records of streams in one order, each with its stream's name, and whether there is more.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, names: &[StreamName], span: &Span) -> io::Result<(Vec<(StreamName, Record)>, bool)> {
        let mut merge = Merge::new(span);
        for (index, name) in names.iter().enumerate() {
            let segments: Vec<Segment> = match self.lock().streams.get(name) {
                Some(stream) => stream.segments.iter().cloned().collect(),
                None => continue,
            };
            merge.add(index, &segments)?;
        }
        let (found, more) = merge.finish();
        let named = found.into_iter().map(|(index, record)| (names[index].clone(), record));
        Ok((named.collect(), more))
    }

    /// The streams of a group that are not older than `from`, by name.
    pub fn streams(&self, region: &str, group: &str, from: u64) -> Vec<trireme_rpc::logs::Stream> {
        let inner = self.lock();
        let first = StreamName { region: region.to_owned(), group: group.to_owned(), stream: String::new() };
        let of_group = inner.streams.range(first..);
        let of_group = of_group.take_while(|(name, _)| name.region == region && name.group == group);
        of_group.filter(|(_, stream)| stream.touched() >= from).map(|(_, stream)| stream.about()).collect()
    }

    /// Deletes a stream. False when it was not there.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub fn delete(&self, name: &StreamName) -> io::Result<bool> {
        let mut inner = self.lock();
        let Some(stream) = inner.streams.get(name) else { return Ok(false) };
        let bytes = stream.bytes();
        stream.delete()?;
        inner.streams.remove(name);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        metrics::gauge!(STORED_BYTES).set(approximately(inner.bytes));
        Ok(true)
    }

    /// Gives up what a group does not keep any more: whole segments that are older.
    pub fn expire(&self, region: &str, group: &str, kept_from: u64) {
        let mut inner = self.lock();
        let mut freed = 0;
        for stream in
            inner.streams.values_mut().filter(|one| one.name.region == region && one.name.group == group)
        {
            while let Some(oldest) = stream.segments.front()
                && oldest.summary.last_at < kept_from
                && let Ok(Some(gone)) = stream.drop_oldest()
            {
                freed += gone.bytes;
            }
        }
        inner.bytes = inner.bytes.saturating_sub(freed);
    }

    /// Puts on the disk what was added since. What fails is tried again at the next call.
    pub fn sync(&self) {
        let dirty: Vec<(StreamName, Segment)> = {
            let mut inner = self.lock();
            let dirty = inner.streams.values_mut().filter(|stream| stream.dirty);
            dirty
                .filter_map(|stream| {
                    stream.dirty = false;
                    Some((stream.name.clone(), stream.segments.back()?.clone()))
                })
                .collect()
        };
        for (name, segment) in dirty {
            if let Err(error) = segment.sync().and_then(|()| segment.note()) {
                tracing::warn!(%error, "a log is not on the disk yet");
                if let Some(stream) = self.lock().streams.get_mut(&name) {
                    stream.dirty = true;
                }
            }
        }
    }

    /// Whether something was added since.
    pub fn is_dirty(&self) -> bool {
        self.lock().streams.values().any(|stream| stream.dirty)
    }

    /// Up to which record each stream was shipped.
    pub fn shipped(&self) -> Vec<(StreamName, u64)> {
        let inner = self.lock();
        inner.streams.values().filter_map(|stream| Some((stream.name.clone(), stream.shipped?))).collect()
    }

    /// Streams with records that were not shipped, and after which one.
    pub fn unshipped(&self) -> Vec<(StreamName, u64)> {
        let inner = self.lock();
        let waiting = inner.streams.values().filter_map(|stream| {
            let shipped = stream.shipped?;
            (stream.last_number() > shipped).then(|| (stream.name.clone(), shipped))
        });
        waiting.collect()
    }

    /// A stream's first records after one, at most so many bytes, in the order in which they came.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn after(
        &self,
        name: &StreamName,
        number: u64,
        limit: usize,
        bytes: usize,
    ) -> io::Result<Vec<Record>> {
        let segments: Vec<Segment> = match self.lock().streams.get(name) {
            Some(stream) => {
                stream.segments.iter().filter(|one| one.summary.last_number > number).cloned().collect()
            }
            None => return Ok(Vec::new()),
        };
        let (mut found, mut held) = (Vec::new(), 0);
        for segment in segments {
            segment.read(|record, _| {
                if record.number > number {
                    held += record.message.len();
                    found.push(record);
                }
                found.len() < limit && held < bytes
            })?;
            if found.len() >= limit || held >= bytes {
                break;
            }
        }
        Ok(found)
    }

    /// A stream was shipped up to a record.
    pub fn ship(&self, name: &StreamName, number: u64) {
        if let Some(stream) = self.lock().streams.get_mut(name) {
            stream.shipped = Some(number);
        }
    }

    /// Whether there is such a stream.
    pub fn has(&self, name: &StreamName) -> bool {
        self.lock().streams.contains_key(name)
    }

    /// The names of all streams.
    pub fn names(&self) -> BTreeSet<StreamName> {
        self.lock().streams.keys().cloned().collect()
    }
}

fn number(new: NewRecord, last: &mut u64) -> Record {
    let now = wall_nanos();
    *last = now.max(*last + 1);
    Record { at: new.at, ingested_at: millis(now), number: *last, stamps: new.stamps, message: new.message }
}

/// In parts, so that a long batch does not make a segment twice as long as it may be.
fn pieces(records: Vec<NewRecord>, bytes: u64) -> Vec<Vec<NewRecord>> {
    let mut pieces = Vec::new();
    let (mut piece, mut held) = (Vec::new(), 0);
    for record in records {
        held += record.message.len() as u64;
        piece.push(record);
        if held >= bytes {
            pieces.push(std::mem::take(&mut piece));
            held = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

pub(super) fn folder_of(name: &StreamName) -> String {
    let mut hash = Sha256::new();
    for part in [&name.region, &name.group, &name.stream] {
        // No name has this sign.
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

const fn millis(nanos: u64) -> u64 {
    nanos / 1_000_000
}

#[allow(clippy::cast_precision_loss)]
fn approximately(bytes: u64) -> f64 {
    bytes as f64
}
