//! What one Raft entry carries: the entries of several commands, each atomic for itself.

use std::fmt;
use std::io;

use bytes::Bytes;
use prost::Message;
use trireme_rpc::{convert, log};
use trireme_state::{Actor, ChainHash, Entry, Position, SealedEvent};
use trireme_types::{Sequence, Timestamp};

use crate::error::corrupt;

/// The application's part of a Raft entry. Its bytes are made once, on the leader, and then stored and sent as
/// they are.
#[derive(Clone)]
pub struct Batch {
    encoded: Bytes,
    decided_as: Option<u64>,
}

impl Batch {
    /// The entries of some commands, in the order in which they were decided.
    pub fn new(entries: &[Entry]) -> Self {
        let frame = log::EntryBatch { entries: entries.iter().map(entry_to_wire).collect() };
        Self { encoded: frame.encode_to_vec().into(), decided_as: None }
    }

    /// A batch as it came from the disk or the wire. It is decoded when it is applied.
    pub fn from_encoded(encoded: Bytes) -> Self {
        Self { encoded, decided_as: None }
    }

    /// The bytes.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// The same, by which this process knows what it decided: see [`Heads`](crate::decider::Heads).
    pub(crate) fn decided_as(self, number: u64) -> Self {
        Self { decided_as: Some(number), ..self }
    }

    /// Under which number this process decided it, if it did.
    pub(crate) fn decided_here(&self) -> Option<u64> {
        self.decided_as
    }

    /// The entries.
    ///
    /// # Errors
    /// Damage, and events that this binary does not know. Neither may be skipped.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let frame = log::EntryBatch::decode(self.encoded.clone()).map_err(corrupt)?;
        frame.entries.into_iter().map(entry_from_wire).collect()
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} bytes)", self.encoded.len())
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying a Raft entry came to: for each entry of its batch, whether it was applied or is void.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// True for applied.
    pub applied: Vec<bool>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.applied)
    }
}

fn entry_to_wire(entry: &Entry) -> log::Entry {
    log::Entry {
        base_sequence: entry.base.sequence.get(),
        base_hash: hash_to_bytes(entry.base.hash),
        at_millis: entry.at.millis(),
        actor: Some(actor_to_wire(&entry.actor)),
        request_id: convert::request_to_bytes(entry.request_id),
        events: entry.events.iter().map(|event| event.bytes().clone()).collect(),
    }
}

fn entry_from_wire(entry: log::Entry) -> io::Result<Entry> {
    let events = entry.events.into_iter().map(|bytes| SealedEvent::open(bytes).map_err(corrupt));
    Ok(Entry {
        base: Position {
            sequence: Sequence::new(entry.base_sequence),
            hash: hash_from_bytes(&entry.base_hash)?,
        },
        at: Timestamp::from_millis(entry.at_millis),
        actor: actor_from_wire(entry.actor)?,
        request_id: convert::request_from_bytes(&entry.request_id).map_err(corrupt)?,
        events: events.collect::<io::Result<_>>()?,
    })
}

pub(crate) fn hash_to_bytes(hash: ChainHash) -> Bytes {
    Bytes::copy_from_slice(&hash.0)
}

pub(crate) fn hash_from_bytes(bytes: &[u8]) -> io::Result<ChainHash> {
    bytes.try_into().map(ChainHash).map_err(|_| corrupt("a chain hash must be 32 bytes long"))
}

pub(crate) fn actor_to_wire(actor: &Actor) -> log::Actor {
    use log::actor::Actor as Wire;
    let wire = match actor {
        Actor::Principal(arn) => Wire::Principal(arn.clone()),
        Actor::Controller(name) => Wire::Controller(name.clone()),
        Actor::Agent(instance) => Wire::Agent(instance.to_string()),
        Actor::Operator => Wire::Operator(true),
    };
    log::Actor { actor: Some(wire) }
}

pub(crate) fn actor_from_wire(actor: Option<log::Actor>) -> io::Result<Actor> {
    use log::actor::Actor as Wire;
    match actor.and_then(|actor| actor.actor) {
        Some(Wire::Principal(arn)) => Ok(Actor::Principal(arn)),
        Some(Wire::Controller(name)) => Ok(Actor::Controller(name)),
        Some(Wire::Agent(id)) => id.parse().map(Actor::Agent).map_err(corrupt),
        Some(Wire::Operator(_)) => Ok(Actor::Operator),
        None => Err(corrupt("an entry names no actor that this binary knows")),
    }
}
