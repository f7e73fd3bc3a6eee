//! The file of a state: what snapshots and checkpoints are kept in and sent as. It says itself what it holds, so that
//! metadata and content cannot disagree.
//!
//! ```text
//! "TRISNAP1" | header length (u32) | header (prost) | crc32c of the header (u32) | the state (state::codec)
//! ```

use std::io;

use bytes::Bytes;
use prost::Message;
use trireme_rpc::{convert, log};
use trireme_state::hash::state_hash;
use trireme_state::{Position, State, StateHash, codec};
use trireme_types::{ClusterUuid, Sequence};

use crate::batch::{hash_from_bytes, hash_to_bytes};
use crate::config::SnapshotMeta;
use crate::error::corrupt;
use crate::storage::{Blob, Files};
use crate::wire;

const MAGIC: &[u8; 8] = b"TRISNAP1";
/// The largest part in which these files are written, read and sent.
pub(crate) const CHUNK: usize = 1024 * 1024;
const HEADER_LIMIT: usize = 1024 * 1024;

/// What such a file holds. A checkpoint that was made by a replay knows nothing of Raft: its metadata are empty.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub meta: SnapshotMeta,
    pub highest_node_id: u64,
    pub state: State,
}

/// Compares a state with the hash that it should have.
pub(crate) fn check_hash(state: &State, expected: StateHash) -> io::Result<StateHash> {
    let found = state_hash(state);
    if found != expected {
        let at = state.position().sequence;
        return Err(corrupt(format!("the state at event {at} has hash {found}, and should have {expected}")));
    }
    Ok(found)
}

/// What the file says of itself, and where its state begins.
pub(crate) struct Header {
    wire: log::SnapshotHeader,
    start: u64,
}

impl Header {
    /// Reads and checks the header. A file of another cluster is refused.
    pub(crate) fn read(cluster: ClusterUuid, blob: &Blob) -> io::Result<Self> {
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
        let wire = log::SnapshotHeader::decode(header).map_err(corrupt)?;
        let found = convert::cluster_from_bytes(&wire.cluster_id).map_err(corrupt)?;
        if found != cluster {
            return Err(corrupt(format!("it is of cluster {found}, not of {cluster}")));
        }
        Ok(Self { wire, start: 16u64.saturating_add(length as u64) })
    }

    /// What the file covers of Raft's log.
    pub(crate) fn meta(&self) -> io::Result<SnapshotMeta> {
        Ok(SnapshotMeta {
            last_log_id: wire::some_log_id(self.wire.last_log_id)?,
            last_membership: wire::stored_from_wire(self.wire.membership.clone())?,
        })
    }

    /// Where the state begins in the file.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The checksum of all from there on.
    pub(crate) fn state_checksum(&self) -> u32 {
        self.wire.state_crc32c
    }

    /// The state's hash; `None` in the file of an older build.
    pub(crate) fn state_hash(&self) -> io::Result<Option<StateHash>> {
        hash_from_wire(&self.wire.state_hash)
    }

    /// The state's place in the history.
    pub(crate) fn position(&self) -> io::Result<Position> {
        let hash = hash_from_bytes(&self.wire.hash)?;
        Ok(Position { sequence: Sequence::new(self.wire.sequence), hash })
    }
}

/// A state's hash, if one was written.
pub(crate) fn hash_from_wire(bytes: &[u8]) -> io::Result<Option<StateHash>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes = bytes.try_into().map_err(|_| corrupt("a state's hash must be 16 bytes long"))?;
    Ok(Some(StateHash(bytes)))
}

/// Checks that a file is what it was when it was written.
pub(crate) fn verify(cluster: ClusterUuid, blob: &Blob) -> io::Result<()> {
    let header = Header::read(cluster, blob)?;
    if header.start.saturating_add(header.wire.state_length) != blob.length() {
        return Err(corrupt("it is cut short"));
    }
    if checksum(blob, header.start)? != header.wire.state_crc32c {
        return Err(corrupt("its checksum is wrong"));
    }
    Ok(())
}

/// Reads and checks a file.
pub(crate) fn read(cluster: ClusterUuid, blob: &Blob) -> io::Result<Content> {
    let header = Header::read(cluster, blob)?;
    let length = usize::try_from(header.wire.state_length).map_err(corrupt)?;
    let bytes = blob.read(header.start, length)?;
    let whole =
        bytes.len() == length && header.start.saturating_add(header.wire.state_length) == blob.length();
    if !whole {
        return Err(corrupt("it is cut short"));
    }
    if crc32c::crc32c(&bytes) != header.wire.state_crc32c {
        return Err(corrupt("its checksum is wrong"));
    }
    let state = codec::decode_snapshot(&bytes).map_err(corrupt)?;
    if state.position() != header.position()? {
        return Err(corrupt("its state is not the one its header names"));
    }
    if let Some(expected) = header.state_hash()? {
        check_hash(&state, expected)?;
    }
    Ok(Content { meta: header.meta()?, highest_node_id: header.wire.highest_node_id, state })
}

/// Writes a temporary file, synced. A state that does not have the hash which it is known to have is not written: it was
/// damaged in memory.
pub(crate) fn write(
    cluster: ClusterUuid,
    content: &Content,
    known: Option<StateHash>,
    files: &dyn Files,
) -> io::Result<Blob> {
    let hash = match known {
        Some(known) => check_hash(&content.state, known)?,
        None => state_hash(&content.state),
    };
    let state = codec::encode_snapshot(&content.state);
    let position = content.state.position();
    let header = log::SnapshotHeader {
        cluster_id: convert::cluster_to_bytes(cluster),
        last_log_id: content.meta.last_log_id.map(wire::log_id_to_wire),
        membership: Some(wire::stored_to_wire(&content.meta.last_membership)),
        sequence: position.sequence.get(),
        hash: hash_to_bytes(position.hash),
        highest_node_id: content.highest_node_id,
        state_length: state.len() as u64,
        state_crc32c: crc32c::crc32c(&state),
        state_hash: Bytes::copy_from_slice(&hash.0),
    }
    .encode_to_vec();
    let length = u32::try_from(header.len()).map_err(corrupt)?;
    let mut writer = files.create()?;
    writer.write(MAGIC)?;
    writer.write(&length.to_be_bytes())?;
    writer.write(&header)?;
    writer.write(&crc32c::crc32c(&header).to_be_bytes())?;
    for chunk in state.chunks(CHUNK) {
        writer.write(chunk)?;
    }
    writer.finish()
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
        return Err(corrupt("the file is cut short"));
    }
    Ok(part)
}
