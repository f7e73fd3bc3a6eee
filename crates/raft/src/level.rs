//! The feature level on this node: what its binary supports, and what its storage already holds. A node that supports less
//! than the cluster neither starts nor goes on.

use std::io;

use trireme_state::FeatureLevel;

use crate::error::{Error, corrupt};
use crate::log::keys;
use crate::storage::{Family, Kv, Op};

/// Refuses storage that a newer binary has written.
pub(crate) fn check_storage(kv: &dyn Kv, supported: FeatureLevel) -> Result<(), Error> {
    match stored(kv).map_err(Error::Storage)? {
        Some(cluster) if cluster > supported => Err(Error::FeatureLevel { cluster, supported }),
        _ => Ok(()),
    }
}

fn stored(kv: &dyn Kv) -> io::Result<Option<FeatureLevel>> {
    let Some(bytes) = kv.get(Family::Meta, keys::FEATURE_LEVEL)? else { return Ok(None) };
    let number: [u8; 4] = bytes
        .as_ref()
        .try_into()
        .map_err(|_| corrupt("the feature level on the disk is not 4 bytes long"))?;
    Ok(Some(FeatureLevel::new(u32::from_be_bytes(number))))
}

/// The write that remembers a level. None for a lower one: a log that is applied again passes through those.
pub(crate) fn put(kv: &dyn Kv, level: FeatureLevel) -> io::Result<Option<Op>> {
    if stored(kv)?.is_some_and(|stored| stored >= level) {
        return Ok(None);
    }
    let bytes = bytes::Bytes::copy_from_slice(&level.get().to_be_bytes());
    Ok(Some(Op::Put(Family::Meta, keys::FEATURE_LEVEL.to_vec(), bytes)))
}

/// Refuses to apply what belongs to a higher level.
pub(crate) fn check_applied(level: FeatureLevel, supported: FeatureLevel) -> io::Result<()> {
    if level > supported {
        return Err(corrupt(Error::FeatureLevel { cluster: level, supported }));
    }
    Ok(())
}
