//! Task sets: the deployments of a service that someone else than Trireme controls (ECS API: TaskSet, DeploymentControllerType
//! EXTERNAL). Each keeps a part of the service's desired count running, of a definition of its own.

use imbl::Vector;
use serde::{Deserialize, Serialize};
use trireme_types::{DeploymentId, Timestamp};

use super::{BackOff, Described, Tags, TaskDefinitionKey};

/// A service's task sets. That a service has this, be it empty, says that its deployment controller is EXTERNAL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSets {
    /// The newest first; at most [`crate::limits::TASK_SETS_PER_SERVICE`].
    pub sets: Vector<TaskSet>,
}

impl TaskSets {
    /// A task set by its id.
    pub fn set(&self, id: DeploymentId) -> Option<&TaskSet> {
        self.sets.iter().find(|set| set.id == id)
    }

    /// The one whose parameters are the service's.
    pub fn primary(&self) -> Option<&TaskSet> {
        self.sets.iter().find(|set| set.status == TaskSetStatus::Primary)
    }
}

/// ECS API: TaskSet.status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskSetStatus {
    /// Serves production traffic.
    Primary,
    /// Does not.
    Active,
    /// Deleted; its tasks are stopping.
    Draining,
}

/// What a user asks of a task set (ECS API: CreateTaskSet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSetSpec {
    /// What its tasks are made from.
    pub task_definition: TaskDefinitionKey,
    /// The part of the service's desired count.
    pub scale: Scale,
    /// The caller's own mark.
    pub external_id: Option<String>,
    /// What has no effect but is described.
    pub described: Described,
}

/// A task set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSet {
    /// Its id, which its tasks carry as that of their deployment.
    pub id: DeploymentId,
    /// What the user asked for.
    pub spec: TaskSetSpec,
    /// Where it is in its life.
    pub status: TaskSetStatus,
    /// Its tags.
    pub tags: Tags,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// ECS API: StabilityStatus STEADY_STATE.
    pub steady: bool,
    /// Since when that is so, or is not.
    pub steady_changed_at: Timestamp,
    /// It has been steady before: from then on one task that fails holds up no other.
    pub completed: bool,
    /// Tasks of it that stopped before they ran.
    pub failed_tasks: u32,
    /// When its next task may start, after failures.
    pub back_off: Option<BackOff>,
}

impl TaskSet {
    /// How many tasks it keeps of a service that wants `desired` (ECS API: TaskSet.computedDesiredCount).
    pub fn computed_desired_count(&self, desired: u32) -> u32 {
        match self.status {
            TaskSetStatus::Draining => 0,
            TaskSetStatus::Primary | TaskSetStatus::Active => self.spec.scale.of(desired),
        }
    }
}

/// A part of a service's desired count, in millionths of a percent: a state holds no floating-point numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scale(u32);

impl Scale {
    const PERCENT: u32 = 1_000_000;
    /// All of it.
    pub const WHOLE: Self = Self(100 * Self::PERCENT);

    /// From percent; `None` outside of 0 to 100 (ECS API: Scale.value). Digits beyond the sixth are rounded.
    pub fn from_percent(value: f64) -> Option<Self> {
        // The range is checked, and a product within it fits.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (0.0..=100.0).contains(&value).then(|| Self((value * f64::from(Self::PERCENT)).round() as u32))
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / f64::from(Self::PERCENT)
    }

    /// This part of `count`, rounded up.
    pub fn of(self, count: u32) -> u32 {
        let product = u64::from(count).saturating_mul(u64::from(self.0));
        u32::try_from(product.div_ceil(u64::from(Self::WHOLE.0))).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_desired_count_is_rounded_up() {
        let of = |percent, count| Scale::from_percent(percent).map(|scale| scale.of(count));
        assert_eq!(of(0.0, 10), Some(0));
        assert_eq!(of(12.0, 10), Some(2), "1.2 is 2");
        assert_eq!(of(100.0, 7), Some(7));
        assert_eq!(of(0.000_001, 1), Some(1));
        assert_eq!(of(33.3, 1_000), Some(333));
        for outside in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::from_percent(outside), None, "{outside}");
        }
        for percent in [0.0, 0.5, 33.3, 66.666_667, 99.999_999, 100.0] {
            assert_eq!(Scale::from_percent(percent).map(Scale::percent), Some(percent));
        }
    }
}
