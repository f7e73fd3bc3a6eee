//! What is asked of alarms: by their users, and by the controller that evaluates them.

use serde::{Deserialize, Serialize};

use crate::object::{AlarmKey, AlarmSpec, AlarmState, Tags};

/// What is asked of alarms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmCommand {
    /// CloudWatch API: PutMetricAlarm.
    Put {
        /// Its full name.
        key: AlarmKey,
        /// All that is asked of it.
        spec: Box<AlarmSpec>,
        /// Its tags, if it is new.
        tags: Tags,
    },
    /// CloudWatch API: DeleteAlarms. Those that are not there are left.
    Delete {
        /// Their full names.
        keys: Vec<AlarmKey>,
    },
    /// CloudWatch API: SetAlarmState; alarm controller: what the metric says.
    SetState {
        /// Its full name.
        key: AlarmKey,
        /// The version that the plan saw; a user sees none.
        version: Option<u64>,
        /// The state.
        state: AlarmState,
        /// Why, for people.
        reason: String,
        /// The same for programs, as JSON.
        reason_data: Option<String>,
    },
    /// CloudWatch API: EnableAlarmActions, DisableAlarmActions. Those that are not there are left.
    SwitchActions {
        /// Their full names.
        keys: Vec<AlarmKey>,
        /// Whether their actions are done.
        enabled: bool,
    },
    /// CloudWatch API: TagResource, UntagResource.
    Tag {
        /// Its full name.
        key: AlarmKey,
        /// Added; the same key replaces.
        add: Tags,
        /// Taken away, before others are added.
        remove: Vec<String>,
    },
}

impl AlarmCommand {
    /// Whether it takes room in the state.
    pub fn grows(&self) -> bool {
        match self {
            Self::Put { .. } => true,
            Self::Tag { add, .. } => !add.is_empty(),
            Self::Delete { .. } | Self::SetState { .. } | Self::SwitchActions { .. } => false,
        }
    }
}
