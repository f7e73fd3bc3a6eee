//! Snapshots: one file each, which says itself what it covers, so that metadata and content cannot disagree.
//!
//! ```text
//! "TRISNAP1" | header length (u32) | header (prost) | crc32c of the header (u32) | the state (state::codec)
//! ```

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use openraft::storage::RaftSnapshotBuilder;
use prost::Message;
use trireme_rpc::{convert, log};
use trireme_state::{State, codec};
use trireme_types::{ClusterUuid, planted};

use crate::batch::{hash_from_bytes, hash_to_bytes};
use crate::config::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::error::{Error, corrupt};
use crate::log::flusher::Flusher;
use crate::storage::{Blob, Files};
use crate::wire;

const MAGIC: &[u8; 8] = b"TRISNAP1";
/// The largest part in which snapshots are written, read and sent.
pub(crate) const CHUNK: usize = 1024 * 1024;
const HEADER_LIMIT: usize = 1024 * 1024;

/// What a snapshot holds.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub meta: SnapshotMeta,
    pub highest_node_id: u64,
    pub state: State,
}

/// The snapshots of a node: at most one is current.
pub struct Snapshots {
    files: Arc<dyn Files>,
    flusher: Flusher,
    cluster: ClusterUuid,
    current: Mutex<Option<(SnapshotMeta, Blob)>>,
}

impl Snapshots {
    /// The snapshots in `files`. A damaged one is refused: the log before it is gone.
    pub fn open(files: Arc<dyn Files>, flusher: Flusher, cluster: ClusterUuid) -> io::Result<Arc<Self>> {
        let snapshots = Self { files, flusher, cluster, current: Mutex::new(None) };
        if let Some(name) = snapshots.files.list()?.pop() {
            let blob = snapshots.files.open(&name)?;
            let (header, _) =
                snapshots.header(&blob).map_err(|error| corrupt(format!("snapshot {name}: {error}")))?;
            snapshots.set(meta_of(&header)?, blob)?;
        }
        Ok(Arc::new(snapshots))
    }

    /// Refuses a purged log whose snapshot is gone.
    pub(crate) fn check(&self, purged: Option<LogId>) -> Result<(), Error> {
        let covered = self.current().and_then(|snapshot| snapshot.meta.last_log_id);
        if covered < purged {
            let show = |id: Option<LogId>| id.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            return Err(Error::Shortened {
                found: format!("the snapshot covers {}", show(covered)),
                durable: format!("one up to {}", show(purged)),
            });
        }
        Ok(())
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(meta, blob)| Snapshot { meta: meta.clone(), snapshot: Arc::clone(blob) })
    }

    fn set(&self, meta: SnapshotMeta, blob: Blob) -> io::Result<()> {
        let name = blob.name();
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = current.as_ref().is_some_and(|(other, _)| other.last_log_id > meta.last_log_id);
            if newer {
                return Ok(());
            }
            *current = Some((meta, blob));
        }
        for other in self.files.list()? {
            if name.as_ref().is_some_and(|name| other < *name) {
                self.files.remove(&other)?;
            }
        }
        Ok(())
    }

    fn header(&self, blob: &Blob) -> io::Result<(log::SnapshotHeader, u64)> {
        let start = blob.read(0, 12)?;
        if start.len() < 12 || start[..8] != MAGIC[..] {
            return Err(corrupt("it is not a snapshot"));
        }
        let length = u32::from_be_bytes([start[8], start[9], start[10], start[11]]) as usize;
        if length > HEADER_LIMIT {
            return Err(corrupt("its header is too long"));
        }
        let bytes = blob.read(12, length.saturating_add(4))?;
        if bytes.len() != length.saturating_add(4) {
            return Err(corrupt("it is cut short"));
        }
        let (header, sum) = bytes.split_at(length);
        if sum != crc32c::crc32c(header).to_be_bytes() {
            return Err(corrupt("its header's checksum is wrong"));
        }
        let header = log::SnapshotHeader::decode(header).map_err(corrupt)?;
        let cluster = convert::cluster_from_bytes(&header.cluster_id).map_err(corrupt)?;
        if cluster != self.cluster {
            return Err(corrupt(format!("it is of cluster {cluster}, not of {}", self.cluster)));
        }
        Ok((header, 16u64.saturating_add(length as u64)))
    }

    /// Checks that a snapshot is what it was when it was written.
    pub(crate) fn verify(&self, blob: &Blob) -> io::Result<()> {
        let (header, start) = self.header(blob)?;
        if start.saturating_add(header.state_length) != blob.length() {
            return Err(corrupt("it is cut short"));
        }
        if checksum(blob, start)? != header.state_crc32c {
            return Err(corrupt("its checksum is wrong"));
        }
        Ok(())
    }

    /// Checks a snapshot that a leader has sent before openraft hears of it: past this point damage is fatal.
    pub(crate) fn admit(&self, blob: &Blob, meta: &SnapshotMeta) -> io::Result<()> {
        let content = self.read(blob)?;
        if content.meta != *meta {
            return Err(corrupt(format!("it covers {}, not {meta} as it was announced", content.meta)));
        }
        Ok(())
    }

    /// Reads and checks a snapshot.
    pub(crate) fn read(&self, blob: &Blob) -> io::Result<Content> {
        let (header, offset) = self.header(blob)?;
        let length = usize::try_from(header.state_length).map_err(corrupt)?;
        let bytes = blob.read(offset, length)?;
        let whole = bytes.len() == length && offset.saturating_add(header.state_length) == blob.length();
        if !whole {
            return Err(corrupt("it is cut short"));
        }
        if crc32c::crc32c(&bytes) != header.state_crc32c {
            return Err(corrupt("its checksum is wrong"));
        }
        let state = codec::decode_snapshot(&bytes).map_err(corrupt)?;
        let position = state.position();
        if position.sequence.get() != header.sequence || position.hash != hash_from_bytes(&header.hash)? {
            return Err(corrupt("its state is not the one its header names"));
        }
        Ok(Content { meta: meta_of(&header)?, highest_node_id: header.highest_node_id, state })
    }

    fn write(&self, content: &Content) -> io::Result<Blob> {
        let state = codec::encode_snapshot(&content.state);
        let position = content.state.position();
        let header = log::SnapshotHeader {
            cluster_id: convert::cluster_to_bytes(self.cluster),
            last_log_id: content.meta.last_log_id.map(wire::log_id_to_wire),
            membership: Some(wire::stored_to_wire(&content.meta.last_membership)),
            sequence: position.sequence.get(),
            hash: hash_to_bytes(position.hash),
            highest_node_id: content.highest_node_id,
            state_length: state.len() as u64,
            state_crc32c: crc32c::crc32c(&state),
        }
        .encode_to_vec();
        let length = u32::try_from(header.len()).map_err(corrupt)?;
        let mut writer = self.files.create()?;
        writer.write(MAGIC)?;
        writer.write(&length.to_be_bytes())?;
        writer.write(&header)?;
        writer.write(&crc32c::crc32c(&header).to_be_bytes())?;
        for chunk in state.chunks(CHUNK) {
            writer.write(chunk)?;
        }
        writer.finish()
    }

    /// Makes a complete temporary file the current snapshot.
    pub(crate) async fn commit(&self, meta: SnapshotMeta, blob: Blob) -> io::Result<()> {
        // What the snapshot lets openraft purge must be on the disk first, the history above all.
        if !planted::is("snapshot-before-the-log-is-synced") {
            self.flusher.sync().await?;
        }
        if blob.name().is_none() {
            blob.commit(&file_name(&meta))?;
        }
        self.set(meta, blob)
    }

    /// Starts a file for a snapshot that a leader sends.
    pub(crate) fn receive(&self) -> io::Result<Box<dyn crate::storage::FileWriter>> {
        self.files.create()
    }
}

