//! Conversions between what travels and what the rooms use.

use bytes::Bytes;
use trireme_types::{ClusterUuid, RequestId};

/// Why bytes from the wire or the disk are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} may not be {length} bytes long")]
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

/// Which life of which cluster a message is for, as bytes. The first incarnation is the cluster's id alone.
pub fn life_to_bytes(id: ClusterUuid, incarnation: u64) -> Bytes {
    let mut bytes = id.bits().to_be_bytes().to_vec();
    if incarnation > 1 {
        bytes.extend(incarnation.to_be_bytes());
    }
    bytes.into()
}

/// The cluster and its incarnation from bytes.
pub fn life_from_bytes(bytes: &[u8]) -> Result<(ClusterUuid, u64), LengthError> {
    let (id, rest) = bytes.split_at_checked(16).unwrap_or((bytes, &[]));
    let incarnation = match rest {
        [] => 1,
        rest => {
            let error = LengthError { what: "a cluster id", length: bytes.len() };
            u64::from_be_bytes(rest.try_into().map_err(|_| error)?)
        }
    };
    Ok((cluster_from_bytes(id)?, incarnation))
}

/// A request's id as bytes.
pub fn request_to_bytes(id: RequestId) -> Bytes {
    Bytes::copy_from_slice(&id.bits().to_be_bytes())
}

/// A request's id from bytes.
pub fn request_from_bytes(bytes: &[u8]) -> Result<RequestId, LengthError> {
    sixteen("a request id", bytes).map(RequestId::from_bits)
}
