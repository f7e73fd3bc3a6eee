//! Samples, their medians, and what they are held against.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::median;

/// What a sample is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `docker run`, until it comes back.
    DockerRun,
    /// The API's create and start.
    DockerApi,
    /// RunTask until RUNNING.
    RunTask,
    /// A killed container until another task is RUNNING.
    Killed,
    SwarmKilled,
    /// Many at once.
    DockerBurst,
    Burst,
    /// A service of many.
    ServiceBridge,
    SwarmBridge,
    ServiceHost,
    SwarmHost,
}

/// All measurements, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<Kind, Vec<f64>>);

impl Samples {
    pub(super) fn add(&mut self, kind: Kind, took: Duration) {
        self.0.entry(kind).or_default().push(took.as_secs_f64() * 1000.0);
    }

    fn of(&self, kind: Kind) -> &[f64] {
        self.0.get(&kind).map_or(&[], Vec::as_slice)
    }
}

/// What is asked of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// So many milliseconds more than the other, at most.
    Beyond(f64),
    /// Not slower than the other.
    NotSlower,
    /// It is only told.
    Told,
}

/// Two sides of one thing.
struct Row {
    what: String,
    side: &'static str,
    beside: &'static str,
    ours: Vec<f64>,
    theirs: Vec<f64>,
    target: Target,
}

impl Row {
    fn beyond(&self) -> f64 {
        median(self.ours.clone()) - median(self.theirs.clone())
    }

    fn ratio(&self) -> f64 {
        median(self.ours.clone()) / median(self.theirs.clone())
    }

    fn held(&self) -> Option<bool> {
        match self.target {
            Target::Beyond(most) => Some(self.beyond() <= most),
            Target::NotSlower => Some(self.beyond() <= 0.0),
            Target::Told => None,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.held() {
            Some(true) => "held",
            Some(false) => "MISSED",
            None => "",
        }
    }

    fn target(&self) -> String {
        match self.target {
            Target::Beyond(most) => format!("+{most:.0} ms"),
            Target::NotSlower => "1.00 x".to_owned(),
            Target::Told => String::new(),
        }
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "side": self.side, "beside": self.beside,
            "median_ms": median(self.ours.clone()), "beside_median_ms": median(self.theirs.clone()),
            "ratio": self.ratio(), "beyond_ms": self.beyond(), "target": self.target(), "held": self.held(),
            "samples_ms": self.ours, "beside_samples_ms": self.theirs,
        })
    }
}

/// The comparisons.
pub(super) struct Table(Vec<Row>);

impl Table {
    pub(super) fn of(samples: &Samples, burst: usize, tasks: usize) -> Self {
        let row = |what: String, (side, ours), (beside, theirs), target| Row {
            what,
            side,
            beside,
            ours: samples.of(ours).to_vec(),
            theirs: samples.of(theirs).to_vec(),
            target,
        };
        let run = ("docker run", Kind::DockerRun);
        let ours = |kind| ("Trireme", kind);
        let swarm = |kind| ("Swarm", kind);
        let (many, bridge, host) = (
            format!("{burst} at once"),
            format!("{tasks} on a bridge"),
            format!("{tasks} on the host network"),
        );
        let all = vec![
            row("one task".to_owned(), ours(Kind::RunTask), run, Target::Beyond(100.0)),
            row("one container".to_owned(), ("Docker's API", Kind::DockerApi), run, Target::Told),
            row("killed, another runs".to_owned(), ours(Kind::Killed), run, Target::Beyond(300.0)),
            row(
                "killed, another runs".to_owned(),
                ours(Kind::Killed),
                swarm(Kind::SwarmKilled),
                Target::Told,
            ),
            row(many, ours(Kind::Burst), ("docker run", Kind::DockerBurst), Target::NotSlower),
            row(bridge, ours(Kind::ServiceBridge), swarm(Kind::SwarmBridge), Target::NotSlower),
            row(host, ours(Kind::ServiceHost), swarm(Kind::SwarmHost), Target::NotSlower),
        ];
        Self(all.into_iter().filter(|row| !row.ours.is_empty() && !row.theirs.is_empty()).collect())
    }

    pub(super) fn json(&self) -> Value {
        json!({ "comparisons": self.0.iter().map(Row::json).collect::<Vec<_>>() })
    }
}

/// The median, and the least and the most.
fn cell(samples: &[f64]) -> String {
    let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let most = samples.iter().copied().fold(0.0, f64::max);
    format!("{:.0} ({least:.0}-{most:.0})", median(samples.to_vec()))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::NOTHING);
        table.set_header(["", "side", "ms", "beside", "ms", "ratio", "beyond ms", "target", ""]);
        for row in &self.0 {
            table.add_row([
                row.what.clone(),
                row.side.to_owned(),
                cell(&row.ours),
                row.beside.to_owned(),
                cell(&row.theirs),
                format!("{:.2} x", row.ratio()),
                format!("{:+.0}", row.beyond()),
                row.target(),
                row.verdict().to_owned(),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(all: &[(Kind, &[u64])]) -> Samples {
        let mut samples = Samples::default();
        for (kind, millis) in all {
            millis.iter().for_each(|one| samples.add(*kind, Duration::from_millis(*one)));
        }
        samples
    }

    #[test]
    fn what_is_beyond_its_target_is_missed() {
        let samples = samples(&[
            (Kind::DockerRun, &[200, 900, 220]),
            (Kind::RunTask, &[320, 100, 900]),
            (Kind::Killed, &[521, 521, 521]),
            (Kind::DockerBurst, &[1_000]),
            (Kind::Burst, &[1_001]),
        ]);
        let table = Table::of(&samples, 50, 100);
        let verdicts: Vec<_> = table.0.iter().map(|row| (row.what.as_str(), row.verdict())).collect();
        assert_eq!(
            verdicts,
            [("one task", "held"), ("killed, another runs", "MISSED"), ("50 at once", "MISSED")],
            "medians are compared, and what was not measured has no row"
        );
    }
}
