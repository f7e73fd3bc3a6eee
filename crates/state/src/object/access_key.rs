//! Access keys: who may call, and in which account. Secrets are stored sealed, never in clear.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trireme_types::{AccountId, Timestamp};

/// An access key's public id (`AKIA…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessKeyId(Arc<str>);

impl AccessKeyId {
    /// From its text.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A secret, encrypted under the cluster key, which lives outside the log and the snapshots.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// AES-256-GCM's nonce.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

impl std::fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealedSecret(..)")
    }
}

/// An access key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Its public id.
    pub id: AccessKeyId,
    /// The account that its holder acts in.
    pub account: AccountId,
    /// The holder's ARN, such as `arn:aws:iam::123456789012:root`.
    pub principal: String,
    /// The secret.
    pub secret: SealedSecret,
    /// When it was made.
    pub created_at: Timestamp,
}
