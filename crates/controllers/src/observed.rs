//! What controllers know beside the state: who was heard, and how long this node has been able to hear. None of it is in the
//! log; all of it is counted on the monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_types::{ContainerInstanceId, SessionEpoch};

/// When an instance's agent was last heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Under which epoch.
    pub epoch: SessionEpoch,
    /// How long ago.
    pub age: Duration,
}

/// What the driver hands to a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Who was heard. Filled only for controllers that ask for it.
    pub heartbeats: BTreeMap<ContainerInstanceId, Heard>,
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

    /// How long this leader has had its quorum without a gap; `None` while it has none.
    fn quorum_held_for(&self) -> Option<Duration>;
}
