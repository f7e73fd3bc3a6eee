//! Who calls: principals, AWS signature version 4, and the keys that secrets are sealed under.
//!
//! Plain types in, plain types out: nothing here knows the state, and time comes in as an argument. The one thing that
//! touches the machine is [`keys::SealingKey::read`], which reads the cluster key's file.
//!
//! Reading order: [`principal`] · [`sigv4`] (what a signed request says, and whether it is true) · [`keys`] (access keys
//! and how their secrets are sealed).

pub mod keys;
pub mod principal;
pub mod sigv4;

pub use keys::{NewAccessKey, Sealed, SealingKey};
pub use principal::Principal;

use std::path::PathBuf;

/// What can go wrong with keys. What can be wrong with a signature is [`sigv4::Refusal`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster key's file cannot be read or written.
    #[error("cannot use the cluster key {path}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read the cluster key.
    #[error("the cluster key {path} has mode {mode:04o}, but only its owner may read it: chmod 600 {path}")]
    KeyFileMode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds something else than a cluster key.
    #[error("the cluster key {path} must hold 64 hexadecimal digits")]
    KeyFileContent {
        /// Which file.
        path: PathBuf,
    },
    /// A secret was sealed under another cluster key, for another access key, or is damaged.
    #[error("the secret of access key {access_key} does not open under this cluster key")]
    Unseal {
        /// Which access key.
        access_key: String,
    },
    /// A secret could not be sealed.
    #[error("the secret of access key {access_key} could not be sealed")]
    Seal {
        /// Which access key.
        access_key: String,
    },
}
