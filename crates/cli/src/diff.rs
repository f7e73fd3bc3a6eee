//! `trireme diff`: what changed between two moments: services and their deployments, container instances, tasks.

use serde::Serialize;
use trireme_rpc::explain::{Change, DiffRequest, DiffResponse, Moment, Point};

use crate::target::TargetArgs;
use crate::{Error, explainer, output};

/// The arguments of `trireme diff`.
#[derive(Debug, Clone, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The earlier moment: the number of an event, a time such as 2026-11-29T04:14:49Z, or how long ago, such as 5m.
    #[arg(value_parser = explainer::moment)]
    from: Moment,
    /// The later one. Default: now.
    #[arg(value_parser = explainer::moment)]
    to: Option<Moment>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Changes that a table shows.
const ROWS: usize = 200;

#[derive(Serialize)]
struct Diff {
    from: At,
    to: At,
    changes: Vec<ShownChange>,
    left_out: u64,
}

/// A point of the history, as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct At {
    sequence: u64,
    at: f64,
}

impl From<Point> for At {
    fn from(point: Point) -> Self {
        Self { sequence: point.sequence, at: point.at_millis as f64 / 1000.0 }
    }
}

#[derive(Serialize)]
struct ShownChange {
    kind: String,
    subject: String,
    what: String,
    from: String,
    to: String,
}

impl From<Change> for ShownChange {
    fn from(change: Change) -> Self {
        let Change { kind, subject, what, from, to } = change;
        Self { kind, subject, what, from, to }
    }
}

/// Runs `trireme diff`.
///
/// # Errors
/// It could not be found out.
pub async fn run(args: &DiffArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let request = DiffRequest { from: Some(args.from), to: args.to };
    let diff =
        explainer::ask(&target, |mut client: explainer::Client| async move { client.diff(request).await });
    let diff = diff.await?;
    if !args.json {
        return output::line(text(diff));
    }
    output::json(&Diff {
        from: diff.from.unwrap_or_default().into(),
        to: diff.to.unwrap_or_default().into(),
        changes: diff.changes.into_iter().map(ShownChange::from).collect(),
        left_out: diff.left_out,
    })
}

fn text(diff: DiffResponse) -> String {
    let point = |point: Option<Point>| {
        let point = point.unwrap_or_default();
        format!("event {} ({})", point.sequence, output::date(point.at_millis))
    };
    let head = format!("from {} to {}", point(diff.from), point(diff.to));
    if diff.changes.is_empty() {
        return format!("{head}: nothing changed of services, container instances and tasks");
    }
    let left_out = diff.left_out;
    let rows = diff
        .changes
        .into_iter()
        .map(|change| vec![change.kind, change.subject, change.what, change.from, change.to]);
    let table = output::rows(&["", "", "what", "from", "to"], rows.collect(), ROWS, "changes");
    match left_out {
        0 => format!("{head}\n\n{table}"),
        _ => format!("{head}\n\n{table}\n… and {left_out} more that were not sent"),
    }
}
