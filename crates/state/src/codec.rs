//! Bytes: events, snapshots, and what travels between control nodes. The one place that may use bincode.
//!
//! Each thing is wrapped in an envelope: `kind u32 | version u16 | length u32 | payload | crc32c u32`, big endian. bincode is
//! positional: a field added in the middle decodes wrongly in silence. So layouts are frozen per version, and a golden
//! fixture holds each of them.

// The rule against bincode stands everywhere else.
#![allow(clippy::disallowed_methods)]

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Actor, Event, Outcome, Proposal, Rejection, State};

mod kinds;
mod layout;
mod sections;
mod snapshot;

pub use kinds::KINDS;
pub use layout::Layout;

/// The largest payload that is read, in bytes. Snapshots of the largest supported cluster fit.
const PAYLOAD_LIMIT: usize = 1 << 30;
const HEADER: usize = 10;
const CHECKSUM: usize = 4;

/// The version of the layout of what travels between nodes. Events have theirs in the table of kinds, snapshots in [`Layout`].
const VERSION: u16 = 1;

const SNAPSHOT: u32 = 1_000;
const PROPOSAL: u32 = 1_001;
const OUTCOME: u32 = 1_002;
const REJECTION: u32 = 1_003;
const ACTOR: u32 = 1_004;

/// Why bytes cannot be read. A node that meets one in its log stops; it never skips.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than the envelope says.
    #[error("truncated: {have} bytes of {need}")]
    Truncated {
        /// Bytes that are there.
        have: usize,
        /// Bytes that should be.
        need: usize,
    },
    /// The checksum does not match: the bytes were damaged.
    #[error("damaged: checksum {found:08x} instead of {expected:08x}")]
    Damaged {
        /// The checksum in the envelope.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// A kind that this binary does not know.
    #[error("kind {kind} is unknown to this version of trireme; upgrade it")]
    UnknownKind {
        /// The number found.
        kind: u32,
    },
    /// A layout that this binary does not know.
    #[error("version {version} of kind {kind} is unknown to this version of trireme; upgrade it")]
    UnknownVersion {
        /// The kind.
        kind: u32,
        /// The version found.
        version: u16,
    },
    /// Another kind than asked for.
    #[error("kind {found} where kind {expected} should be")]
    WrongKind {
        /// The kind asked for.
        expected: u32,
        /// The kind found.
        found: u32,
    },
    /// The payload does not have its kind's layout.
    #[error("malformed payload: {message}")]
    Malformed {
        /// What is wrong.
        message: String,
    },
}

fn encode_payload<T: Serialize>(value: &T) -> Vec<u8> {
    // Encoding into memory fails only for types that bincode cannot express (unsized sequences, maps without length); the
    // golden fixtures encode every one of ours.
    #[allow(clippy::expect_used)]
    bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("every type of ours can be encoded")
}

fn decode_payload<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    let config = bincode::config::standard().with_limit::<PAYLOAD_LIMIT>();
    let (value, read) = bincode::serde::decode_from_slice(payload, config)
        .map_err(|error| CodecError::Malformed { message: error.to_string() })?;
    if read == payload.len() {
        Ok(value)
    } else {
        Err(CodecError::Malformed { message: format!("{read} of {} bytes read", payload.len()) })
    }
}

fn seal(kind: u32, version: u16, payload: &[u8]) -> Vec<u8> {
    // Entries are at most 1 MiB and snapshots are cut off at the payload limit, so a length fits 32 bits.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(payload.len().saturating_add(HEADER).saturating_add(CHECKSUM));
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The first `N` bytes, and the rest.
fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), CodecError> {
    match bytes.split_first_chunk::<N>() {
        Some((first, rest)) => Ok((*first, rest)),
        None => Err(CodecError::Truncated { have: bytes.len(), need: N }),
    }
}

