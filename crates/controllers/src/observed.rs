//! What controllers know beside the state: who was heard, how long this node has been able to hear, what tasks use, and metrics. None of it
//! is in the log; ages are counted on the monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_state::object::{Datapoint, MetricQuery};
use trireme_types::{ContainerInstanceId, SessionEpoch, TaskId, Timestamp};

/// When an instance's agent was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Under which epoch.
    pub epoch: SessionEpoch,
    /// How long ago.
    pub age: Duration,
}

/// What a task used during a step of a few seconds. All tasks' steps begin at the same moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageSample {
    /// How many steps ago: 0 is the one that is under way.
    pub steps_ago: u32,
    /// Thousandths of a processor.
    pub cpu_millis: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// The length of a step of [`UsageSample`].
pub const USAGE_STEP: Duration = Duration::from_secs(5);
/// Samples that are older are not asked for.
pub const USAGE_STEPS: u32 = 24;

/// What the driver hands to a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Who was heard. Filled only for controllers that ask for it.
    pub heartbeats: BTreeMap<ContainerInstanceId, Heard>,
    /// What the tasks used that a controller asks for ([`crate::Controller::measured`]), the newest first. Of a task that is missing
    /// nothing is known.
    pub usage: BTreeMap<TaskId, Vec<UsageSample>>,
    /// What a controller asks for ([`crate::Controller::queried`]), the oldest first, without the periods that have no samples. The last one may
    /// be under way still.
    pub metrics: BTreeMap<MetricQuery, Vec<Datapoint>>,
    /// Periods that began before are not among them, though there may have been samples: this node does not have all of those.
    pub metrics_since: Timestamp,
    /// How long this node has been deciding.
    pub deciding_for: Duration,
    /// How long it has had its quorum; `None` while it has none.
    pub quorum_for: Option<Duration>,
    /// How long ago this process last stalled, if it did.
    pub since_stall: Option<Duration>,
}

impl Observed {
    /// How long this node could have heard an agent: since the latest of its office, its quorum and its last stall. `None`
    /// when it cannot now.
    pub fn attentive_for(&self) -> Option<Duration> {
        let quorum = self.quorum_for?;
        Some(self.deciding_for.min(quorum).min(self.since_stall.unwrap_or(Duration::MAX)))
    }
}

/// Where the driver's observations come from. The server implements it over the dispatcher's heartbeats and Raft's metrics.
pub trait Observer: Send + Sync + 'static {
    /// The monotonic clock: time since some fixed point.
    fn monotonic(&self) -> Duration;

    /// When each agent was last heard, by this node or by one that relays to it.
    fn heartbeats(&self) -> BTreeMap<ContainerInstanceId, Heard>;

    /// What these tasks used in the last [`USAGE_STEPS`] steps, the newest first.
    fn usage(&self, tasks: &[TaskId]) -> BTreeMap<TaskId, Vec<UsageSample>>;

    /// The newest datapoints of metrics: so many periods of each, with the one that is under way.
    fn metrics(&self, queries: &[(MetricQuery, usize)]) -> BTreeMap<MetricQuery, Vec<Datapoint>>;

    /// From when on this node has all samples of metrics.
    fn metrics_since(&self) -> Timestamp;

    /// Whether some are missing that are about to be copied from another node.
    fn lacks_metrics(&self) -> bool;

    /// How long this leader has had its quorum without a gap; `None` while it has none.
    fn quorum_held_for(&self) -> Option<Duration>;
}
