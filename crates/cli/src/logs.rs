//! `trireme logs`: what containers wrote, their standard output to this one's and their errors to its errors. A control node that
//! dies under it is replaced by another, and it goes on behind the last line. What cannot be had is named on standard error, and
//! the exit code says so.

mod printer;
pub(crate) mod since;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use trireme_rpc::operator::logs_response::Message;
use trireme_rpc::operator::{LogPosition, LogSource, LogsRequest};

use crate::client::{self, Tried};
use crate::target::{Target, TargetArgs};
use crate::{Error, output};
use printer::Printer;

/// The arguments of `trireme logs`.
#[derive(Debug, Clone, clap::Args)]
pub struct LogsArgs {
    /// The task's id or ARN.
    #[arg(required_unless_present = "service")]
    pub task: Option<String>,
    /// All tasks that this service has now.
    #[arg(long, value_name = "NAME", conflicts_with = "task")]
    pub service: Option<String>,
    /// The service's cluster.
    #[arg(long, default_value = "default")]
    pub cluster: String,
    /// Only this container.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Go on with new lines until the tasks are over.
    #[arg(long, short)]
    pub follow: bool,
    /// Only lines from then on: `10m` ago (s, m, h, d), or a moment such as 2026-11-28T20:47:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    pub since: Option<u64>,
    /// Only so many of the last lines of each container.
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Begin each line with the moment at which it was written.
    #[arg(long)]
    pub timestamps: bool,
    #[command(flatten)]
    /// Which control nodes.
    pub target: TargetArgs,
}

/// How long it goes on without a control node that answers.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// How far everything was read, by task and container.
type Positions = BTreeMap<(String, String), LogPosition>;

/// Runs `trireme logs`.
pub async fn run(args: &LogsArgs) -> Result<ExitCode, Error> {
    let target = args.target.resolve()?;
    let mut reading =
        Reading { positions: Positions::new(), printer: Printer::new(args.timestamps), missing: false };
    let mut heard = Instant::now();
    let mut failed = Vec::new();
    loop {
        let before = reading.lines();
        let failure = match reading.read_any(&target, args, &mut failed).await {
            Ok(()) => break,
            Err(error @ (Error::Unreachable { .. } | Error::Broken { .. })) => error,
            Err(error) => return Err(error),
        };
        if reading.lines() != before {
            heard = Instant::now();
        }
        if heard.elapsed() > PATIENCE || (!args.follow && before == 0 && reading.lines() == 0) {
            return Err(failure);
        }
        output::notice(format!("{failure}; trying on"));
        tokio::time::sleep(PAUSE).await;
    }
    Ok(if reading.missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Reading {
    positions: Positions,
    printer: Printer,
    /// Something could not be had.
    missing: bool,
}

impl Reading {
    fn lines(&self) -> u64 {
        self.printer.lines()
    }

    fn request(&self, args: &LogsArgs) -> LogsRequest {
        LogsRequest {
            task: args.task.clone().unwrap_or_default(),
            service: args.service.clone().unwrap_or_default(),
            cluster: args.cluster.clone(),
            container: args.container.clone().unwrap_or_default(),
            follow: args.follow,
            since_nanos: args.since.unwrap_or_default(),
            tail: args.tail,
            positions: self.positions.values().cloned().collect(),
        }
    }

    /// Prints from whichever node answers, those that failed last.
    async fn read_any(
        &mut self,
        target: &Target,
        args: &LogsArgs,
        failed: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut nodes = client::every_node(target).await?;
        nodes.sort_by_key(|node| {
            failed.iter().position(|address| *address == node.address).map_or(0, |at| at + 1)
        });
        let mut tried = Tried::default();
        for node in nodes {
            failed.retain(|address| *address != node.address);
            match client::logs(&node.address, self.request(args)).await {
                Ok(mut stream) => {
                    let mut sources = Vec::new();
                    let broken = loop {
                        match stream.message().await {
                            Ok(Some(response)) => self.take(response.message, &mut sources)?,
                            Ok(None) => return self.printer.finish(),
                            Err(status) => break status.message().to_owned(),
                        }
                    };
                    failed.push(node.address.clone());
                    return Err(Error::Broken { reason: format!("{}: {broken}", node.address) });
                }
                Err(failure) => {
                    failed.push(node.address.clone());
                    tried.note(&node.address, failure)?;
                }
            }
        }
        Err(tried.unreachable())
    }

    fn take(&mut self, message: Option<Message>, sources: &mut Vec<LogSource>) -> Result<(), Error> {
        match message {
            Some(Message::Sources(all)) => {
                *sources = all.sources;
                self.printer.name(sources);
            }
            Some(Message::Line(of)) => {
                let (Some(source), Some(line)) = (sources.get(of.source as usize), of.line) else {
                    return Ok(());
                };
                self.printer.print(source, &line)?;
                let position = self.position(source);
                if position.at_nanos == line.at_nanos {
                    position.lines = position.lines.saturating_add(1);
                } else if position.at_nanos < line.at_nanos {
                    (position.at_nanos, position.lines) = (line.at_nanos, 1);
                }
            }
            Some(Message::End(of)) => {
                if let Some(source) = sources.get(of.source as usize) {
                    self.position(source).ended = true;
                }
            }
            Some(Message::Gap(gap)) => {
                let Some(source) = sources.get(gap.source as usize) else { return Ok(()) };
                let name = format!("{}/{}", source.task_id, source.container);
                let then = if gap.trying { "; trying on" } else { "" };
                output::notice(format!("{name}: {}{then}", gap.reason));
                if !gap.trying {
                    self.missing = true;
                    self.position(source).ended = true;
                }
            }
            // Of a newer control node.
            None => {}
        }
        Ok(())
    }

    fn position(&mut self, source: &LogSource) -> &mut LogPosition {
        let key = (source.task_id.clone(), source.container.clone());
        self.positions.entry(key).or_insert_with(|| LogPosition {
            task_id: source.task_id.clone(),
            container: source.container.clone(),
            ..LogPosition::default()
        })
    }
}
