//! `trireme retention`: how much of the history is kept, shown or set. Each node deletes what is over either limit in
//! steps, so that it holds a little more than is set.

use serde::Serialize;
use trireme_rpc::operator::{RetentionResponse, SetRetentionRequest};

use crate::Error;
use crate::client;
use crate::output;
use crate::target::TargetArgs;

const DAY_MILLIS: f64 = 24.0 * 60.0 * 60.0 * 1000.0;
/// A century.
const DAYS_MAX: f64 = 36_525.0;
/// What a node must keep at least.
const EVENTS_MIN: u64 = 1_000;

/// The arguments of `trireme retention`.
#[derive(Debug, Clone, clap::Args)]
pub struct RetentionArgs {
    #[command(flatten)]
    /// Which cluster.
    pub target: TargetArgs,
    /// Keep the newest N events, at least 1000. Older ones are deleted in steps: a node holds up to an eighth and 70000 more. An
    /// event takes about half a KiB on each control node.
    #[arg(long, value_name = "N", value_parser = events)]
    pub events: Option<u64>,
    /// Keep events for D days of 24 hours; 0.5 is half a day. Each node deletes an event before it is kept for much more than
    /// D and an eighth.
    #[arg(long, value_name = "D", value_parser = days)]
    pub days: Option<f64>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn events(text: &str) -> Result<u64, String> {
    let events: u64 = text.parse().map_err(|_| "it is a whole number of events".to_owned())?;
    if events < EVENTS_MIN {
        return Err(format!("a history keeps at least {EVENTS_MIN} events"));
    }
    Ok(events)
}

fn days(text: &str) -> Result<f64, String> {
    let days: f64 = text.parse().map_err(|_| "it is a number of days, such as 30 or 0.5".to_owned())?;
    // A millisecond is the least that can be told apart.
    if !(days * DAY_MILLIS >= 1.0 && days <= DAYS_MAX) {
        return Err(format!("it is a number of days above 0 and up to {DAYS_MAX}"));
    }
    Ok(days)
}

#[derive(Debug, Serialize)]
struct Shown {
    events: u64,
    days: f64,
    trimmed: u64,
    first: u64,
    last: u64,
    node: u64,
}

impl Shown {
    fn of(response: &RetentionResponse) -> Self {
        Self {
            events: response.events,
            days: response.millis as f64 / DAY_MILLIS,
            trimmed: response.trimmed_sequence,
            first: response.first_sequence,
            last: response.last_sequence,
            node: response.node_id,
        }
    }

    fn text(&self) -> String {
        let trimmed = match self.trimmed {
            0 => "nothing is trimmed".to_owned(),
            trimmed => format!("trimmed up to event {trimmed}"),
        };
        format!(
            "keeps the newest {} events, each for {} days; what is over either limit goes in steps; {trimmed}\n\
             first kept event: {} (on node {}), last event: {}",
            self.events, self.days, self.first, self.node, self.last
        )
    }
}

/// Runs `trireme retention`.
pub async fn run(args: &RetentionArgs) -> Result<(), Error> {
    let target = args.target.resolve()?;
    let millis = args.days.map(|days| (days * DAY_MILLIS).round() as u64);
    let ask = |address: String| async move { ask(&address, args.events, millis).await };
    let response = client::leader_first(&target, ask).await?;
    show(&Shown::of(&response), args.json)
}

async fn ask(
    address: &str,
    events: Option<u64>,
    millis: Option<u64>,
) -> Result<Result<RetentionResponse, String>, String> {
    if events.is_none() && millis.is_none() {
        return client::retention(address).await.map(Ok);
    }
    client::set_retention(address, SetRetentionRequest { events, millis }).await
}

fn show(shown: &Shown, json: bool) -> Result<(), Error> {
    if json { output::json(shown) } else { output::line(shown.text()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_unit() {
        assert_eq!(events("1000"), Ok(1000));
        for wrong in ["999", "-1", "many", "1.5", ""] {
            assert!(events(wrong).unwrap_err().contains("events"), "{wrong}");
        }
        assert_eq!(days("0.5"), Ok(0.5));
        assert_eq!(days("30"), Ok(30.0));
        for wrong in ["0", "-1", "NaN", "inf", "1e99", "soon", "1e-12"] {
            assert!(days(wrong).unwrap_err().contains("days"), "{wrong}");
        }
    }

    #[test]
    fn it_says_what_is_kept() {
        let response = RetentionResponse {
            events: 5_000,
            millis: 36 * 60 * 60 * 1000,
            trimmed_sequence: 900,
            first_sequence: 801,
            last_sequence: 6_000,
            node_id: 2,
        };
        let text = Shown::of(&response).text();
        assert!(text.contains("newest 5000 events") && text.contains("for 1.5 days"), "{text}");
        assert!(text.contains("trimmed up to event 900") && text.contains("801 (on node 2)"), "{text}");
    }
}
