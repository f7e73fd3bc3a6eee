//! Conversions between what travels and what the rooms use.

use bytes::Bytes;
use trireme_types::{ClusterUuid, RequestId};

/// Why bytes from the wire or the disk are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be 16 bytes long, it is {length}")]
pub struct LengthError {
    what: &'static str,
    length: usize,
}

fn sixteen(what: &'static str, bytes: &[u8]) -> Result<u128, LengthError> {
    let array: [u8; 16] = bytes.try_into().map_err(|_| LengthError { what, length: bytes.len() })?;
    Ok(u128::from_be_bytes(array))
}

/// How many bytes a message takes on the wire.
pub fn wire_bytes(message: &impl prost::Message) -> usize {
    message.encoded_len()
}

/// A cluster's id as bytes.
pub fn cluster_to_bytes(id: ClusterUuid) -> Bytes {
    Bytes::copy_from_slice(&id.bits().to_be_bytes())
}

/// A cluster's id from bytes.
pub fn cluster_from_bytes(bytes: &[u8]) -> Result<ClusterUuid, LengthError> {
    sixteen("a cluster id", bytes).map(ClusterUuid::from_bits)
}

/// A request's id as bytes.
pub fn request_to_bytes(id: RequestId) -> Bytes {
    Bytes::copy_from_slice(&id.bits().to_be_bytes())
}

/// A request's id from bytes.
pub fn request_from_bytes(bytes: &[u8]) -> Result<RequestId, LengthError> {
    sixteen("a request id", bytes).map(RequestId::from_bits)
}
