//! `trireme events`: the history, from any place in it, and onwards. A node that dies or fails under it is replaced by another,
//! and the stream goes on behind the last record that was printed. Standard error says why.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use trireme_rpc::operator::EventRecord;

use crate::Error;
use crate::client::{ask_all, events, unreachable};
use crate::output;
use crate::target::{Target, TargetArgs};

/// The arguments of `trireme events`.
#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    #[command(flatten)]
    /// Which cluster.
    pub target: TargetArgs,
    /// Go on with new events as they happen.
    #[arg(long, short)]
    pub follow: bool,
    /// Begin after this sequence number: what the last line of an earlier run showed. Without it, begin with the first event
    /// that is kept.
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// Print JSON, an event a line.
    #[arg(long)]
    pub json: bool,
}

/// How long a follower goes on without a record and without a stream that holds.
const PATIENCE: Duration = Duration::from_secs(60);
/// A follower's stream that stood for so long was a good one, though nothing may have happened.
const HELD: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    at: f64,
    actor: &'a str,
    request_id: &'a str,
    kind: &'a str,
    event: serde_json::Value,
}

/// How one node's stream ended.
enum End {
    /// It sent all that it has.
    Complete,
    /// It could not be had, or broke off.
    Broken { address: String, reason: String },
}

/// The nodes whose streams brought nothing since the last record, and why.
type Failed = BTreeMap<String, String>;

/// Runs `trireme events`.
pub async fn run(args: &EventsArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let mut printed = args.since;
    let mut heard = Instant::now();
    let mut failed = Failed::new();
    let mut said = String::new();
    loop {
        let (before, began) = (printed, Instant::now());
        let failure = match from_any(&target, args, &mut printed, &failed).await {
            Ok(End::Complete) => return Ok(()),
            Ok(End::Broken { address, reason }) => {
                let text = format!("{address}: {reason}");
                if printed != before {
                    failed.clear();
                }
                failed.insert(address, reason);
                Error::Unreachable { tried: text }
            }
            // Everybody failed who answers: a follower begins anew.
            Err(error @ Error::Unreachable { .. }) if args.follow => {
                failed.clear();
                error
            }
            Err(error) => return Err(error),
        };
        if printed != before || (args.follow && began.elapsed() > HELD) {
            heard = Instant::now();
        }
        if args.follow && heard.elapsed() > PATIENCE {
            return Err(failure);
        }
        tell(&failure, &mut said);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Tells of a failure, the same one in a row once.
fn tell(error: &Error, said: &mut String) {
    let text = error.to_string();
    if text != *said {
        output::notice(format!("{text}; trying on"));
        *said = text;
    }
}

/// Prints from whichever node answers, has not failed, and has applied the most.
async fn from_any(
    target: &Target,
    args: &EventsArgs,
    printed: &mut Option<u64>,
    failed: &Failed,
) -> Result<End, Error> {
    let answers = ask_all(target).await;
    let applied = |answer: &&crate::client::NodeAnswer| {
        answer.answer.as_ref().ok().and_then(|a| a.node.as_ref()).map(|node| node.applied_sequence)
    };
    let answering = answers.iter().filter(|answer| answer.answer.is_ok());
    let fresh = answering.filter(|answer| !failed.contains_key(&answer.node.address));
    let Some(best) = fresh.max_by_key(applied) else {
        if failed.is_empty() {
            return Err(unreachable(&answers));
        }
        let tried = failed.iter().map(|(address, reason)| format!("{address}: {reason}"));
        return Err(Error::Unreachable { tried: tried.collect::<Vec<_>>().join(", ") });
    };
    let address = best.node.address.clone();
    // 0 means the first that is kept.
    let from = printed.map_or(0, |printed| printed.saturating_add(1));
    let mut stream = match events(&address, from, args.follow).await {
        Ok(stream) => stream,
        Err(reason) => return Ok(End::Broken { address, reason }),
    };
    loop {
        match stream.message().await {
            Ok(Some(record)) => {
                print(&record, args.json)?;
                *printed = Some(record.sequence);
            }
            Ok(None) if args.follow => {
                return Ok(End::Broken { address, reason: "the node ended the stream".to_owned() });
            }
            Ok(None) => return Ok(End::Complete),
            // No other node has to keep it either.
            Err(status) if status.code() == tonic::Code::OutOfRange => {
                return Err(Error::Trimmed { reason: status.message().to_owned() });
            }
            Err(status) => return Ok(End::Broken { address, reason: status.message().to_owned() }),
        }
    }
}

fn print(record: &EventRecord, json: bool) -> Result<(), Error> {
    if !json {
        let at = output::clock(record.at_millis);
        return output::line(format!(
            "{} {at} {} {} {}",
            record.sequence, record.actor, record.kind, record.body
        ));
    }
    let line = Line {
        sequence: record.sequence,
        at: record.at_millis as f64 / 1000.0,
        actor: &record.actor,
        request_id: &record.request_id,
        kind: &record.kind,
        event: serde_json::from_str(&record.body).unwrap_or(serde_json::Value::Null),
    };
    let text = serde_json::to_string(&line).map_err(|error| Error::Output(error.into()))?;
    output::line(text)
}
