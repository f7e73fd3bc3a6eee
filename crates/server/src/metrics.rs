//! Metrics: one recorder for the process, its text at `/metrics`, and the gauges that are read off the state. Every room
//! records its own; none has an id as a label.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;
use trireme_dispatcher::HeartbeatTable;
use trireme_state::State;
use trireme_state::object::TaskStatus;
use trireme_types::Zone;

use crate::Error;

/// Without a listener of the exporter's own, nobody else clears its histograms.
const UPKEEP: Duration = Duration::from_secs(5);
/// From half a millisecond, a replicated write, to half a minute, a forwarded call's limit.
const BUCKETS: [f64; 16] = [
    0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 10.0, 30.0,
];

const TASKS: &str = "trireme_tasks";
const LEADS: &str = "trireme_raft_is_leader";
const SEQUENCE: &str = "trireme_applied_sequence";
const HEARTBEAT_AGE: &str = "trireme_agent_heartbeat_age_seconds";
const MEMORY: &str = "process_resident_memory_bytes";

/// The process's recorder.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the recorder. Once in a process, and within a runtime.
    ///
    /// # Errors
    /// A recorder is installed already.
    pub fn install(version: &'static str) -> Result<Self, Error> {
        let wrong =
            |error: metrics_exporter_prometheus::BuildError| Error::Metrics { reason: error.to_string() };
        let handle = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .map_err(wrong)?
            .install_recorder()
            .map_err(wrong)?;
        metrics::describe_gauge!("trireme_build_info", "Always 1; the label is the version of the binary");
        metrics::gauge!("trireme_build_info", "version" => version).set(1.0);
        metrics::describe_gauge!(MEMORY, metrics::Unit::Bytes, "Resident memory of the process");
        let upkeep = handle.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(UPKEEP);
            loop {
                ticks.tick().await;
                upkeep.run_upkeep();
                metrics::gauge!(MEMORY).set(resident_bytes() as f64);
            }
        });
        Ok(Self { handle })
    }

    /// `GET /metrics`.
    pub fn router(&self) -> Router {
        let handle = self.handle.clone();
        let render = move || {
            let text = handle.render();
            async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text) }
        };
        Router::new().route("/metrics", get(render))
    }

    /// Serves `/metrics` alone, for a process that serves nothing else over HTTP, until the process ends.
    ///
    /// # Errors
    /// The address is taken, or not this machine's.
    pub async fn serve(&self, address: SocketAddr) -> Result<(), Error> {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| Error::Listen { address, source })?;
        let router = self.router();
        tokio::spawn(async move {
            // It never ends by itself.
            let _ended = axum::serve(listener, router).await;
        });
        Ok(())
    }
}

/// Tells the recorder what the control node's metrics mean.
pub(crate) fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!(TASKS, Unit::Count, "Tasks by status and zone, as this node has applied them");
    describe_gauge!(
        HEARTBEAT_AGE,
        Unit::Seconds,
        "Silence of the connected agent that has been silent longest, by zone; on the leader, elsewhere 0"
    );
    describe_gauge!(LEADS, Unit::Count, "1 while this node leads and decides");
    describe_gauge!(SEQUENCE, Unit::Count, "The last event that this node has applied");
    describe_gauge!(
        "trireme_raft_applied_index",
        Unit::Count,
        "The last log entry that this node has applied"
    );
    describe_counter!(
        "trireme_raft_leader_changes_total",
        Unit::Count,
        "Changes of the leader that this node saw"
    );
    describe_histogram!("trireme_raft_commit_seconds", Unit::Seconds, "Time from a proposal to its commit");
    describe_histogram!("trireme_raft_fsync_seconds", Unit::Seconds, "Time that one fsync of the log took");
    describe_counter!(
        "trireme_raft_head_rebuilds_total",
        Unit::Count,
        "Times that the decider began anew from the applied state"
    );
    describe_counter!(
        "trireme_raft_appends_repeated_total",
        Unit::Count,
        "Appends that went over a second connection too, by which of the two was answered first"
    );
    describe_counter!(
        "trireme_raft_decider_panics_total",
        Unit::Count,
        "Commands that were rejected because deciding them panicked"
    );
    describe_gauge!(
        "trireme_raft_clock_offset_seconds",
        Unit::Seconds,
        "How far this node's clock is before the voters' median"
    );
    describe_gauge!(
        "trireme_raft_clock_spread_seconds",
        Unit::Seconds,
        "Between the earliest and the latest clock among the voters that answer"
    );
    describe_counter!(
        "trireme_raft_clock_disagreements_total",
        Unit::Count,
        "Checks that found clocks apart, with too few voters answering to tell which one is wrong"
    );
    describe_counter!(
        "trireme_raft_damaged_snapshots_total",
        Unit::Count,
        "Snapshots that were found damaged, and not used"
    );
    describe_counter!(
        "trireme_raft_snapshots_installed_total",
        Unit::Count,
        "Snapshots of another node that this node went on from"
    );
    describe_counter!(
        "trireme_raft_slow_disk_handovers_total",
        Unit::Count,
        "Times that this node handed leadership on because its disk was slow"
    );
    describe_upkeep();
    describe_history();
    trireme_ecs_api::describe_metrics();
    trireme_controllers::metrics::describe();
}

