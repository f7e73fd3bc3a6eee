//! The feature level on this node: what its binary supports, and what its storage already holds. A node that supports less
//! than the cluster neither starts nor goes on.

use std::io;

use trireme_state::FeatureLevel;

use crate::error::{Error, corrupt};
use crate::log::keys;
use crate::storage::{Family, Kv, Op};

/// Refuses storage that a newer binary has written.
pub(crate) fn check_storage(kv: &dyn Kv, supported: FeatureLevel) -> Result<(), Error> {
    let Some(bytes) = kv.get(Family::Meta, keys::FEATURE_LEVEL).map_err(Error::Storage)? else {
        return Ok(());
    };
    let number: [u8; 4] = bytes.as_ref().try_into().map_err(|_| Error::Stopped {
        reason: "the feature level on the disk is not 4 bytes long: the disk is damaged".to_owned(),
    })?;
    let cluster = FeatureLevel::new(u32::from_be_bytes(number));
    if cluster > supported {
        return Err(Error::FeatureLevel { cluster, supported });
    }
    Ok(())
}

/// The write that remembers a level.
pub(crate) fn put(level: FeatureLevel) -> Op {
    let bytes = bytes::Bytes::copy_from_slice(&level.get().to_be_bytes());
    Op::Put(Family::Meta, keys::FEATURE_LEVEL.to_vec(), bytes)
}

/// Refuses to apply what belongs to a higher level.
pub(crate) fn check_applied(level: FeatureLevel, supported: FeatureLevel) -> io::Result<()> {
    if level > supported {
        return Err(corrupt(Error::FeatureLevel { cluster: level, supported }));
    }
    Ok(())
}
