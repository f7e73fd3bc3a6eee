//! What fires, what it starts, and how far it has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{Family, Scope, TaskId, Timestamp};

use super::{
    ApiDestinationKey, ClusterKey, Launching, NetworkConfiguration, PlacementRules, RuleKey, ScheduleKey,
    Tags, TaskOverrides,
};

/// Something that fires at times of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Trigger {
    /// A schedule.
    Schedule(ScheduleKey),
    /// A rule.
    Rule(RuleKey),
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Schedule(key) => write!(f, "schedule {}/{}", key.group.name, key.name),
            Self::Rule(key) => write!(f, "rule {}", key.name),
        }
    }
}

/// What is started when something fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its id within the rule; empty of a schedule, which has only one.
    pub id: String,
    /// All that was said of it, as JSON, for whoever asks again.
    pub described: String,
    /// What it is.
    pub invokes: Invocation,
    /// What it is told of an event.
    pub input: TargetInput,
    /// What happens when it cannot be done.
    pub retry: RetryPolicy,
}

impl Target {
    /// The tasks that it is.
    pub fn tasks(&self) -> Option<&TargetTasks> {
        match &self.invokes {
            Invocation::Tasks(tasks) => Some(tasks),
            Invocation::ApiDestination(_) => None,
        }
    }

    /// The API destination that it is.
    pub fn call(&self) -> Option<&ApiDestinationCall> {
        match &self.invokes {
            Invocation::Tasks(_) => None,
            Invocation::ApiDestination(call) => Some(call),
        }
    }
}

/// What a target is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Invocation {
    /// Tasks.
    Tasks(Box<TargetTasks>),
    /// A call over HTTP.
    ApiDestination(ApiDestinationCall),
}

/// A call of an API destination (EventBridge API: HttpParameters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiDestinationCall {
    /// Which one.
    pub destination: ApiDestinationKey,
    /// What stands for each `*` of its address.
    pub path_values: Vec<String>,
    /// Headers beside those of its connection.
    pub headers: BTreeMap<String, String>,
    /// Query strings beside those of its connection.
    pub query: BTreeMap<String, String>,
}

/// What a target is told of an event (EventBridge API: Input, InputPath, InputTransformer).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetInput {
    /// The event.
    #[default]
    Event,
    /// This JSON.
    Constant(String),
    /// This part of the event, by its JSON path.
    Part(String),
    /// A text in which `<name>` stands for a part of the event.
    Template {
        /// JSON paths by name.
        paths: BTreeMap<String, String>,
        /// The text.
        template: String,
    },
}

/// Tasks to be run (EventBridge API: EcsParameters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTasks {
    /// Where.
    pub cluster: ClusterKey,
    /// Account and region of the definition.
    pub scope: Scope,
    /// Its family.
    pub family: Family,
    /// Its revision; `None`: the newest active one at that time.
    pub revision: Option<u32>,
    /// How many.
    pub count: u32,
    /// Changes to the definition.
    pub overrides: TaskOverrides,
    /// `None`: `family:F`.
    pub group: Option<String>,
    /// On what; `None`: as their cluster's default has it when they run.
    pub launching: Option<Launching>,
    /// Where they get interfaces of their own.
    pub network: Option<NetworkConfiguration>,
    /// What is asked of their machines.
    pub rules: PlacementRules,
    /// Tags of the tasks.
    pub tags: Tags,
    /// Whether the definition's tags come before these (propagateTags TASK_DEFINITION).
    pub propagates: bool,
    /// Whether ECS's own tags are added.
    pub managed_tags: bool,
    /// Whether commands may be run in them.
    pub allows_commands: bool,
}

/// How long and how often what could not be done is tried again (EventBridge API: RetryPolicy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Not later than this after they were due.
    pub max_age_seconds: u32,
    /// Not more often.
    pub max_attempts: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_age_seconds: 86_400, max_attempts: 185 }
    }
}

/// What happens when a trigger is due while tasks that it started earlier are not STOPPED. AWS has only the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Others are started beside them.
    #[default]
    Allow,
    /// None is started.
    Skip,
    /// They are stopped.
    Replace,
}

/// What becomes of times that passed while nobody could see to them. AWS has only the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissedRuns {
    /// Each is made up for, unless it is older than the retry policy allows.
    #[default]
    CatchUp,
    /// Only the last one is.
    Latest,
    /// None is that is more than a minute late.
    Skip,
}

/// How a trigger fires: two tags of a rule or of a schedule's group, which any client can set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FiringPolicy {
    /// Tag [`FiringPolicy::OVERLAP`].
    pub overlap: Overlap,
    /// Tag [`FiringPolicy::MISSED_RUNS`].
    pub missed: MissedRuns,
}

impl FiringPolicy {
    /// `allow`, `skip` or `replace`.
    pub const OVERLAP: &str = "trireme:overlap";
    /// `catch-up`, `latest` or `skip`.
    pub const MISSED_RUNS: &str = "trireme:missed-runs";

    /// From tags.
    ///
    /// # Errors
    ///
    /// A value that means nothing, in words for the one who set it.
    pub fn of(tags: &Tags) -> Result<Self, String> {
        let value = |name: &str| tags.get(name).map(String::as_str);
        let overlap = match value(Self::OVERLAP) {
            None | Some("allow") => Overlap::Allow,
            Some("skip") => Overlap::Skip,
            Some("replace") => Overlap::Replace,
            Some(_) => return Err(format!("The tag {} is allow, skip or replace.", Self::OVERLAP)),
        };
        let missed = match value(Self::MISSED_RUNS) {
            None | Some("catch-up") => MissedRuns::CatchUp,
            Some("latest") => MissedRuns::Latest,
            Some("skip") => MissedRuns::Skip,
            Some(_) => return Err(format!("The tag {} is catch-up, latest or skip.", Self::MISSED_RUNS)),
        };
        Ok(Self { overlap, missed })
    }
}

/// A time at which a trigger is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// The time that its expression gives. It names the run.
    pub at: Timestamp,
    /// When it fires: the same, or later within its flexible time window.
    pub fires_at: Timestamp,
}

/// Tasks of a run that are not started yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// When they were due.
    pub due: Timestamp,
    /// Of which target.
    pub target: String,
    /// How often they found no place.
    pub tries: u32,
    /// When they are tried again.
    pub again_at: Timestamp,
    /// Why they found none.
    pub reason: String,
}

/// How far a trigger has come. Whoever leads goes on from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// When it is due next; `None`: never.
    pub next: Option<Due>,
    /// What is still to be started, the oldest first.
    pub pending: Vec<Pending>,
    /// The newest tasks that it started, with the run that each is of. Those that are STOPPED go with the next.
    pub tasks: Vec<(Timestamp, TaskId)>,
}

impl Firing {
    /// When there is something to do for it.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let pending = self.pending.iter().map(|pending| pending.again_at);
        pending.chain(self.next.map(|due| due.fires_at)).min()
    }

    /// What is pending of a run.
    pub fn pending(&self, due: Timestamp, target: &str) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.due == due && pending.target == target)
    }
}
