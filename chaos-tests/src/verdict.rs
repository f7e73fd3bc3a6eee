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
    /// Threads of other processes that wanted to run, for each processor, before the scenario: times are to be read with it.
    pub busy: f64,
}

/// When others alone want all processors, a time over its budget says more about the machine than about Trireme.
const TOO_BUSY: f64 = 1.0;
/// What every scenario must have judged, for anything to be said: nothing lost, no stale read, the history whole, nothing twice.
const REQUIRED: [&str; 4] = ["I1", "I3", "I11", "I15"];
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
            busy: 0.0,
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
        self.findings = findings.to_vec();
        self.figures = figures.to_vec();
        let broken = findings.iter().filter(|finding| finding.held == Some(false));
        let mut broken: Vec<String> = broken.map(|it| format!("{}: {}", it.invariant, it.text)).collect();
        let open: Vec<String> = findings
            .iter()
            .filter(|it| it.held.is_none())
            .map(|it| format!("{}: {}", it.invariant, it.text))
            .collect();
        let over: Vec<&Figure> = figures.iter().filter(|figure| figure.is_over()).collect();
        let late_only = broken.is_empty() && !over.is_empty() && over.iter().all(|figure| figure.is_time());
        let over: Vec<String> = over
            .into_iter()
            .map(|it| {
                format!("{} {:.1} {}, budget {}", it.name, it.value, it.unit, it.budget.unwrap_or_default())
            })
            .collect();
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

    /// The fault was not there after all: what was seen is told, and what did not hold without it is a failure all the same.
    pub fn not_installed(&mut self, why: &str) {
        let broken = |held: &Finding| held.held == Some(false);
        let reasons = self.findings.iter().filter(|it| broken(it));
        let reasons: Vec<String> = reasons.map(|it| format!("{}: {}", it.invariant, it.text)).collect();
        self.outcome = if reasons.is_empty() { Outcome::Skipped } else { Outcome::Failed };
        self.reasons = std::iter::once(why.to_owned()).chain(reasons).collect();
    }

    /// Whether nothing is wrong but wall-clock times over their budgets: what counts where a machine's noise must not.
    pub fn only_late(&self) -> bool {
        let broken = self.findings.iter().any(|finding| finding.held == Some(false));
        let over: Vec<&Figure> = self.figures.iter().filter(|figure| figure.is_over()).collect();
        !broken && over.iter().all(|figure| figure.is_time()) && self.reasons.len() <= over.len()
    }

    /// What must be judged and was not, though the fault was there.
    pub fn unjudged(&self) -> Vec<&'static str> {
        if self.outcome == Outcome::Skipped {
            return Vec::new();
        }
        let judged = |name: &str| {
            let mut of_it = self.findings.iter().filter(|finding| finding.invariant == name).peekable();
            of_it.peek().is_some() && of_it.all(|finding| finding.held.is_some())
        };
        REQUIRED.into_iter().filter(|name| !judged(name)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::table::SCENARIOS;

    fn figure(value: f64, unit: &str, budget: f64) -> Figure {
        Figure { name: "it".to_owned(), value, unit: unit.to_owned(), budget: Some(budget) }
    }

    fn sound() -> Vec<Finding> {
        REQUIRED.map(|name| Finding::new(name, true, "")).to_vec()
    }

    fn judged(busy: f64, findings: &[Finding], figures: &[Figure]) -> Verdict {
        let mut verdict = Verdict { busy, ..Verdict::of(&SCENARIOS[0], 0) };
        verdict.judge(findings, figures);
        verdict
    }

    #[test]
    fn only_a_time_is_excused_and_only_by_what_others_do() {
        let (late, large) = (figure(6.0, "s", 5.0), figure(600.0, "MiB", 512.0));
        let calm = judged(0.2, &sound(), std::slice::from_ref(&late));
        assert_eq!((calm.outcome, calm.only_late()), (Outcome::Failed, true));
        let busy = judged(3.0, &sound(), std::slice::from_ref(&late));
        assert_eq!(busy.outcome, Outcome::Indeterminate);
        for figures in [vec![large.clone()], vec![late.clone(), large], vec![figure(9.0, "", 8.0)]] {
            let verdict = judged(3.0, &sound(), &figures);
            assert_eq!((verdict.outcome, verdict.only_late()), (Outcome::Failed, false));
        }
        let mut broken = sound();
        broken.push(Finding::new("I7", false, ""));
        let verdict = judged(3.0, &broken, &[late]);
        assert_eq!((verdict.outcome, verdict.only_late()), (Outcome::Failed, false));
    }

    #[test]
    fn what_must_be_judged_and_was_not_is_named() {
        assert_eq!(judged(0.0, &sound(), &[]).unjudged(), Vec::<&str>::new());
        let mut open = sound();
        open[1] = Finding::open("I3", "nobody answered");
        let verdict = judged(0.0, &open, &[]);
        assert_eq!((verdict.outcome, verdict.unjudged()), (Outcome::Indeterminate, vec!["I3"]));
        // Judged once and open once is not judged.
        open.push(Finding::new("I3", true, ""));
        assert_eq!(judged(0.0, &open, &[]).unjudged(), ["I3"]);
        assert_eq!(judged(0.0, &sound()[..2], &[]).unjudged(), ["I11", "I15"]);
    }

    #[test]
    fn a_fault_that_was_not_there_hides_nothing() {
        let mut verdict = judged(0.0, &sound(), &[]);
        verdict.not_installed("no tmpfs");
        assert_eq!((verdict.outcome, verdict.reasons.len()), (Outcome::Skipped, 1));
        let mut lost = sound();
        lost[0] = Finding::new("I1", false, "one write lost");
        let mut verdict = judged(0.0, &lost, &[]);
        verdict.not_installed("no tmpfs");
        assert_eq!((verdict.outcome, verdict.reasons.len()), (Outcome::Failed, 2));
    }
}
