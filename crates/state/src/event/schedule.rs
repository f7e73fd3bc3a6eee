//! What happens to schedules, their groups and rules, and when they fire.

use serde::{Deserialize, Serialize};
use trireme_types::{TaskId, Timestamp};

use crate::object::{
    Due, RuleKey, RuleSpec, ScheduleGroupKey, ScheduleKey, ScheduleSpec, Tags, Target, Trigger,
};

/// What happened to a schedule, a group of them, or a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScheduleEvent {
    /// A schedule group is there.
    ScheduleGroupCreated {
        /// Its full name.
        key: ScheduleGroupKey,
        /// Its tags.
        tags: Tags,
    },
    /// It is gone, with its schedules.
    ScheduleGroupDeleted {
        /// Its full name.
        key: ScheduleGroupKey,
    },
    /// Its tags are these now.
    ScheduleGroupTagged {
        /// Its full name.
        key: ScheduleGroupKey,
        /// All of them.
        tags: Tags,
    },
    /// A schedule is there, or something else is asked of it.
    SchedulePut {
        /// Its full name.
        key: ScheduleKey,
        /// What is asked of it.
        spec: Box<ScheduleSpec>,
        /// When it is due next.
        next: Option<Due>,
    },
    /// A schedule is gone.
    ScheduleDeleted {
        /// Its full name.
        key: ScheduleKey,
    },
    /// A rule is there, or something else is asked of it.
    RulePut {
        /// Its full name.
        key: RuleKey,
        /// What is asked of it.
        spec: Box<RuleSpec>,
        /// When it is due next.
        next: Option<Due>,
    },
    /// A rule is gone.
    RuleDeleted {
        /// Its full name.
        key: RuleKey,
    },
    /// A rule's tags are these now.
    RuleTagged {
        /// Its full name.
        key: RuleKey,
        /// All of them.
        tags: Tags,
    },
    /// A rule's targets are these now.
    RuleTargetsChanged {
        /// Its full name.
        key: RuleKey,
        /// All of them.
        targets: Vec<Target>,
    },
    /// A trigger was due and is due next at another time. What came of it follows in the same entry.
    TriggerFired {
        /// Which one.
        trigger: Trigger,
        /// The run, by the time that it was due.
        due: Timestamp,
        /// When it is due next.
        next: Option<Due>,
    },
    /// Times at which a trigger was due passed without a run.
    RunsMissed {
        /// Which one.
        trigger: Trigger,
        /// The first of them.
        from: Timestamp,
        /// How many.
        count: u32,
        /// When it is due next.
        next: Option<Due>,
        /// Why, for people.
        reason: String,
    },
    /// A run's tasks were started.
    RunStarted {
        /// Of which trigger.
        trigger: Trigger,
        /// The run.
        due: Timestamp,
        /// The target's id.
        target: String,
        /// The tasks.
        tasks: Vec<TaskId>,
    },
    /// A run's tasks found no place; they are tried again.
    RunDeferred {
        /// Of which trigger.
        trigger: Trigger,
        /// The run.
        due: Timestamp,
        /// The target's id.
        target: String,
        /// How often they found none.
        tries: u32,
        /// When they are tried again.
        again_at: Timestamp,
        /// Why they found none.
        reason: String,
    },
    /// A run's tasks are not started, and not tried again.
    RunFailed {
        /// Of which trigger.
        trigger: Trigger,
        /// The run.
        due: Timestamp,
        /// The target's id.
        target: String,
        /// Why.
        reason: String,
    },
}