fn describe_upkeep() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!("trireme_disk_free_bytes", Unit::Bytes, "Room on the file system of the data folder");
    describe_gauge!(
        "trireme_disk_pressure",
        Unit::Count,
        "1 while a voter's disk is nearly full and nothing that makes the state larger is taken"
    );
    describe_counter!(
        "trireme_writes_refused_total",
        Unit::Count,
        "Commands that this node refused while it led, by reason"
    );
    describe_gauge!("trireme_feature_level", Unit::Count, "The cluster's feature level");
    describe_gauge!(
        "trireme_state_hash_sequence",
        Unit::Count,
        "The last event of the state that was hashed last"
    );
    describe_gauge!(
        "trireme_verify_problems",
        Unit::Count,
        "What the last `trireme verify` found wrong on this node"
    );
    describe_gauge!(
        "trireme_state_agreed_sequence",
        Unit::Count,
        "The newest event at which a majority of the control nodes held this node's state"
    );
    describe_gauge!(
        "trireme_state_differs",
        Unit::Count,
        "1 while another control node holds another state than this one"
    );
    describe_counter!(
        "trireme_state_hash_mismatch_total",
        Unit::Count,
        "Comparisons in which another control node held another state"
    );
    describe_counter!(
        "trireme_state_hashes_skipped_total",
        Unit::Count,
        "States that were not hashed because others waited"
    );
}

/// What is kept of the history, and what is not.
fn describe_history() {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_gauge!(
        "trireme_history_first_sequence",
        Unit::Count,
        "The first event of the history that this node keeps"
    );
    describe_counter!(
        "trireme_history_trimmed_records_total",
        Unit::Count,
        "Events that this node has deleted from its history"
    );
    describe_counter!(
        "trireme_history_damaged_checkpoints_total",
        Unit::Count,
        "Checkpoints of the history that were found damaged, and not used"
    );
}

/// The gauges that are read off the state, and which of them were ever set: what is gone must show 0, not its last value.
#[derive(Default)]
pub(crate) struct StateGauges {
    seen: BTreeSet<(String, TaskStatus)>,
    zones: BTreeSet<Zone>,
    leads_since: Option<Instant>,
}

impl StateGauges {
    /// Sets them.
    pub(crate) fn set(&mut self, state: &Arc<State>, heartbeats: &HeartbeatTable, leads: bool, now: Instant) {
        let leads_since = leads.then(|| self.leads_since.unwrap_or(now));
        self.leads_since = leads_since;
        self.set_heartbeat_ages(state, heartbeats, leads_since.map(|since| now - since));
        metrics::gauge!(LEADS).set(f64::from(u8::from(leads)));
        metrics::gauge!(SEQUENCE).set(state.position().sequence.get() as f64);
        let gauge = |zone: &str, status: TaskStatus| metrics::gauge!(TASKS, "zone" => zone.to_owned(), "status" => status.as_str());
        let mut gone = self.seen.clone();
        for (zone, status, count) in state.index().task_counts() {
            let cell = (zone.to_string(), status);
            gauge(&cell.0, status).set(count as f64);
            gone.remove(&cell);
            self.seen.insert(cell);
        }
        for (zone, status) in gone {
            gauge(&zone, status).set(0.0);
        }
    }

    /// Only the leader hears of all agents, and only since it leads.
    fn set_heartbeat_ages(&mut self, state: &State, heartbeats: &HeartbeatTable, led: Option<Duration>) {
        let ages = led.map(|led| heartbeats.oldest_ages(state, led)).unwrap_or_default();
        self.zones.extend(ages.keys().cloned());
        for zone in &self.zones {
            let age = ages.get(zone).copied().unwrap_or_default();
            metrics::gauge!(HEARTBEAT_AGE, "zone" => zone.to_string()).set(age.as_secs_f64());
        }
    }
}

/// The process's resident memory, as the kernel tells it.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
