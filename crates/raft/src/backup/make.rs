//! Making a backup: what this node has applied at one moment, which is at or after everything that was acknowledged before
//! it was asked for. Nobody waits for it: the state is a clone, the history is read part by part.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use trireme_rpc::{convert, log};
use trireme_state::hash::state_hash;
use trireme_state::{Position, codec};

use super::frame::{What, frame};
use super::{Summary, TITLE};
use crate::error::{Error, corrupt};
use crate::history::{follow, position_to_wire};
use crate::machine::View;
use crate::node::Node;
use crate::outflow::{Ended, Outflow};
use crate::snapshot::blocking;
use crate::snapshot::file::CHUNK;
use crate::wire;

/// Records that are read at once.
const READ: usize = 512;
/// Bytes of records in a frame, at least.
const FRAME: usize = 256 * 1024;

/// What a backup consists of on its way to whoever asked for it.
#[derive(Debug)]
pub enum Part {
    /// At most 1 MiB of the file.
    Chunk(Bytes),
    /// The end: the file's length, its SHA-256, and what it says of itself.
    Done {
        /// Of the file, in bytes.
        length: u64,
        /// Of the file.
        sha256: [u8; 32],
        /// What it says of itself.
        summary: Box<Summary>,
    },
}

/// Takes the parts. A receiver that is gone, or takes nothing for too long, ends the backup.
pub(crate) type Sender = Outflow<Part, Error>;

/// Where the bytes go.
struct Out<'a> {
    to: &'a Sender,
    hash: Sha256,
    length: u64,
}

fn storage(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::History { reason: error.to_string() },
        _ => Error::Storage(error),
    }
}

fn ended(ended: Ended) -> Error {
    Error::Stopped { reason: format!("the backup is given up: {ended}") }
}

impl Out<'_> {
    async fn bytes(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.hash.update(&bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
        let mut rest = bytes;
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(CHUNK));
            self.to.send(Part::Chunk(part)).await.map_err(ended)?;
        }
        Ok(())
    }

    async fn frame(&mut self, what: What, content: &[u8]) -> Result<(), Error> {
        self.bytes(frame(what, content).map_err(storage)?).await
    }

    async fn frames(&mut self, what: What, content: &[u8]) -> Result<(), Error> {
        for part in content.chunks(CHUNK) {
            self.frame(what, part).await?;
        }
        Ok(())
    }
}

/// What goes into a backup beside the records.
struct Content {
    header: log::BackupHeader,
    state: Bytes,
    checkpoint: Bytes,
    start: Position,
    end: Position,
}

/// Makes a backup of what `node` has applied once it knows of everything that was acknowledged before, and sends it to `to`.
///
/// # Errors
/// No quorum answers; the history was trimmed under the reader; storage that fails or is damaged.
pub(crate) async fn make(node: &Node, version: &str, with_history: bool, to: &Sender) -> Result<(), Error> {
    let view = node.store().read_view().await.map_err(|error| Error::NoLeader {
        seconds: node.store().settings.call_limit.as_secs(),
        reason: error.to_string(),
    })?;
    let content = content(node, &view, version, with_history).await?;
    let mut out = Out { to, hash: Sha256::new(), length: 0 };
    out.bytes(Bytes::from_static(TITLE)).await?;
    out.frame(What::Header, &content.header.encode_to_vec()).await?;
    out.frames(What::State, &content.state).await?;
    out.frames(What::Checkpoint, &content.checkpoint).await?;
    records(node, content.start, content.end, &mut out).await?;
    let sha256 = Bytes::copy_from_slice(&out.hash.clone().finalize());
    out.frame(What::End, &log::BackupEnd { sha256 }.encode_to_vec()).await?;
    let summary = Box::new(Summary::from_wire(content.header).map_err(storage)?);
    let done = Part::Done { length: out.length, sha256: out.hash.finalize().into(), summary };
    to.send(done).await.map_err(ended)
}

async fn content(node: &Node, view: &Arc<View>, version: &str, with_history: bool) -> Result<Content, Error> {
    let (identity, end) = (node.identity(), view.state.position());
    let start = if with_history { node.store().history_extent().start } else { end };
    let (state, checkpoints) = (Arc::clone(&view.state), Arc::clone(&node.store().checkpoints));
    let encoded = blocking(move || {
        let hash = state_hash(&state);
        let checkpoint = match with_history && start != Position::default() {
            // The records behind it are worth nothing without it.
            true => codec::encode_snapshot(&checkpoints.load(start)?),
            false => Vec::new(),
        };
        Ok((hash, codec::encode_snapshot(&state), checkpoint))
    });
    let (hash, state, checkpoint) = encoded.await.map_err(storage)?;
    let header = log::BackupHeader {
        version: version.to_owned(),
        taken_at_millis: node.now().millis(),
        node_id: identity.node_id,
        cluster_id: convert::cluster_to_bytes(identity.cluster),
        incarnation: identity.incarnation,
        feature_level: view.state.level().get(),
        position: Some(position_to_wire(end)),
        last_log_id: view.log_id.map(wire::log_id_to_wire),
        highest_node_id: view.highest_node_id,
        state_hash: Bytes::copy_from_slice(&hash.0),
        state_length: state.len() as u64,
        checkpoint_length: checkpoint.len() as u64,
        history_start: Some(position_to_wire(start)),
        records: end.sequence.get().saturating_sub(start.sequence.get()),
    };
    Ok(Content { header, state: state.into(), checkpoint: checkpoint.into(), start, end })
}

/// The records from `start` to `end`, from this node or, where they are missing here, from another; each checked against the
/// one before it.
async fn records(node: &Node, start: Position, end: Position, out: &mut Out<'_>) -> Result<(), Error> {
    let store = node.store();
    let (mut position, mut part, mut bytes) = (start, Vec::new(), 0usize);
    while position.sequence < end.sequence {
        let left =
            usize::try_from(end.sequence.get().saturating_sub(position.sequence.get())).unwrap_or(READ);
        let found = store.raw_records(position.sequence.next(), left.min(READ), end).await?;
        if found.is_empty() {
            let asked = position.sequence.next();
            return Err(Error::Elsewhere { asked, reason: "nobody sent it".to_owned() });
        }
        for record in found {
            position = follow(position, &record).map_err(storage)?;
            bytes = bytes.saturating_add(record.event.len());
            part.push(record);
            if bytes >= FRAME {
                send(&mut part, out).await?;
                bytes = 0;
            }
        }
    }
    if position != end {
        return Err(storage(corrupt(format!("the history does not lead to event {}", end.sequence))));
    }
    if part.is_empty() { Ok(()) } else { send(&mut part, out).await }
}

async fn send(part: &mut Vec<log::HistoryRecord>, out: &mut Out<'_>) -> Result<(), Error> {
    let records = log::BackupRecords { records: std::mem::take(part) };
    out.frame(What::Records, &records.encode_to_vec()).await
}