/// Kind, version and payload of an envelope whose checksum holds.
fn open(bytes: &[u8]) -> Result<(u32, u16, &[u8]), CodecError> {
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(CodecError::Truncated { have: bytes.len(), need: CHECKSUM });
    };
    let (kind, rest) = take::<4>(body)?;
    let (version, rest) = take::<2>(rest)?;
    let (length, payload) = take::<4>(rest)?;
    let length = u32::from_be_bytes(length) as usize;
    if payload.len() != length {
        return Err(CodecError::Truncated { have: payload.len(), need: length });
    }
    let (expected, found) = (u32::from_be_bytes(*checksum), crc32c::crc32c(body));
    if expected != found {
        return Err(CodecError::Damaged { expected, found });
    }
    Ok((u32::from_be_bytes(kind), u16::from_be_bytes(version), payload))
}

fn open_kind(bytes: &[u8], expected: u32) -> Result<(u16, &[u8]), CodecError> {
    let (found, version, payload) = open(bytes)?;
    if found != expected {
        return Err(CodecError::WrongKind { expected, found });
    }
    Ok((version, payload))
}

fn open_as(bytes: &[u8], expected: u32) -> Result<&[u8], CodecError> {
    match open_kind(bytes, expected)? {
        (VERSION, payload) => Ok(payload),
        (version, _) => Err(CodecError::UnknownVersion { kind: expected, version }),
    }
}

/// An event's bytes.
pub fn encode_event(event: &Event) -> Vec<u8> {
    let (version, payload) = kinds::encode(event);
    seal(event.kind(), version, &payload)
}

/// An event from its bytes.
pub fn decode_event(bytes: &[u8]) -> Result<Event, CodecError> {
    let (kind, version, payload) = open(bytes)?;
    kinds::decode(kind, version, payload)
}

/// The bytes of an object for the state hash.
pub(crate) fn object_bytes<T: Serialize>(layout: Layout, object: &T) -> Vec<u8> {
    match layout {
        Layout::V1 | Layout::V2 => encode_payload(object),
        #[cfg(feature = "next-level")]
        Layout::V3 => encode_payload(&(layout.version(), object)),
    }
}

/// A snapshot: the whole state at its position, without indexes, in the layout of its level. Equal states give equal bytes.
pub fn encode_snapshot(state: &State) -> Vec<u8> {
    let layout = Layout::of(state.level);
    seal(SNAPSHOT, layout.version(), &snapshot::encode(layout, state))
}

/// The state from a snapshot. Indexes are made anew.
pub fn decode_snapshot(bytes: &[u8]) -> Result<State, CodecError> {
    let (version, payload) = open_kind(bytes, SNAPSHOT)?;
    let layout = Layout::with_version(version);
    let layout = layout.ok_or(CodecError::UnknownVersion { kind: SNAPSHOT, version })?;
    let state = snapshot::decode(layout, payload)?;
    if Layout::of(state.level) != layout {
        let message = format!("a snapshot at feature level {} in version {version}", state.level);
        return Err(CodecError::Malformed { message });
    }
    Ok(state)
}

macro_rules! simple {
    ($($encode:ident, $decode:ident, $type:ty, $kind:ident, $what:literal;)*) => {$(
        #[doc = concat!("The bytes of ", $what, ".")]
        pub fn $encode(value: &$type) -> Vec<u8> {
            seal($kind, VERSION, &encode_payload(value))
        }

        #[doc = concat!("From the bytes of ", $what, ".")]
        pub fn $decode(bytes: &[u8]) -> Result<$type, CodecError> {
            decode_payload(open_as(bytes, $kind)?)
        }
    )*};
}

simple! {
    encode_proposal, decode_proposal, Proposal, PROPOSAL, "a proposal, as it is forwarded to the leader";
    encode_outcome, decode_outcome, Outcome, OUTCOME, "an outcome";
    encode_rejection, decode_rejection, Rejection, REJECTION, "a rejection";
    encode_actor, decode_actor, Actor, ACTOR, "an actor";
}

#[cfg(test)]
mod tests;
