//! What an overload is measured by: memory of the control nodes, terms, lost agents, and how reads and operators fare meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use trireme_cli::client::cluster_status;

use super::Stage;
use super::agent::count;
use super::leader::highest_term;
use crate::lab::host::{ZONES, api, grpc};
use crate::metrics;

const PAUSE: Duration = Duration::from_millis(100);
const MIB: f64 = 1024.0;
/// What a control node may take beyond what it took before.
const GROWTH: f64 = 512.0;

/// The state of things before.
pub struct Meter {
    term: Option<u64>,
    events: usize,
    memory: Vec<(u8, f64)>,
    shed: f64,
    stop: Arc<AtomicBool>,
    reads: tokio::task::JoinHandle<Times>,
    looks: tokio::task::JoinHandle<Times>,
}

/// How long calls took, in seconds, and how many failed.
#[derive(Debug, Default)]
pub struct Times {
    took: Vec<f64>,
    failed: usize,
}

impl Times {
    fn note(&mut self, began: Instant, done: bool) {
        self.took.push(began.elapsed().as_secs_f64());
        self.failed += usize::from(!done);
    }

    /// The time within which so many of a hundred were over.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.took.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0)
    }
}

impl Meter {
    /// Begins: from now on somebody reads, and somebody looks at the cluster's status.
    pub async fn start(stage: &Stage) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = ZONES.iter().map(|zone| stage.node(*zone)).collect();
        let stopped = stop.clone();
        let reads = tokio::spawn(async move {
            let mut times = Times::default();
            for client in clients.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let began = Instant::now();
                times.note(began, client.describe_services().services("web").send().await.is_ok());
                trireme_testkit::hold(PAUSE).await;
            }
            times
        });
        let stopped = stop.clone();
        let looks = tokio::spawn(async move {
            let mut times = Times::default();
            for zone in ZONES.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let began = Instant::now();
                times.note(began, cluster_status(&grpc(*zone)).await.is_ok());
                trireme_testkit::hold(PAUSE * 3).await;
            }
            times
        });
        let memory = memory(stage, "VmRSS:");
        for (zone, _) in &memory {
            if let Some(pid) = stage.lab.server_pid(*zone) {
                // From here on the peak is counted anew.
                let _best_effort = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
            }
        }
        let (term, shed) = (highest_term().await, shed().unwrap_or(0.0));
        Self { term, events: stage.history.count(), memory, shed, stop, reads, looks }
    }

    /// Ends, and puts everything into the verdict. `lost` agents are to be lost, no more and no fewer.
    ///
    /// # Errors
    /// A node does not tell its metrics.
    pub async fn finish(self, stage: &mut Stage, lost: usize) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match (self.term, highest_term().await) {
            (Some(before), Some(after)) => {
                let terms = after.saturating_sub(before);
                stage.expect("elections", terms == 0, format!("{terms} elections meanwhile"));
            }
            _ => stage.open("elections", "no control node told its term"),
        }
        let gone = count(&stage.history.since(self.events), "InstanceLost");
        stage.expect("heartbeats", gone == lost, format!("{gone} agents lost, {lost} were to be"));
        for (what, times) in [("reads", self.reads.await?), ("status calls", self.looks.await?)] {
            let all = times.took.len();
            if all == 0 {
                stage.open("calls", format!("no {what} were made meanwhile"));
            }
            stage.figure(&format!("{what} meanwhile"), all as f64, "", None);
            stage.figure(&format!("{what}: failed"), times.failed as f64, "", Some(all as f64 / 20.0));
            stage.figure(&format!("{what}: p99"), times.percentile(99), "s", None);
        }
        tell_memory(stage, &self.memory);
        stage.figure("turned away by the control nodes", shed()? - self.shed, "", None);
        Ok(())
    }
}

/// Memory before and at its peak.
fn tell_memory(stage: &mut Stage, before: &[(u8, f64)]) {
    let peaks = memory(stage, "VmHWM:");
    for zone in ZONES {
        let of = |all: &[(u8, f64)]| all.iter().find(|(each, _)| *each == zone).map(|(_, mib)| *mib);
        let (Some(before), Some(peak)) = (of(before), of(&peaks)) else {
            stage.open("memory", format!("zone {zone}'s control node could not be measured"));
            continue;
        };
        stage.figure(&format!("zone {zone}'s control node, memory before"), before, "MiB", None);
        stage.figure(&format!("zone {zone}'s control node, peak"), peak, "MiB", Some(before + GROWTH));
    }
}

fn memory(stage: &Stage, field: &str) -> Vec<(u8, f64)> {
    let of = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()
    };
    let each = ZONES.iter().filter_map(|zone| Some((*zone, of(stage.lab.server_pid(*zone)?)? / MIB)));
    each.collect()
}

/// What all nodes have turned away so far, API calls and agents.
fn shed() -> Result<f64> {
    let mut shed = 0.0;
    for zone in ZONES {
        let text = metrics::read(&api(zone))?;
        shed +=
            metrics::sum(&text, "trireme_api_shed_total") + metrics::sum(&text, "trireme_agent_shed_total");
    }
    Ok(shed)
}

/// Agents that have a session, over all nodes.
///
/// # Errors
/// A node does not tell its metrics.
pub fn sessions() -> Result<f64> {
    let mut sessions = 0.0;
    for zone in ZONES {
        sessions += metrics::sum(&metrics::read(&api(zone))?, "trireme_agent_sessions");
    }
    Ok(sessions)
}
