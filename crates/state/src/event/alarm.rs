//! What happens to alarms.

use serde::{Deserialize, Serialize};
use trireme_types::DeploymentId;

use crate::object::{AlarmKey, AlarmSpec, AlarmState, ServiceKey, Tags};

/// What happened to an alarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmEvent {
    /// An alarm is there, or watches something else from now on.
    AlarmConfigured {
        /// Its full name.
        key: AlarmKey,
        /// All that is asked of it.
        spec: Box<AlarmSpec>,
        /// Its tags, when it is new.
        tags: Tags,
    },
    /// It is gone.
    AlarmDeleted {
        /// Its full name.
        key: AlarmKey,
    },
    /// It is in this state, or is so for another reason.
    AlarmStateChanged {
        /// Its full name.
        key: AlarmKey,
        /// The state.
        state: AlarmState,
        /// Why, for people.
        reason: String,
        /// The same for programs, as JSON.
        reason_data: Option<String>,
    },
    /// Its actions are done from now on, or are not.
    AlarmActionsSwitched {
        /// Its full name.
        key: AlarmKey,
        /// Whether they are.
        enabled: bool,
    },
    /// Its tags are these now.
    AlarmTagged {
        /// Its full name.
        key: AlarmKey,
        /// All of them.
        tags: Tags,
    },
    /// Alarms said that a service's deployment fails.
    DeploymentAlarmsTriggered {
        /// The service.
        key: ServiceKey,
        /// Which one.
        deployment: DeploymentId,
        /// Their names.
        alarms: Vec<String>,
    },
}
