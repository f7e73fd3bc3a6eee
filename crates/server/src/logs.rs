//! `trireme logs`: what containers wrote, read on their agents. Where an agent's session moves, or a container starts again, it goes
//! on behind the last line; what cannot be had is named.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Status;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::{LogLine, Logs};
use trireme_rpc::operator::logs_response::Message;
use trireme_rpc::operator::{
    LogGap, LogPosition, LogSource, LogSources, LogsRequest, LogsResponse, SourceEnd, SourceLine,
};
use trireme_state::State;
use trireme_state::object::{ServiceStatus, Task, TaskStatus};
use trireme_state::store::Store;
use trireme_types::TaskId;

use crate::channels::Channels;
use crate::exec;

/// Containers that are read for one caller.
const SOURCES: usize = 128;
/// Lines that wait for the caller.
const LINES_WAITING: usize = 64;
const READ_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// How often an answer that is to end is begun again.
const TRIES: u32 = 3;

type Sender = mpsc::Sender<Result<LogsResponse, Status>>;

/// Describes this module's metrics.
pub(crate) fn describe_metrics() {
    metrics::describe_counter!(
        "trireme_logs_incomplete_total",
        "Answers of `trireme logs` in which something was missing: an agent could not be reached, or a log could not be read"
    );
}

/// One container, and how far it was read.
struct Source {
    number: u32,
    task: Arc<Task>,
    container: String,
    position: Position,
}

/// Behind the last line that was read: its moment, and how many lines of that moment were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    at_nanos: u64,
    lines: u32,
    ended: bool,
}

impl Position {
    /// Whether a line is new. `passed`: lines of this moment that this reading had so far.
    fn passes(&mut self, at_nanos: u64, passed: &mut u32) -> bool {
        if at_nanos == self.at_nanos {
            *passed += 1;
            if *passed <= self.lines {
                return false;
            }
            self.lines += 1;
        } else if at_nanos < self.at_nanos {
            // Docker's lines are in the order in which they came; a clock that is set back makes them look older.
            return true;
        } else {
            (self.at_nanos, self.lines) = (at_nanos, 1);
            *passed = 1;
        }
        true
    }
}

/// How the reading of a source ended for now.
enum End {
    /// All that there is was sent.
    Complete,
    /// It cannot be had, or not at the moment.
    Missing(String),
    /// The caller is gone.
    Gone,
}

/// Reads for a caller.
///
/// # Errors
/// There is no such task, service or container.
pub(crate) async fn run(
    channels: &Channels,
    request: LogsRequest,
) -> Result<mpsc::Receiver<Result<LogsResponse, Status>>, Status> {
    let store = channels.node.store();
    // A task may be so young that this node has not heard of it.
    let state = match timeout(READ_LIMIT, store.read()).await {
        Ok(Ok(state)) => state,
        _ => store.view(),
    };
    let sources = sources(&state, &request)?;
    drop(state);
    let (sender, receiver) = mpsc::channel(LINES_WAITING);
    let (channels, stop) = (channels.clone(), channels.stop.clone());
    tokio::spawn(async move {
        let closed = sender.clone();
        tokio::select! {
            () = serve(&channels, &request, sources, sender) => {}
            () = closed.closed() => {}
            () = stop.cancelled() => {
                let _nobody_reads = closed.try_send(Err(Status::unavailable("the control node stops")));
            }
        }
    });
    Ok(receiver)
}

fn sources(state: &State, request: &LogsRequest) -> Result<Vec<Source>, Status> {
    let tasks = match request.service.as_str() {
        "" => vec![exec::task(state, &request.task)?],
        name => {
            let named = state.services().filter(|service| {
                service.key.name.as_str() == name && service.key.cluster.name.as_str() == request.cluster
            });
            let service = named.min_by_key(|service| service.status != ServiceStatus::Active);
            let none =
                || Status::not_found(format!("there is no service {name} in cluster {}", request.cluster));
            state.tasks_of_service(&service.ok_or_else(none)?.key)
        }
    };
    let mut sources = Vec::new();
    for task in tasks {
        for known in &task.containers {
            let container = known.name.to_string();
            if !request.container.is_empty() && request.container != container {
                continue;
            }
            let position = position(&request.positions, task.id, &container);
            let number = u32::try_from(sources.len()).unwrap_or(u32::MAX);
            sources.push(Source { number, task: Arc::clone(&task), container, position });
        }
    }
    if sources.is_empty() && !request.container.is_empty() {
        return Err(Status::not_found(format!("there is no container {}", request.container)));
    }
    if sources.len() > SOURCES {
        let text = format!("these are {} containers, at most {SOURCES} are read at once", sources.len());
        return Err(Status::invalid_argument(format!("{text}; name a task or a container")));
    }
    Ok(sources)
}

fn position(known: &[LogPosition], task: TaskId, container: &str) -> Position {
    let task = task.to_string();
    let found = known.iter().find(|known| known.task_id == task && known.container == container);
    found.map_or_else(Position::default, |known| Position {
        at_nanos: known.at_nanos,
        lines: known.lines,
        ended: known.ended,
    })
}

