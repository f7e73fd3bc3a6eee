//! What the controllers know beside the state: heartbeats, the monotonic clock, and how long this node has had its quorum.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trireme_controllers::{Heard, Observer, USAGE_STEPS, UsageSample};
use trireme_dispatcher::HeartbeatTable;
use trireme_dispatcher::usage::UsageTable;
use trireme_monitoring::MetricTable;
use trireme_raft::VotersClock;
use trireme_raft::node::Node;
use trireme_state::object::{Datapoint, MetricQuery};
use trireme_types::{ContainerInstanceId, TaskId, Timestamp};

/// How often the quorum is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// The controllers' observer on a control node.
pub(crate) struct NodeObserver {
    start: Instant,
    heartbeats: Arc<HeartbeatTable>,
    usage: Arc<UsageTable>,
    metrics: Arc<MetricTable>,
    time: Arc<VotersClock>,
    quorum_since: Mutex<Option<Instant>>,
}

impl NodeObserver {
    pub(crate) fn new(
        heartbeats: Arc<HeartbeatTable>,
        usage: Arc<UsageTable>,
        metrics: Arc<MetricTable>,
        time: Arc<VotersClock>,
    ) -> Self {
        Self { start: Instant::now(), heartbeats, usage, metrics, time, quorum_since: Mutex::new(None) }
    }

    /// Looks at the quorum until `stop`.
    pub(crate) async fn watch_quorum(self: Arc<Self>, node: Node, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stop.cancelled() => return,
            }
            let has_quorum = node.status().has_quorum;
            let mut since = self.quorum_since.lock().unwrap_or_else(PoisonError::into_inner);
            *since = if has_quorum { since.or_else(|| Some(Instant::now())) } else { None };
        }
    }
}

impl Observer for NodeObserver {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn heartbeats(&self) -> BTreeMap<ContainerInstanceId, Heard> {
        let heard = self.heartbeats.snapshot().into_iter();
        heard.map(|(instance, heard)| (instance, Heard { epoch: heard.epoch, age: heard.age })).collect()
    }

    fn usage(&self, tasks: &[TaskId]) -> BTreeMap<TaskId, Vec<UsageSample>> {
        let of = |id: &TaskId| {
            let fine = self.usage.recent(*id, USAGE_STEPS);
            let samples = fine.into_iter().map(|(steps_ago, fine)| UsageSample {
                steps_ago,
                cpu_millis: fine.cpu_millis,
                memory_bytes: u64::from(fine.memory_kib) * 1_024,
            });
            (*id, samples.collect())
        };
        tasks.iter().map(of).collect()
    }

    fn metrics(&self, queries: &[(MetricQuery, usize)]) -> BTreeMap<MetricQuery, Vec<Datapoint>> {
        let now = self.time.now();
        let mut wanted: BTreeMap<&MetricQuery, usize> = BTreeMap::new();
        for (query, periods) in queries {
            let most = wanted.entry(query).or_default();
            *most = (*most).max(*periods);
        }
        let found = |(query, periods): (&MetricQuery, usize)| {
            (query.clone(), self.metrics.newest(query, now, periods))
        };
        wanted.into_iter().map(found).collect()
    }

    fn lacks_metrics(&self) -> bool {
        self.metrics.gap().is_some()
    }

    fn metrics_since(&self) -> Timestamp {
        self.metrics.whole_since()
    }

    fn quorum_held_for(&self) -> Option<Duration> {
        let since = *self.quorum_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map(|since| since.elapsed())
    }
}
