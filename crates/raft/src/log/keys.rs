//! The keys of log and meta data. Numbers are big-endian, so that their order is the keys' order.

/// The vote.
pub(crate) const VOTE: &[u8] = b"vote";
/// The last log id known to be committed.
pub(crate) const COMMITTED: &[u8] = b"committed";
/// The last log id that was purged.
pub(crate) const PURGED: &[u8] = b"purged";
/// The event at which this node's state was found to differ from the majority's.
pub(crate) const DIFFERENCE: &[u8] = b"difference";
/// The later incarnation of the cluster that this node heard of.
pub(crate) const FENCED: &[u8] = b"fenced";
/// The highest feature level that was applied.
pub(crate) const FEATURE_LEVEL: &[u8] = b"feature_level";
/// What this node was before a recovery was begun on it.
pub(crate) const RECOVERY_BEGUN: &[u8] = b"recovery_begun";
/// Whose data these are.
pub(crate) const IDENTITY: &[u8] = b"identity";
/// What of the history is on this node.
pub(crate) const HISTORY_EXTENT: &[u8] = b"history_extent";
/// The event up to which the room of what is deleted was given back.
pub(crate) const HISTORY_RECLAIMED: &[u8] = b"history_reclaimed";

/// The key of a log entry or of a history record.
pub(crate) fn number(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

/// The number in a key.
pub(crate) fn to_number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// After the last number.
pub(crate) fn end() -> Vec<u8> {
    vec![0xff; 9]
}
