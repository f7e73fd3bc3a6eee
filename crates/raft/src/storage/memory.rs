//! Storage in memory that loses what was not synced: the simulation's disk. Its power may fail at an exact call.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::{Blob, Family, File, FileWriter, Files, Kv, MarkFile, Op, Space, Storage};
use crate::log::mark::Durable;

type Map = BTreeMap<(Family, Vec<u8>), Bytes>;

/// A folder of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Snapshots,
    Checkpoints,
}

/// A kind of call that changes what is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A write to the database.
    Write,
    /// A write that deletes a range: a cut, a purge.
    Cut,
    /// A sync.
    Sync,
    /// The mark of what is durable.
    Mark,
    /// A file becomes durable under its name.
    Commit,
    /// A file is removed.
    Remove,
}

/// A power failure at an exact call.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// The kind of call; any when there is none.
    pub call: Option<Call>,
    /// So many of these calls are made before it.
    pub after: u64,
    /// The call itself is made, too, and answered.
    pub done: bool,
    /// Thousandths of what was not synced that had reached the disk all the same.
    pub kept: u16,
}

#[derive(Default)]
struct Pages {
    visible: Map,
    durable: Map,
    /// Each write's changes; a write is kept or lost as a whole.
    unsynced: Vec<Vec<Op>>,
    files: BTreeMap<(Place, String), Bytes>,
    mark: Option<Bytes>,
    failing: bool,
    syncs: u64,
    off: bool,
    failure: Option<Failure>,
    failed: bool,
    free: Option<u64>,
}

impl Pages {
    fn require_power(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// A call begins. True when it is the last one.
    fn enter(&mut self, call: Call) -> io::Result<bool> {
        self.require_power()?;
        let Some(failure) = &mut self.failure else { return Ok(false) };
        if failure.call.is_some_and(|wanted| wanted != call) {
            return Ok(false);
        }
        if failure.after > 0 {
            failure.after -= 1;
            return Ok(false);
        }
        if failure.done {
            return Ok(true);
        }
        self.fail();
        self.require_power().map(|()| true)
    }

    /// The power fails. What the process sees stays as it is: it is about to be gone, too.
    fn fail(&mut self) {
        let Some(failure) = self.failure.take() else { return };
        let kept = self.unsynced.len().saturating_mul(usize::from(failure.kept)) / 1000;
        self.keep(kept);
        self.unsynced.clear();
        (self.off, self.failed) = (true, true);
    }

    /// The first so many of the writes that were not synced have reached the disk.
    fn keep(&mut self, count: usize) {
        let count = count.min(self.unsynced.len());
        let writes: Vec<Vec<Op>> = self.unsynced.drain(..count).collect();
        for op in writes.iter().flatten() {
            perform(&mut self.durable, op);
        }
    }

    /// A call ends.
    fn leave(&mut self, last: bool) {
        if last {
            self.fail();
        }
    }
}

/// A disk. Clones share it, so that a node may be crashed and started again on what it had synced.
#[derive(Clone)]
pub struct MemoryDisk {
    pages: Arc<Mutex<Pages>>,
}

impl Default for MemoryDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        let pages = Pages { mark: Some(Durable::nothing()), ..Pages::default() };
        Self { pages: Arc::new(Mutex::new(pages)) }
    }

    /// A node's storage on this disk.
    pub fn storage(&self) -> Storage {
        Storage {
            kv: Arc::new(self.clone()),
            files: Arc::new(MemoryFiles { disk: self.clone(), place: Place::Snapshots }),
            checkpoints: Arc::new(MemoryFiles { disk: self.clone(), place: Place::Checkpoints }),
            mark: Arc::new(self.clone()),
            space: Arc::new(self.clone()),
        }
    }

    /// Power is lost: everything that was not synced is gone.
    pub fn lose_power(&self) {
        let mut pages = self.lock();
        pages.visible = pages.durable.clone();
        pages.unsynced.clear();
        pages.failed = false;
    }

    /// The process that uses the disk is killed: it writes nothing any more before [`MemoryDisk::power_on`], and what it has
    /// written stays, synced or not.
    pub fn detach(&self) {
        self.lock().off = true;
    }

    /// Power is lost under whoever still uses the disk: what was not synced is gone, and nothing is written any more
    /// before [`MemoryDisk::power_on`].
    pub fn power_off(&self) {
        self.lock().off = true;
        self.lose_power();
    }

    /// The same, but of what was not synced the first `kept` writes have reached the disk all the same, as they may. They
    /// do so in order: there is one write-ahead log.
    pub fn power_off_keeping(&self, kept: usize) {
        let mut pages = self.lock();
        pages.off = true;
        pages.keep(kept);
        drop(pages);
        self.lose_power();
    }

    /// The power will fail at this call, or no longer at any.
    pub fn fail_at(&self, failure: Option<Failure>) {
        self.lock().failure = failure;
    }

    /// Whether the power has failed at a call. The process that uses the disk is to be ended at once, and the disk to be told by
    /// [`MemoryDisk::power_off`].
    pub fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// How many writes are not synced.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// The power is back, and the disk is opened. As RocksDB does it, what is found in the write-ahead log is written
    /// anew and synced.
    pub fn power_on(&self) {
        let mut pages = self.lock();
        (pages.off, pages.failed, pages.failure) = (false, false, None);
        pages.durable = pages.visible.clone();
        pages.unsynced.clear();
    }

    /// From now on so many bytes are free. A new disk has more than anyone needs.
    pub fn set_free(&self, bytes: u64) {
        self.lock().free = Some(bytes);
    }

    /// From now on, or no longer, every sync fails.
    pub fn fail_syncs(&self, failing: bool) {
        self.lock().failing = failing;
    }

    /// How often a sync was asked for.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn perform(map: &mut Map, op: &Op) {
    match op {
        Op::Put(family, key, value) => {
            map.insert((*family, key.clone()), value.clone());
        }
        Op::Delete(family, key) => {
            map.remove(&(*family, key.clone()));
        }
        Op::DeleteRange(family, from, to) => {
            if from < to {
                let range = (*family, from.clone())..(*family, to.clone());
                let keys: Vec<_> = map.range(range).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    map.remove(&key);
                }
            }
        }
    }
}

