//! Account and region: whose objects these are.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::name::NameError;

/// An AWS account id: twelve digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountId(SmolStr);

impl AccountId {
    /// The account of `--auth off` and of a development cluster.
    pub fn development() -> Self {
        Self(SmolStr::new_static("123456789012"))
    }

    /// Twelve digits, else an error.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(SmolStr::from(text)))
        } else {
            Err(NameError::BadCharacter { kind: "account id (twelve digits)" })
        }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A region, such as `us-east-1`. API calls name it in their credential scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(SmolStr);

impl Region {
    /// The region of a development cluster.
    pub fn development() -> Self {
        Self(SmolStr::new_static("us-east-1"))
    }

    /// Lower-case letters, digits and hyphens, at most 32.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let kind = "region";
        if text.is_empty() {
            return Err(NameError::Empty { kind });
        }
        if text.len() > 32 {
            return Err(NameError::TooLong { kind, max: 32 });
        }
        if text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            Ok(Self(SmolStr::from(text)))
        } else {
            Err(NameError::BadCharacter { kind })
        }
    }

    /// The region as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One account in one region: no object of ECS is seen outside its scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account.
    pub account: AccountId,
    /// The region.
    pub region: Region,
}

impl Scope {
    /// The scope of a development cluster.
    pub fn development() -> Self {
        Self { account: AccountId::development(), region: Region::development() }
    }

    /// The scope of what is Trireme's own, and no account's.
    pub fn internal() -> Self {
        let account = AccountId(SmolStr::new_static("000000000000"));
        Self { account, region: Region(SmolStr::new_static("trireme")) }
    }
}
