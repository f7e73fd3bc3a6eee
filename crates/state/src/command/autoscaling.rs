//! What is asked of scalable targets.

use serde::{Deserialize, Serialize};
use trireme_types::Timestamp;

use crate::object::{
    HeldScaling, ScalingPolicySpec, ScheduledActionSpec, ServiceKey, SuspendedScaling, Tags,
};

/// A command about a scalable target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoscalingCommand {
    /// Application Auto Scaling API: RegisterScalableTarget. A service outside the new bounds is brought within them.
    Register {
        /// The service.
        service: ServiceKey,
        /// What changes of the target, or what a new one is.
        change: ScalableTargetChange,
        /// Tags of a new one.
        tags: Tags,
    },
    /// Application Auto Scaling API: DeregisterScalableTarget. Its policies and actions go with it.
    Deregister {
        /// The service.
        service: ServiceKey,
    },
    /// Application Auto Scaling API: PutScalingPolicy.
    PutPolicy {
        /// The service.
        service: ServiceKey,
        /// The policy's name.
        name: String,
        /// All of it.
        spec: ScalingPolicySpec,
    },
    /// Application Auto Scaling API: DeleteScalingPolicy.
    DeletePolicy {
        /// The service.
        service: ServiceKey,
        /// The policy's name.
        name: String,
    },
    /// Application Auto Scaling API: PutScheduledAction.
    PutAction {
        /// The service.
        service: ServiceKey,
        /// The action's name.
        name: String,
        /// All of it.
        spec: ScheduledActionSpec,
        /// When it is taken first, if ever.
        next: Option<Timestamp>,
    },
    /// Application Auto Scaling API: DeleteScheduledAction.
    DeleteAction {
        /// The service.
        service: ServiceKey,
        /// The action's name.
        name: String,
    },
    /// Application Auto Scaling API: TagResource, UntagResource.
    Tag {
        /// The service.
        service: ServiceKey,
        /// Added; the same key replaces.
        add: Tags,
        /// Keys to remove.
        remove: Vec<String>,
    },
    /// Autoscaling controller: another desired count.
    Scale {
        /// The service.
        service: ServiceKey,
        /// The target's version that the plan saw.
        version: u64,
        /// The service's desired count that the plan saw.
        from: u32,
        /// The new one.
        to: u32,
        /// The policy that says so.
        policy: String,
        /// Why, for people.
        cause: String,
    },
    /// Autoscaling controller: a policy wants more tasks, and must not have them. Recorded once for each reason.
    Hold {
        /// The service.
        service: ServiceKey,
        /// The target's version that the plan saw.
        version: u64,
        /// Why.
        held: HeldScaling,
        /// The same, for people.
        cause: String,
    },
    /// Autoscaling controller: a scheduled action is due.
    TakeAction {
        /// The service.
        service: ServiceKey,
        /// The action's name.
        name: String,
        /// When it was due, as the plan saw it. Another time makes the command stale.
        due: Timestamp,
        /// When it is taken next.
        next: Option<Timestamp>,
    },
}

impl AutoscalingCommand {
    /// The service that it is about.
    pub const fn service(&self) -> &ServiceKey {
        match self {
            Self::Register { service, .. }
            | Self::Deregister { service }
            | Self::PutPolicy { service, .. }
            | Self::DeletePolicy { service, .. }
            | Self::PutAction { service, .. }
            | Self::DeleteAction { service, .. }
            | Self::Tag { service, .. }
            | Self::Scale { service, .. }
            | Self::Hold { service, .. }
            | Self::TakeAction { service, .. } => service,
        }
    }
}

/// What changes of a scalable target. What is not given stays; a new one needs both bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalableTargetChange {
    /// The fewest tasks.
    pub min: Option<u32>,
    /// The most.
    pub max: Option<u32>,
    /// What is not done at present.
    pub suspended: Option<SuspendedScaling>,
    /// As it was given; without effect.
    pub role_arn: Option<String>,
}