impl Kv for MemoryDisk {
    fn write(&self, ops: Vec<Op>) -> io::Result<()> {
        let mut pages = self.lock();
        let cuts = ops.iter().any(|op| matches!(op, Op::DeleteRange(..)));
        let last = pages.enter(if cuts { Call::Cut } else { Call::Write })?;
        for op in &ops {
            perform(&mut pages.visible, op);
        }
        pages.unsynced.push(ops);
        pages.leave(last);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut pages = self.lock();
        pages.syncs = pages.syncs.saturating_add(1);
        let last = pages.enter(Call::Sync)?;
        let writes = std::mem::take(&mut pages.unsynced);
        if pages.failing {
            // As kernels do: the pages are clean now, and will never reach the disk.
            return Err(io::Error::other("the disk fails its syncs"));
        }
        for op in writes.iter().flatten() {
            perform(&mut pages.durable, op);
        }
        pages.leave(last);
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Bytes>> {
        Ok(self.lock().visible.get(&(family, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> io::Result<bool>,
    ) -> io::Result<()> {
        if from >= to {
            return Ok(());
        }
        let pages = self.lock();
        for ((_, key), value) in pages.visible.range((family, from.to_vec())..(family, to.to_vec())) {
            if !more(key, value.clone())? {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(Bytes, Bytes)>> {
        let pages = self.lock();
        let found = pages
            .visible
            .range((family, from.to_vec())..)
            .take_while(|((other, _), _)| *other == family)
            .last();
        Ok(found.map(|((_, key), value)| (Bytes::copy_from_slice(key), value.clone())))
    }
}

impl Space for MemoryDisk {
    fn free(&self) -> io::Result<u64> {
        Ok(self.lock().free.unwrap_or(u64::MAX))
    }
}

impl MarkFile for MemoryDisk {
    fn read(&self) -> io::Result<Option<Bytes>> {
        Ok(self.lock().mark.clone())
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut pages = self.lock();
        let last = pages.enter(Call::Mark)?;
        pages.mark = Some(Bytes::copy_from_slice(content));
        pages.leave(last);
        Ok(())
    }
}

/// One folder. A file is durable once it is committed, and gone once it is removed.
#[derive(Clone)]
struct MemoryFiles {
    disk: MemoryDisk,
    place: Place,
}

struct MemoryFile {
    bytes: Bytes,
    folder: MemoryFiles,
    name: Mutex<Option<String>>,
}

impl File for MemoryFile {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let end = start.saturating_add(length).min(self.bytes.len());
        Ok(self.bytes.slice(start..end))
    }

    fn name(&self) -> Option<String> {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commit(&self, name: &str) -> io::Result<()> {
        let mut pages = self.folder.disk.lock();
        let last = pages.enter(Call::Commit)?;
        pages.files.insert((self.folder.place, name.to_owned()), self.bytes.clone());
        pages.leave(last);
        drop(pages);
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        Ok(())
    }
}

struct MemoryWriter {
    bytes: BytesMut,
    folder: MemoryFiles,
}

impl FileWriter for MemoryWriter {
    fn write(&mut self, part: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Blob> {
        Ok(Arc::new(MemoryFile { bytes: self.bytes.freeze(), folder: self.folder, name: Mutex::new(None) }))
    }
}

impl Files for MemoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let pages = self.disk.lock();
        let here = pages.files.keys().filter(|(place, _)| *place == self.place);
        Ok(here.map(|(_, name)| name.clone()).collect())
    }

    fn open(&self, name: &str) -> io::Result<Blob> {
        let bytes = self.disk.lock().files.get(&(self.place, name.to_owned())).cloned();
        let bytes = bytes.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))?;
        Ok(Arc::new(MemoryFile { bytes, folder: self.clone(), name: Mutex::new(Some(name.to_owned())) }))
    }

    fn create(&self) -> io::Result<Box<dyn FileWriter>> {
        Ok(Box::new(MemoryWriter { bytes: BytesMut::new(), folder: self.clone() }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut pages = self.disk.lock();
        let last = pages.enter(Call::Remove)?;
        pages.files.remove(&(self.place, name.to_owned()));
        pages.leave(last);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
