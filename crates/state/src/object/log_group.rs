//! Log groups. Their streams and what is in them live on the agents' disks; that a group is there, and how long it keeps what it has, is
//! known everywhere.

use serde::{Deserialize, Serialize};
use trireme_types::{Scope, Timestamp};

use super::Tags;

/// A log group's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogGroupKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

/// A log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// Its full name.
    pub key: LogGroupKey,
    /// When it was made. Another time is another group: what an earlier one of that name had is not its own.
    pub created_at: Timestamp,
    /// After how many days an event may go; without end when not given.
    pub retention_days: Option<u32>,
    /// Its tags.
    pub tags: Tags,
}
