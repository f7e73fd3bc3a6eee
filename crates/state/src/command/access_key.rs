//! A new access key.

use serde::{Deserialize, Serialize};
use trireme_types::AccountId;

use crate::object::{AccessKeyId, SealedSecret};

/// An access key, before it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccessKey {
    /// Its public id.
    pub id: AccessKeyId,
    /// The account that its holder acts in.
    pub account: AccountId,
    /// The holder's ARN.
    pub principal: String,
    /// The sealed secret.
    pub secret: SealedSecret,
}
