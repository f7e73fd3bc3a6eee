//! What a run came to, for people and programs: lines as it goes, JSON, and one HTML page that needs nothing else.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::verdict::{Outcome, Verdict};
use crate::watch::Sample;

const PAGE: &str = include_str!("report/page.html");
/// Where the page takes its data from.
const MARK: &str = "\"DATA\"";

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// What was run.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// When, in seconds since 1970.
    pub started: u64,
    /// How many processors the machine has, and what else is to be known of it.
    pub machine: String,
    /// What came of it, in the order of the run.
    pub verdicts: Vec<Verdict>,
    /// What was seen meanwhile.
    pub samples: Vec<Sample>,
    /// Tables beside: a title and rows, the first one the heading.
    pub tables: Vec<(String, Vec<Vec<String>>)>,
}

impl Run {
    /// How many came to this.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.verdicts.iter().filter(|verdict| verdict.outcome == outcome).count()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let count = |outcome| self.count(outcome);
        format!(
            "{} installed and held, {} failed, {} indeterminate, {} skipped",
            count(Outcome::Installed),
            count(Outcome::Failed),
            count(Outcome::Indeterminate),
            count(Outcome::Skipped)
        ) + &self.left_open()
    }

    /// What must be judged and was not, by scenario.
    fn left_open(&self) -> String {
        let open = self.verdicts.iter().filter(|verdict| !verdict.unjudged().is_empty());
        let open: Vec<String> =
            open.map(|verdict| format!("{}: {}", verdict.name, verdict.unjudged().join(", "))).collect();
        if open.is_empty() { String::new() } else { format!("; not judged: {}", open.join("; ")) }
    }

    /// Whether it shows that something held, and nothing bad, and left nothing open that must be judged.
    pub fn passed(&self) -> bool {
        self.count(Outcome::Failed) == 0
            && self.count(Outcome::Installed) > 0
            && self.verdicts.iter().all(|verdict| verdict.unjudged().is_empty())
    }

    /// Writes `report.json` and `report.html` into a folder.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(folder.join("report.json"), &json)?;
        // Within a script, `</` would end it.
        let page = PAGE.replace(MARK, &serde_json::to_string(self)?.replace("</", "<\\/"));
        let path = folder.join("report.html");
        std::fs::write(&path, page)?;
        Ok(path)
    }
}

/// A verdict, for the terminal.
pub fn text(verdict: &Verdict) -> String {
    let mut lines = vec![format!("{:>3} {:<17} {}", verdict.number, verdict.name, verdict.outcome)];
    if verdict.outcome != Outcome::Installed {
        lines.extend(verdict.reasons.iter().map(|reason| format!("      {reason}")));
    }
    if verdict.outcome != Outcome::Skipped {
        let figures = verdict.figures.iter().map(|figure| {
            let budget = figure.budget.map(|budget| format!(" of {budget}")).unwrap_or_default();
            format!("{} {:.2}{budget} {}", figure.name, figure.value, figure.unit)
        });
        lines.push(format!(
            "      {}",
            figures.map(|it| it.trim().to_owned()).collect::<Vec<_>>().join(" · ")
        ));
        lines.extend(verdict.findings.iter().map(|finding| {
            let mark = match finding.held {
                Some(true) => "ok",
                Some(false) => "NO",
                None => "? ",
            };
            format!("      {mark} {:<6} {}", finding.invariant, finding.text)
        }));
        lines.extend(verdict.notes.iter().map(|note| format!("      -- {note}")));
        lines.push(format!("      others wanted {:.1} of each processor before", verdict.busy));
    }
    lines.join("\n")
}

/// Where reports go: `TRIREME_CHAOS_REPORT`, else a folder of its own for each run under the temporary folder.
pub fn folder(name: &str, started: u64) -> PathBuf {
    match std::env::var_os("TRIREME_CHAOS_REPORT") {
        Some(folder) => folder.into(),
        None => std::env::temp_dir().join(format!("trireme-{name}-report")).join(started.to_string()),
    }
}

/// What is to be known of the machine to read its times.
pub fn machine() -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{processors} processors, Linux {}, everything on one machine", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::Finding;
    use crate::scenario::table::SCENARIOS;

    fn run(outcomes: &[(Outcome, Option<bool>)]) -> Run {
        let verdict = |(outcome, held): &(Outcome, Option<bool>)| {
            let finding = |name: &str| Finding { held: *held, ..Finding::open(name, "") };
            let findings = ["I1", "I3", "I11", "I15"].map(finding).to_vec();
            Verdict { outcome: *outcome, findings, ..Verdict::of(&SCENARIOS[0], 0) }
        };
        Run {
            title: String::new(),
            command: String::new(),
            started: 0,
            machine: String::new(),
            verdicts: outcomes.iter().map(verdict).collect(),
            samples: Vec::new(),
            tables: Vec::new(),
        }
    }

    #[test]
    fn a_run_passes_when_something_was_there_and_all_that_matters_was_judged() {
        let held = Some(true);
        assert!(run(&[(Outcome::Installed, held), (Outcome::Skipped, None)]).passed());
        assert!(!run(&[]).passed());
        assert!(!run(&[(Outcome::Skipped, None)]).passed());
        assert!(!run(&[(Outcome::Indeterminate, held)]).passed());
        assert!(!run(&[(Outcome::Installed, held), (Outcome::Failed, held)]).passed());
        let open = run(&[(Outcome::Installed, held), (Outcome::Indeterminate, None)]);
        assert!(!open.passed());
        assert!(open.summary().contains("not judged"));
    }
}