fn file_name(meta: &SnapshotMeta) -> String {
    let (index, term, node) =
        meta.last_log_id.map_or((0, 0, 0), |id| (id.index, id.leader_id.term, id.leader_id.node_id));
    format!("{index:020}-{term:020}-{node:020}.snapshot")
}

fn meta_of(header: &log::SnapshotHeader) -> io::Result<SnapshotMeta> {
    Ok(SnapshotMeta {
        last_log_id: wire::some_log_id(header.last_log_id)?,
        last_membership: wire::stored_from_wire(header.membership.clone())?,
    })
}

/// The file's checksum from `offset` on.
pub(crate) fn checksum(blob: &Blob, mut offset: u64) -> io::Result<u32> {
    let mut sum = 0;
    while offset < blob.length() {
        let part = read_part(blob, offset)?;
        sum = crc32c::crc32c_append(sum, &part);
        offset = offset.saturating_add(part.len() as u64);
    }
    Ok(sum)
}

/// One chunk of the file; never empty before the end.
pub(crate) fn read_part(blob: &Blob, offset: u64) -> io::Result<Bytes> {
    let part = blob.read(offset, CHUNK)?;
    if part.is_empty() && offset < blob.length() {
        return Err(corrupt("the snapshot is cut short"));
    }
    Ok(part)
}

/// A snapshot captured at one moment; building it disturbs nobody.
pub struct Builder {
    snapshots: Arc<Snapshots>,
    content: Content,
}

impl Builder {
    pub(crate) fn new(
        snapshots: Arc<Snapshots>,
        last_log_id: Option<crate::config::LogId>,
        last_membership: StoredMembership,
        highest_node_id: u64,
        state: State,
    ) -> Self {
        let meta = SnapshotMeta { last_log_id, last_membership };
        Self { snapshots, content: Content { meta, highest_node_id, state } }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Blob;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (snapshots, content) = (Arc::clone(&self.snapshots), self.content.clone());
        let blob = blocking(move || snapshots.write(&content)).await?;
        self.snapshots.commit(self.content.meta.clone(), Arc::clone(&blob)).await?;
        Ok(Snapshot { meta: self.content.meta.clone(), snapshot: blob })
    }
}

/// Runs work that takes long away from the runtime's threads. A simulation has only one thread and no time of its
/// own there: it runs the work in place.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
