//! What is asked of schedules, their groups and rules, and what comes of their firing.

mod delivery;

use serde::{Deserialize, Serialize};
use trireme_types::{TaskId, Timestamp};

pub use delivery::{DeliveryCommand, Mark};

use super::{Command, Growth};
use crate::object::{
    Due, RuleKey, RuleSpec, ScheduleGroupKey, ScheduleKey, ScheduleSpec, Tags, Target, Trigger,
};

/// Everything that can be asked of schedules and rules. Whoever puts one says when it is due next: the state knows no calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleCommand {
    /// EventBridge Scheduler API: CreateScheduleGroup.
    CreateGroup {
        /// Its full name.
        key: ScheduleGroupKey,
        /// Its tags.
        tags: Tags,
    },
    /// EventBridge Scheduler API: DeleteScheduleGroup, with all its schedules.
    DeleteGroup {
        /// Its full name.
        key: ScheduleGroupKey,
    },
    /// EventBridge Scheduler API: TagResource, UntagResource.
    TagGroup {
        /// Its full name.
        key: ScheduleGroupKey,
        /// Added; the same key replaces.
        add: Tags,
        /// Taken away, before others are added.
        remove: Vec<String>,
    },
    /// EventBridge Scheduler API: CreateSchedule.
    Create {
        /// Its full name.
        key: ScheduleKey,
        /// What is asked of it.
        spec: Box<ScheduleSpec>,
        /// When it is due first.
        next: Option<Due>,
    },
    /// EventBridge Scheduler API: UpdateSchedule.
    Update {
        /// Its full name.
        key: ScheduleKey,
        /// What is asked of it.
        spec: Box<ScheduleSpec>,
        /// When it is due next.
        next: Option<Due>,
    },
    /// EventBridge Scheduler API: DeleteSchedule.
    Delete {
        /// Its full name.
        key: ScheduleKey,
    },
    /// EventBridge API: PutRule, EnableRule, DisableRule.
    PutRule {
        /// Its full name.
        key: RuleKey,
        /// What is asked of it.
        spec: Box<RuleSpec>,
        /// When it is due next.
        next: Option<Due>,
        /// Tags of a rule that is not there yet.
        tags: Tags,
        /// The version that the author saw, if what is put follows from it; another one makes the command stale.
        seen: Option<u64>,
    },
    /// EventBridge API: DeleteRule. Refused while it has targets.
    DeleteRule {
        /// Its full name.
        key: RuleKey,
    },
    /// EventBridge API: TagResource, UntagResource.
    TagRule {
        /// Its full name.
        key: RuleKey,
        /// Added; the same key replaces.
        add: Tags,
        /// Taken away, before others are added.
        remove: Vec<String>,
    },
    /// EventBridge API: PutTargets, RemoveTargets.
    ChangeTargets {
        /// The rule.
        key: RuleKey,
        /// Added; the same id replaces.
        put: Vec<Target>,
        /// Ids of those that go.
        remove: Vec<String>,
    },
    /// Schedule controller: a trigger fires, or tasks of a run are tried again.
    Fire(Box<Fire>),
    /// Connections, API destinations, and the delivery of events.
    Deliver(DeliveryCommand),
}

impl ScheduleCommand {
    /// What room it takes in the state.
    pub fn growth(&self) -> Growth {
        match self {
            Self::CreateGroup { .. } | Self::Create { .. } | Self::Update { .. } | Self::PutRule { .. } => {
                Growth::Asked
            }
            Self::TagGroup { add, .. } | Self::TagRule { add, .. } if !add.is_empty() => Growth::Asked,
            Self::ChangeTargets { put, .. } if !put.is_empty() => Growth::Asked,
            Self::Fire(_) => Growth::Kept,
            Self::Deliver(command) => command.growth(),
            Self::DeleteGroup { .. }
            | Self::Delete { .. }
            | Self::DeleteRule { .. }
            | Self::TagGroup { .. }
            | Self::TagRule { .. }
            | Self::ChangeTargets { .. } => Growth::None,
        }
    }
}

/// A trigger's step, all of it or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    /// Which one.
    pub trigger: Trigger,
    /// Its version that the controller saw.
    pub version: u64,
    /// Where it is to stand, if it goes on.
    pub advance: Option<Advance>,
    /// What comes of runs: of the one that is due, or of those that are pending.
    pub runs: Vec<Run>,
}

/// A trigger goes on to its next time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// When it is due now; another time makes the command stale.
    pub due: Timestamp,
    /// When it is due next.
    pub next: Option<Due>,
    /// So many times, `due` the first, pass without a run, and why. 0: `due` is run.
    pub missed: u32,
    /// Why they pass.
    pub reason: String,
}

/// One target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run, by the time that it was due.
    pub due: Timestamp,
    /// The target's id.
    pub target: String,
    /// How often its tasks found no place so far; another number makes the command stale.
    pub tries: u32,
    /// What comes of it.
    pub result: RunResult,
}

/// What comes of one target of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunResult {
    /// Tasks are started.
    Start {
        /// How; one of the commands that run tasks.
        run: Box<Command>,
        /// Earlier tasks of the trigger that stop for them.
        stop: Vec<TaskId>,
    },
    /// They are tried again.
    Defer {
        /// When.
        again_at: Timestamp,
        /// Why.
        reason: String,
        /// Earlier tasks of the trigger that stop for them.
        stop: Vec<TaskId>,
    },
    /// They are not.
    Fail {
        /// Why.
        reason: String,
    },
}
