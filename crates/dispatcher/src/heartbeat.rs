//! Heartbeats: who was heard when, in memory and on the monotonic clock. Each node records what it hears itself and relays
//! it to the leader, where node health reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trireme_state::State;
use trireme_state::store::BoxFuture;
use trireme_types::{ContainerInstanceId, SessionEpoch, Zone, planted};

use crate::clock::{self, Instant};

/// How often a node relays what it heard.
pub const RELAY_INTERVAL: Duration = Duration::from_millis(500);
/// The time that one relay may take.
const RELAY_LIMIT: Duration = Duration::from_secs(1);
/// An instance that was silent for so long is forgotten here: a cluster may wait for an hour before it takes one for lost.
const KEPT: Duration = Duration::from_secs(3_700);

/// When an instance was last heard, and under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The session's epoch.
    pub epoch: SessionEpoch,
    /// How long ago.
    pub age: Duration,
}

/// A heartbeat on its way to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedHeartbeat {
    /// Whose.
    pub instance: ContainerInstanceId,
    /// The session's epoch.
    pub epoch: SessionEpoch,
    /// How long ago it was heard when it was sent.
    pub age: Duration,
}

#[derive(Clone, Copy)]
struct Beat {
    epoch: SessionEpoch,
    at: Instant,
    /// Heard here, and not relayed since.
    fresh: bool,
}

#[derive(Default)]
struct Table {
    beats: BTreeMap<ContainerInstanceId, Beat>,
}

/// Who was heard when. Shared by the sessions, the relay, and on the leader node health.
#[derive(Default)]
pub struct HeartbeatTable {
    table: Mutex<Table>,
    /// When the first relay began that failed since the last that did not.
    failing: watch::Sender<Option<Instant>>,
}

impl HeartbeatTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent was heard on this node, now.
    pub fn record(&self, instance: ContainerInstanceId, epoch: SessionEpoch) {
        self.lock().hear(instance, Beat { epoch, at: clock::now(), fresh: true });
    }

    /// Another node heard agents, as long ago as it says.
    pub fn record_relayed(&self, heartbeats: impl IntoIterator<Item = RelayedHeartbeat>) {
        let now = clock::now();
        let mut table = self.lock();
        for heartbeat in heartbeats {
            let at = now.checked_sub(heartbeat.age).unwrap_or(now);
            table.hear(heartbeat.instance, Beat { epoch: heartbeat.epoch, at, fresh: false });
        }
    }

    /// What was heard on this node since the last call.
    pub fn drain_for_relay(&self) -> Vec<RelayedHeartbeat> {
        let now = clock::now();
        let mut table = self.lock();
        table.beats.retain(|_, beat| now.saturating_duration_since(beat.at) < KEPT);
        let fresh = table.beats.iter_mut().filter(|(_, beat)| beat.fresh);
        fresh
            .map(|(instance, beat)| {
                beat.fresh = false;
                let age = now.saturating_duration_since(beat.at);
                RelayedHeartbeat { instance: *instance, epoch: beat.epoch, age }
            })
            .collect()
    }

    /// Gives back what could not be relayed.
    fn restore(&self, heartbeats: &[RelayedHeartbeat]) {
        let mut table = self.lock();
        for heartbeat in heartbeats {
            if let Some(beat) = table.beats.get_mut(&heartbeat.instance) {
                beat.fresh = true;
            }
        }
    }

    /// Notes how a relay ended that began then.
    fn note_relay(&self, began: Instant, done: bool) {
        self.failing.send_if_modified(|failing| {
            let before = *failing;
            *failing = if done { None } else { Some(before.unwrap_or(began)) };
            *failing != before
        });
    }

    /// Returns once relays have failed for so long. It counts from when the first of them began, for until then the leader was told
    /// of who was heard, and from then on it was not.
    pub async fn relay_fails_for(&self, patience: Duration) {
        let mut failing = self.failing.subscribe();
        loop {
            let since = *failing.borrow_and_update();
            let changed = failing.changed();
            let over = match since {
                None => changed.await.is_err(),
                Some(since) => tokio::time::timeout_at(since + patience, changed).await.is_err(),
            };
            if over {
                return;
            }
        }
    }

    /// Every instance that was heard here or by relay within the last minutes, and how long ago.
    pub fn snapshot(&self) -> BTreeMap<ContainerInstanceId, Heard> {
        let now = clock::now();
        let heard = |beat: &Beat| Heard { epoch: beat.epoch, age: now.saturating_duration_since(beat.at) };
        self.lock().beats.iter().map(|(instance, beat)| (*instance, heard(beat))).collect()
    }

    /// By zone, how long ago the instance was heard that has been silent longest of those that `state` takes for connected.
    /// None counts as silent for longer than `at_most`, and one that was never heard as silent for just as long: for a leader
    /// that is the time since it leads.
    pub fn oldest_ages(&self, state: &State, at_most: Duration) -> BTreeMap<Zone, Duration> {
        let heard = self.snapshot();
        let mut ages = BTreeMap::new();
        for instance in state.instances().filter(|instance| state.is_present(instance)) {
            let age = heard.get(&instance.id).map_or(at_most, |heard| heard.age.min(at_most));
            let oldest = ages.entry(instance.registration.zone.clone()).or_insert(Duration::ZERO);
            *oldest = age.max(*oldest);
        }
        ages
    }
}

impl Table {
    /// Keeps the newest of the highest epoch.
    fn hear(&mut self, instance: ContainerInstanceId, beat: Beat) {
        let known = self.beats.entry(instance).or_insert(beat);
        if (beat.epoch, beat.at) >= (known.epoch, known.at) {
            *known = beat;
        }
    }
}

/// How a node's heartbeats reach the leader. On the leader itself it has nothing to do: the leader reads the same table.
pub trait HeartbeatTransport: Send + Sync + 'static {
    /// Sends a batch. The error says why the leader does not have it.
    fn send(&self, heartbeats: Vec<RelayedHeartbeat>) -> BoxFuture<'_, Result<(), String>>;
}

/// Relays this node's heartbeats each [`RELAY_INTERVAL`] until `shutdown`. An empty batch is sent too: it shows that
/// the leader can be reached.
pub async fn relay(
    table: Arc<HeartbeatTable>,
    transport: impl HeartbeatTransport,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(RELAY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let mut batch = table.drain_for_relay();
        if planted::is("heartbeats-not-relayed") {
            batch.clear();
        }
        let began = clock::now();
        let sent = tokio::time::timeout(RELAY_LIMIT, transport.send(batch.clone())).await;
        let result = sent.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        if let Err(reason) = &result {
            tracing::debug!(%reason, heartbeats = batch.len(), "heartbeats were not relayed");
            table.restore(&batch);
        }
        table.note_relay(began, result.is_ok());
        let result = if result.is_ok() { "ok" } else { "error" };
        metrics::counter!("trireme_heartbeat_relays_total", "result" => result).increment(1);
    }
}

#[cfg(test)]
#[path = "heartbeat/tests.rs"]
mod tests;
