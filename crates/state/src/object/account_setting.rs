//! Account settings: defaults of an account in a region, and what single principals have instead.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::Scope;

/// Whose settings these are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SettingsKey {
    /// Account and region.
    pub scope: Scope,
    /// The principal's ARN; `None` for the account's defaults (ECS API: PutAccountSettingDefault).
    pub principal: Option<String>,
}

/// Values by ECS's names (ECS API: SettingName). What is not there is as one level above: the account's, then ECS's own default.
pub type AccountSettings = BTreeMap<String, String>;
