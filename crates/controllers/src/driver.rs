//! The driver: runs a controller's plan while this node decides, proposes its commands, and sleeps. It alone knows
//! leadership, the watch, the tick and the limits.
//!
//! Reading order: [`Controller`] and [`Plan`] · [`run`] (office by office) · `propose` (a plan's commands, lane by lane).

use std::time::Duration;

use trireme_state::object::MetricQuery;
use trireme_state::{Command, State};
use trireme_types::{TaskId, Timestamp};

use crate::observed::Observed;

mod propose;
mod run;

pub use run::run;

/// Something that the leader looks after.
pub trait Controller: Send + Sync + 'static {
    /// Its name in logs, metrics, and as the actor of its commands.
    const NAME: &'static str;

    /// Whether its plans read [`Observed::heartbeats`].
    const HEARS: bool = false;

    /// The shortest pause between two of its passes, for those whose looks cost much or whose wake-ups say little.
    const PAUSE: Duration = Duration::ZERO;

    /// The tasks of which its plans read [`Observed::usage`].
    fn measured(&self, _view: &State) -> Vec<TaskId> {
        Vec::new()
    }

    /// What its plans read in [`Observed::metrics`]: the newest periods of each, so many.
    fn queried(&self, _view: &State) -> Vec<(MetricQuery, usize)> {
        Vec::new()
    }

    /// Pure: the same view, observations and instant give the same plan. Empty when all is well.
    fn plan(&self, view: &State, observed: &Observed, now: Timestamp) -> Plan;
}

/// What a controller wants done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Commands of one service or instance are proposed in this order, each after the one before has committed; the first
    /// refusal ends that service's or instance's part of the plan. Different ones go side by side.
    pub commands: Vec<Command>,
    /// Why.
    pub report: Report,
    /// Look again then, even if nothing has changed.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// Looks again at `at`, or earlier if that was asked for before.
    pub fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }
}

/// Lines that a report holds at most.
const REPORT_LINES: usize = 100;

/// What a plan has to say for itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    lines: Vec<String>,
    left_out: usize,
    gauges: Vec<(&'static str, f64)>,
}

impl Report {
    /// Adds a line; beyond a hundred they are only counted.
    pub fn say(&mut self, line: String) {
        if self.lines.len() < REPORT_LINES {
            self.lines.push(line);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// What a gauge shows from now on.
    pub fn gauge(&mut self, name: &'static str, value: usize) {
        self.gauges.push((name, value as f64));
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The gauges.
    pub fn gauges(&self) -> &[(&'static str, f64)] {
        &self.gauges
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines.join("; "))?;
        if self.left_out > 0 {
            write!(f, "; and {} more", self.left_out)?;
        }
        Ok(())
    }
}

/// The driver's limits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest sleep between two passes.
    pub tick: Duration,
    /// Services or instances whose commands are under way at once.
    pub lanes: usize,
    /// Commands of one pass; the next pass plans the rest.
    pub commands: usize,
    /// The longest wait for one command's outcome.
    pub command_time: Duration,
    /// The longest pause after a pass, so that a burst of changes is one pass. The pause is four times the pass itself.
    pub settle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tick: Duration::from_secs(1),
            lanes: 16,
            commands: 1_000,
            command_time: Duration::from_secs(10),
            settle: Duration::from_millis(200),
        }
    }
}
