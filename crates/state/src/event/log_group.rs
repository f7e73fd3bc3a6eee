//! What happens to log groups.

use serde::{Deserialize, Serialize};

use crate::object::{LogGroupKey, Tags};

/// What happened to a log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogGroupEvent {
    /// A log group is there.
    LogGroupCreated {
        /// Its full name.
        key: LogGroupKey,
        /// Its tags.
        tags: Tags,
    },
    /// It is gone, with all that it had.
    LogGroupDeleted {
        /// Its full name.
        key: LogGroupKey,
    },
    /// It keeps its events for another time.
    LogGroupRetentionChanged {
        /// Its full name.
        key: LogGroupKey,
        /// How many days, or `None` for ever.
        days: Option<u32>,
    },
    /// Its tags are these now.
    LogGroupTagged {
        /// Its full name.
        key: LogGroupKey,
        /// All of them.
        tags: Tags,
    },
}
