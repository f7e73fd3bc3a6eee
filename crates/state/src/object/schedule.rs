//! Schedules and their groups (EventBridge Scheduler API). What their firing has come to is a [`super::Firing`].

use serde::{Deserialize, Serialize};
use trireme_types::{Scope, Timestamp};

use super::{Tags, Target};

/// The group of schedules that name none. It is always there.
pub const DEFAULT_GROUP: &str = "default";

/// A schedule group's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScheduleGroupKey {
    /// Account and region.
    pub scope: Scope,
    /// Its name.
    pub name: String,
}

impl ScheduleGroupKey {
    /// Whether it is the group that is always there.
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_GROUP
    }
}

/// A schedule's full name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScheduleKey {
    /// Its group.
    pub group: ScheduleGroupKey,
    /// Its name, which is its own within the group.
    pub name: String,
}

/// A schedule group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleGroup {
    /// Its full name.
    pub key: ScheduleGroupKey,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Its tags. Two of them say how its schedules fire: see [`super::FiringPolicy`].
    pub tags: Tags,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its full name.
    pub key: ScheduleKey,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Rises with each change of what is asked of it.
    pub version: u64,
    /// What is asked of it.
    pub spec: ScheduleSpec,
}

/// What is asked of a schedule (EventBridge Scheduler API: CreateSchedule).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// When, as it was written.
    pub expression: String,
    /// The time zone's IANA name.
    pub zone: String,
    /// Not before this.
    pub start: Option<Timestamp>,
    /// Not after this.
    pub end: Option<Timestamp>,
    /// A flexible time window's minutes; 0: none.
    pub window_minutes: u32,
    /// Whether it fires at all.
    pub enabled: bool,
    /// Whether it goes when it has fired for the last time (actionAfterCompletion DELETE).
    pub delete_after: bool,
    /// For people.
    pub description: Option<String>,
    /// Described; without effect.
    pub kms_key_arn: Option<String>,
    /// From which moment a rate counts.
    pub anchor: Timestamp,
    /// What it starts.
    pub target: Target,
}

impl ScheduleSpec {
    /// Whether a change to `other` leaves its times as they are.
    pub fn same_times(&self, other: &Self) -> bool {
        fn times(spec: &ScheduleSpec) -> impl PartialEq + '_ {
            let dates = (spec.start, spec.end, spec.window_minutes, spec.anchor);
            (&spec.expression, &spec.zone, dates)
        }
        times(self) == times(other)
    }
}
