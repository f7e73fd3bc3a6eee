//! What happens to scalable targets.

use serde::{Deserialize, Serialize};
use trireme_types::Timestamp;

use crate::object::{
    CoolingPolicy, ScalableTargetSpec, ScalingActivity, ScalingPolicySpec, ScheduledActionSpec, ServiceKey,
    Tags,
};

/// What happened to a scalable target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoscalingEvent {
    /// A service has a scalable target, or what is asked of it is something else.
    ScalableTargetRegistered {
        /// The service.
        key: ServiceKey,
        /// The target's id, which it keeps.
        id: u128,
        /// All of it.
        spec: ScalableTargetSpec,
    },
    /// It has none any more.
    ScalableTargetDeregistered {
        /// The service.
        key: ServiceKey,
    },
    /// A scalable target's tags are these now.
    ScalableTargetTagged {
        /// The service.
        key: ServiceKey,
        /// All of them.
        tags: Tags,
    },
    /// A policy is there, or is another one under the same name. Its cool-downs begin anew.
    ScalingPolicyPut {
        /// The service.
        key: ServiceKey,
        /// The policy's name.
        name: String,
        /// Its id, which it keeps.
        id: u128,
        /// All of it.
        spec: Box<ScalingPolicySpec>,
    },
    /// A policy is gone.
    ScalingPolicyDeleted {
        /// The service.
        key: ServiceKey,
        /// The policy's name.
        name: String,
    },
    /// A scheduled action is there, or is another one under the same name.
    ScheduledActionPut {
        /// The service.
        key: ServiceKey,
        /// The action's name.
        name: String,
        /// Its id, which it keeps.
        id: u128,
        /// All of it.
        spec: Box<ScheduledActionSpec>,
        /// When it is taken first, if ever.
        next: Option<Timestamp>,
    },
    /// A scheduled action is gone.
    ScheduledActionDeleted {
        /// The service.
        key: ServiceKey,
        /// The action's name.
        name: String,
    },
    /// A scheduled action was due. What it changes follows in the same entry; nothing does when such actions are suspended.
    ScheduledActionTaken {
        /// The service.
        key: ServiceKey,
        /// The action's name.
        name: String,
        /// When it is taken next.
        next: Option<Timestamp>,
    },
    /// A service was scaled, or was not though a policy wanted it. The service's new spec goes before it in the same entry.
    ScalingActivityRecorded {
        /// The service.
        key: ServiceKey,
        /// What was done, and why.
        activity: Box<ScalingActivity>,
        /// The policy that said so.
        policy: Option<Box<CoolingPolicy>>,
    },
}
