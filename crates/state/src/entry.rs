//! Entries: the events of one command, with when and on whose behalf, chained to the event before them.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trireme_types::{RequestId, Sequence, Timestamp};

use crate::codec::{self, CodecError};
use crate::{Actor, Event};

/// The hash of an event and of all events before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChainHash(pub [u8; 32]);

impl ChainHash {
    /// The hash of the event that follows this one. It covers the event's bytes as first written, and what the entry says
    /// of time and sender, so that none of it can be edited unseen.
    pub fn next(&self, at: Timestamp, actor: &Actor, request_id: RequestId, event: &[u8]) -> Self {
        let (kind, name) = actor.parts();
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(at.millis().to_be_bytes());
        hash.update([kind]);
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name.as_bytes());
        hash.update(request_id.bits().to_be_bytes());
        hash.update(event);
        Self(hash.finalize().into())
    }
}

impl std::fmt::Display for ChainHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChainHash({})", &hex::encode(self.0)[..12])
    }
}

/// How far the history goes: the last event's number and hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The last event's number; 0 before the first.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: ChainHash,
}

/// An event with its bytes as first written. The bytes are what is hashed, stored and sent; they are never made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEvent {
    event: Arc<Event>,
    bytes: Bytes,
}

impl SealedEvent {
    /// Encodes an event, once.
    pub fn seal(event: Event) -> Self {
        let bytes = codec::encode_event(&event).into();
        Self { event: Arc::new(event), bytes }
    }

    /// Reads an event that was written before.
    ///
    /// # Errors
    /// Damage, and kinds that this binary does not know. Neither may be skipped.
    pub fn open(bytes: Bytes) -> Result<Self, CodecError> {
        Ok(Self { event: Arc::new(codec::decode_event(&bytes)?), bytes })
    }

    /// The event.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// The events of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event before them. An entry whose base is not the state's position is void on every node.
    pub base: Position,
    /// The decider's time.
    pub at: Timestamp,
    /// On whose behalf.
    pub actor: Actor,
    /// The call that caused them.
    pub request_id: RequestId,
    /// What happened, at least one.
    pub events: Vec<SealedEvent>,
}

impl Entry {
    /// The position after this entry.
    pub fn end(&self) -> Position {
        let mut position = self.base;
        for event in &self.events {
            position = self.after(position, event.bytes());
        }
        position
    }

    /// The position after one event of this entry that follows `position`.
    pub fn after(&self, position: Position, event: &[u8]) -> Position {
        Position {
            sequence: position.sequence.next(),
            hash: position.hash.next(self.at, &self.actor, self.request_id, event),
        }
    }
}
