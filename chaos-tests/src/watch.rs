//! What an operator would see, looked at a few times a second: who leads, what runs where. The report draws it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;
use trireme_cli::client::ask_all;
use trireme_cli::cluster_file::ClusterFile;
use trireme_cli::report::Report;

use crate::lab::cluster::target;
use crate::lab::host::{ZONES, zone_number};

const PERIOD: Duration = Duration::from_millis(250);

/// One look.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Milliseconds since the run began.
    pub at: u64,
    /// The zone that leads with a quorum.
    pub leader: Option<u8>,
    /// Which zones' control nodes answered.
    pub answering: Vec<u8>,
    /// RUNNING tasks by zone, in the order of the zones, as the control plane has it.
    pub running: Vec<u64>,
}

/// A watcher; it ends when it is dropped.
pub struct Watch {
    /// Time zero of the run.
    pub zero: Instant,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts looking.
    pub fn start(file: ClusterFile, zero: Instant) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let sink = samples.clone();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let began = Instant::now();
                let report = Report::of(&ask_all(&target()).await, Some(&file));
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(sample(&report, zero));
                // A look at thousands of agents is work for the nodes too.
                trireme_testkit::hold(began.elapsed() * 4).await;
            }
        });
        Self { zero, samples, task }
    }

    /// What was seen so far.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Milliseconds since the run began.
pub fn millis(zero: Instant, at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(zero).as_millis()).unwrap_or(u64::MAX)
}

fn sample(report: &Report, zero: Instant) -> Sample {
    let running = ZONES.iter().map(|number| {
        let zone = report.zones.iter().find(|zone| zone_number(&zone.name) == Some(*number));
        zone.map_or(0, |zone| zone.running_tasks)
    });
    let answering = report.nodes.iter().filter(|node| node.error.is_none());
    Sample {
        at: millis(zero, Instant::now()),
        leader: report.leader.as_ref().and_then(|leader| zone_number(&leader.zone)),
        answering: answering.filter_map(|node| zone_number(&node.zone)).collect(),
        running: running.collect(),
    }
}
