//! What a scenario came to.

use std::time::Instant;

use serde::Serialize;

use crate::invariant::Finding;
use crate::load::Record;
use crate::load::record::longest_gap;
use crate::scenario::Scenario;
use crate::scenario::stage::{Figure, Window};
use crate::watch::millis;

/// In one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The fault was there, and everything held.
    Installed,
    /// The fault could not be made; nothing is said about it.
    Skipped,
    /// The fault was there, and something did not hold.
    Failed,
    /// The fault was there; something could not be told, or a time was over its budget on a machine that others kept busy.
    Indeterminate,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Installed => "installed",
            Self::Skipped => "skipped",
            Self::Failed => "FAILED",
            Self::Indeterminate => "indeterminate",
        })
    }
}

/// A time that the report draws.
#[derive(Debug, Clone, Serialize)]
pub struct Span {
    /// What it was.
    pub label: String,
    /// Milliseconds since the run began.
    pub from: u64,
    /// Milliseconds since the run began.
    pub to: u64,
}

/// What a scenario came to.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Its number in the list of forty.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// What happens in it.
    pub title: String,
    /// In one word.
    pub outcome: Outcome,
    /// Why, if not all is well.
    pub reasons: Vec<String>,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub figures: Vec<Figure>,
    /// What else there is to tell.
    pub notes: Vec<String>,
    /// When the fault was there.
    pub faults: Vec<Span>,
    /// When writes were away for more than half a second.
    pub gaps: Vec<Span>,
    /// Milliseconds since the run began.
    pub began: u64,
    /// Milliseconds since the run began.
    pub ended: u64,
    /// The machine's load (processes that want to run) for each processor, at the end: times are to be read with it.
    pub busy: f64,
}

/// From this load a processor on, a time over its budget says more about the machine than about Trireme.
const TOO_BUSY: f64 = 2.0;
/// What the report draws as a gap.
const GAP_MS: u64 = 500;

impl Verdict {
    /// Nothing yet.
    pub fn of(scenario: &Scenario, began: u64) -> Self {
        Self {
            number: scenario.number,
            name: scenario.name.to_owned(),
            title: scenario.title.to_owned(),
            outcome: Outcome::Skipped,
            reasons: Vec::new(),
            findings: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
            faults: Vec::new(),
            gaps: Vec::new(),
            began,
            ended: began,
            busy: busy(),
        }
    }

    /// The fault could not be made.
    pub fn skip(&mut self, why: &str) {
        self.outcome = Outcome::Skipped;
        self.reasons = vec![why.to_owned()];
    }

    /// It broke off, or did not heal.
    pub fn broken(&mut self, why: &str) {
        self.outcome = Outcome::Failed;
        self.reasons.push(why.to_owned());
    }

    /// Takes over what was seen, and says what it comes to.
    pub fn judge(&mut self, findings: &[Finding], figures: &[Figure]) {
        self.busy = busy();
        self.findings = findings.to_vec();
        self.figures = figures.to_vec();
        let broken = findings.iter().filter(|finding| finding.held == Some(false));
        let mut broken: Vec<String> = broken.map(|it| format!("{}: {}", it.invariant, it.text)).collect();
        let open: Vec<String> = findings
            .iter()
            .filter(|it| it.held.is_none())
            .map(|it| format!("{}: {}", it.invariant, it.text))
            .collect();
        let over = figures.iter().filter(|figure| figure.budget.is_some_and(|budget| figure.value > budget));
        let over: Vec<String> = over
            .map(|it| {
                format!("{} {:.1} {}, budget {}", it.name, it.value, it.unit, it.budget.unwrap_or_default())
            })
            .collect();
        let late_only = broken.is_empty() && !over.is_empty();
        self.outcome = if late_only && self.busy > TOO_BUSY {
            Outcome::Indeterminate
        } else if !broken.is_empty() || !over.is_empty() {
            Outcome::Failed
        } else if !open.is_empty() {
            Outcome::Indeterminate
        } else {
            Outcome::Installed
        };
        broken.extend(over);
        broken.extend(open);
        self.reasons = broken;
    }

    /// Whether nothing is wrong but times over their budgets: what counts where a machine's noise must not.
    pub fn only_late(&self) -> bool {
        let broken = self.findings.iter().any(|finding| finding.held == Some(false));
        let over = self.figures.iter().filter(|it| it.budget.is_some_and(|budget| it.value > budget)).count();
        !broken && self.reasons.len() <= over
    }

    /// When the faults were there.
    pub fn windows(&mut self, windows: &[Window], zero: Instant) {
        let span = |window: &Window| Span {
            label: window.label.clone(),
            from: millis(zero, window.from),
            to: millis(zero, window.to.unwrap_or_else(Instant::now)),
        };
        self.faults = windows.iter().map(span).collect();
    }

    /// When writes were away.
    pub fn gap(&mut self, records: &[Record], (began, ended): &(Instant, Instant), zero: Instant) {
        let mut acks: Vec<Instant> = records.iter().filter(|it| it.acked()).map(|it| it.ended).collect();
        acks.sort();
        let (_, longest_at) = longest_gap(records, *began, *ended);
        for pair in acks.windows(2) {
            let (from, to) = (millis(zero, pair[0]), millis(zero, pair[1]));
            if to - from >= GAP_MS {
                let mark = if pair[0] == longest_at { "longest gap" } else { "gap" };
                self.gaps.push(Span {
                    label: format!("{mark} {:.2} s", (to - from) as f64 / 1000.0),
                    from,
                    to,
                });
            }
        }
    }
}

/// The load of the last minute for each processor.
pub fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    load / std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}
