//! Storage behind two small traits, so that a simulation can put its own under everything above: [`Kv`] holds
//! log, votes and history, [`Files`] the snapshots and the checkpoints.
//!
//! [`rocks`] and [`disk`] are real; [`memory`] forgets what was not synced, as a machine does that loses power.

pub mod disk;
pub mod memory;
pub mod rocks;

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

/// A family of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Log entries by index.
    Log,
    /// Vote, committed, purged, identity.
    Meta,
    /// Events by sequence number.
    History,
    /// What is known about snapshots.
    Snapshots,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Log, Self::Meta, Self::History, Self::Snapshots];

    /// The name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Meta => "raft_meta",
            Self::History => "history",
            Self::Snapshots => "snapshots",
        }
    }
}

/// One change. The changes of one [`Kv::write`] are atomic.
#[derive(Debug, Clone)]
pub enum Op {
    /// Sets a key.
    Put(Family, Vec<u8>, Bytes),
    /// Removes a key.
    Delete(Family, Vec<u8>),
    /// Removes the keys from the first to just before the second.
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// An ordered key-value store with one write-ahead log.
pub trait Kv: Send + Sync + 'static {
    /// Makes the changes, visible to every reader at once but not durable before a [`Kv::sync`].
    fn write(&self, ops: Vec<Op>) -> io::Result<()>;
    /// Makes durable what was written before.
    fn sync(&self) -> io::Result<()>;
    /// Reads a key.
    fn get(&self, family: Family, key: &[u8]) -> io::Result<Option<Bytes>>;
    /// Reads keys in order from `from` to just before `to` while `more`, given a value, says to go on.
    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        more: &mut dyn FnMut(&[u8], Bytes) -> io::Result<bool>,
    ) -> io::Result<()>;
    /// The last key of a family that is at or after `from`, with its value.
    fn last(&self, family: Family, from: &[u8]) -> io::Result<Option<(Bytes, Bytes)>>;
    /// Gives back the room of the keys from `from` up to and with `last`, which are deleted already, and durably so. It
    /// may take long.
    fn reclaim(&self, _family: Family, _from: &[u8], _last: &[u8]) -> io::Result<()> {
        Ok(())
    }
    /// Closes it, so that it may be opened again. Everything after fails, and a [`Kv::reclaim`] under way breaks off.
    fn close(&self) {}
}

/// A file that is complete, or a temporary one that vanishes unless it is committed.
pub trait File: Send + Sync + 'static {
    /// Its length.
    fn length(&self) -> u64;
    /// Reads a part.
    fn read(&self, offset: u64, length: usize) -> io::Result<Bytes>;
    /// Its name once committed.
    fn name(&self) -> Option<String>;
    /// Gives it its final name, durably.
    fn commit(&self, name: &str) -> io::Result<()>;
    /// Gives it another name at `path`, if the storage can: both are one file then. False when it cannot.
    fn link(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
}

/// A file that is being written.
pub trait FileWriter: Send {
    /// Appends.
    fn write(&mut self, part: &[u8]) -> io::Result<()>;
    /// Syncs what was written and hands the file over, still temporary.
    fn finish(self: Box<Self>) -> io::Result<Blob>;
}

/// A handle to a file; this is openraft's snapshot data.
pub type Blob = Arc<dyn File>;

/// A folder of files.
pub trait Files: Send + Sync + 'static {
    /// The names of the committed files, in order. Temporary ones are removed.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a committed file.
    fn open(&self, name: &str) -> io::Result<Blob>;
    /// Starts a temporary file.
    fn create(&self) -> io::Result<Box<dyn FileWriter>>;
    /// Removes a committed file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// A temporary file here that takes no room: it is the same as `source`, which is complete. `None` when that cannot be.
    fn adopt(&self, _source: &Blob) -> io::Result<Option<Blob>> {
        Ok(None)
    }
}

/// One small file that is replaced as a whole, beside the database and apart from it.
pub trait MarkFile: Send + Sync + 'static {
    /// What it holds; `None` when it is not there.
    fn read(&self) -> io::Result<Option<Bytes>>;
    /// Replaces it, durably.
    fn write(&self, content: &[u8]) -> io::Result<()>;
}

/// How much room there is.
pub trait Space: Send + Sync + 'static {
    /// Bytes that may still be written to the node's folder.
    fn free(&self) -> io::Result<u64>;
}

/// Everything that a node stores.
#[derive(Clone)]
pub struct Storage {
    /// Log, votes, history.
    pub kv: Arc<dyn Kv>,
    /// Snapshots.
    pub files: Arc<dyn Files>,
    /// Checkpoints of the history.
    pub checkpoints: Arc<dyn Files>,
    /// What is durable at least.
    pub mark: Arc<dyn MarkFile>,
    /// What is left of the disk.
    pub space: Arc<dyn Space>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Storage")
    }
}