async fn serve(channels: &Channels, request: &LogsRequest, sources: Vec<Source>, sender: Sender) {
    let named = sources.iter();
    let named = named
        .map(|source| LogSource { task_id: source.task.id.to_string(), container: source.container.clone() });
    let all = Message::Sources(LogSources { sources: named.collect() });
    if send(&sender, all).await.is_none() {
        return;
    }
    let mut readers = JoinSet::new();
    for source in sources.into_iter().filter(|source| !source.position.ended) {
        let (channels, request, sender) = (channels.clone(), request.clone(), sender.clone());
        readers.spawn(async move { read(&channels, &request, source, &sender).await });
    }
    let mut complete = true;
    while let Some(read) = readers.join_next().await {
        complete &= read.unwrap_or(false);
    }
    if !complete {
        metrics::counter!("trireme_logs_incomplete_total").increment(1);
    }
}

async fn send(sender: &Sender, message: Message) -> Option<()> {
    sender.send(Ok(LogsResponse { message: Some(message) })).await.ok()
}

/// Reads one source to its end; false when something is missing.
async fn read(channels: &Channels, request: &LogsRequest, mut source: Source, sender: &Sender) -> bool {
    let number = source.number;
    let mut told = String::new();
    let mut tries = 0;
    // Where all that there was had been read: a container that is removed behind that leaves nothing out.
    let mut whole = None;
    loop {
        let read = read_once(channels, request, &mut source, sender).await;
        let over = is_over(channels, &source);
        let reason = match read {
            End::Gone => return true,
            End::Complete if !request.follow || over => None,
            End::Missing(_) if over && whole == Some(source.position) => None,
            End::Complete => {
                whole = Some(source.position);
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            End::Missing(reason) => Some(reason),
        };
        let Some(reason) = reason else {
            let _nobody_reads = send(sender, Message::End(SourceEnd { source: number })).await;
            return true;
        };
        tries += 1;
        let over = if request.follow { over } else { tries >= TRIES };
        if over || (reason != told && has_begun(channels, &source)) {
            told.clone_from(&reason);
            let gap = LogGap { source: number, reason, trying: !over };
            if send(sender, Message::Gap(gap)).await.is_none() || over {
                return !over;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether nothing more will be written: as this node knows it, and it never knows too early.
fn is_over(channels: &Channels, source: &Source) -> bool {
    let view = channels.node.store().view();
    view.task(source.task.id).is_none_or(|task| {
        let container = task.containers.iter().find(|one| one.name.as_str() == source.container);
        task.last_status == TaskStatus::Stopped
            || container.is_none_or(|container| container.status == TaskStatus::Stopped)
    })
}

/// Whether its container should be there by now.
fn has_begun(channels: &Channels, source: &Source) -> bool {
    let view = channels.node.store().view();
    view.task(source.task.id).is_none_or(|task| task.last_status >= TaskStatus::Running)
}

async fn read_once(channels: &Channels, request: &LogsRequest, source: &mut Source, sender: &Sender) -> End {
    // Read before: a container that was over then has written all that it will.
    let follow = request.follow && !is_over(channels, source);
    let begun = source.position != Position::default();
    let purpose = Purpose::Logs(Logs {
        task_id: source.task.id.to_string(),
        container: source.container.clone(),
        follow,
        since_nanos: if begun { source.position.at_nanos } else { request.since_nanos },
        tail: if begun { None } else { request.tail },
    });
    let (_to, mut from) = match channels.open(source.task.instance, purpose).await {
        Ok(channel) => channel,
        Err(error) => return End::Missing(error.to_string()),
    };
    let mut passed = 0;
    loop {
        match from.next().await.map(|frame| frame.and_then(|frame| frame.frame)) {
            Ok(Some(Frame::LogLine(line))) => {
                if !source.position.passes(line.at_nanos, &mut passed) {
                    continue;
                }
                if send(sender, line_of(source.number, line)).await.is_none() {
                    return End::Gone;
                }
            }
            Ok(Some(Frame::LogEnd(_))) => return End::Complete,
            Ok(Some(Frame::Refusal(refusal))) => return End::Missing(refusal.reason),
            Ok(Some(_)) => return End::Missing("the agent sent something else than lines".to_owned()),
            Ok(None) => return End::Missing("the agent did not send all of it".to_owned()),
            Err(broken) => return End::Missing(broken.to_string()),
        }
    }
}

fn line_of(source: u32, line: LogLine) -> Message {
    Message::Line(SourceLine { source, line: Some(line) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the moments that were written from a position on, as an agent sends them; gives those that pass.
    fn read(position: &mut Position, written: &[u64]) -> Vec<u64> {
        let mut passed = 0;
        let from = position.at_nanos;
        let sent = written.iter().copied().filter(|at| *at >= from);
        sent.filter(|at| position.passes(*at, &mut passed)).collect()
    }

    #[test]
    fn no_line_is_sent_twice_and_none_is_left_out() {
        let written = [1, 2, 2, 2, 3, 3, 9];
        for cut in 0..=written.len() {
            for second in cut..=written.len() {
                let mut position = Position::default();
                let mut seen = read(&mut position, &written[..cut]);
                seen.extend(read(&mut position, &written[..second]));
                seen.extend(read(&mut position, &written));
                assert_eq!(seen, written, "cut at {cut} and {second}");
            }
        }
    }
}
