//! `trireme exec`: a command in a container, recorded in the history before it runs and when it is over.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Request, Status, Streaming};
use trireme_dispatcher::{FromChannel, ToChannel};
use trireme_raft::RaftStore;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::purpose::Purpose;
use trireme_rpc::channel::{Exec, FromAgent};
use trireme_rpc::operator::exec_request::Message;
use trireme_rpc::operator::{ExecRequest, ExecStart};
use trireme_state::command::{EndCommand, IdempotencyKey, StartCommand};
use trireme_state::limits::COMMAND_END_BYTES;
use trireme_state::object::Task;
use trireme_state::store::{ProposeError, Store};
use trireme_state::{Actor, Command, Proposal, State};
use trireme_types::{ContainerName, RequestId, TaskId};

use crate::channels::Channels;

const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// For a state that holds everything that was answered before.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How often the end is told again to a cluster without a leader.
const TELLS: u32 = 30;
const TELL_PAUSE: Duration = Duration::from_secs(1);
/// Frames that wait for the caller.
const FRAMES_WAITING: usize = 4;
/// Bytes of what a caller says of itself.
const BY_BYTES: usize = 256;

/// What the caller reads.
pub(crate) type Frames = mpsc::Receiver<Result<FromAgent, Status>>;

/// A command that was recorded.
struct Recorded {
    execution: u128,
    task: TaskId,
    container: ContainerName,
}

/// Runs a command for a caller.
///
/// # Errors
/// It was not begun.
pub(crate) async fn run(
    channels: &Channels,
    request: Request<Streaming<ExecRequest>>,
) -> Result<Frames, Status> {
    let from = request.remote_addr().map(|address| format!(" ({address})")).unwrap_or_default();
    let mut inbound = request.into_inner();
    let first = timeout(FIRST_LIMIT, inbound.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("nothing was said in time"))??;
    let Some(ExecRequest { message: Some(Message::Start(start)) }) = first else {
        return Err(Status::invalid_argument("the first message must be ExecStart"));
    };
    let store = channels.node.store();
    let state = timeout(READ_LIMIT, store.read()).await;
    let state = state.map_err(|_| Status::unavailable("no quorum answers in time"))?;
    let state = state.map_err(|error| Status::unavailable(error.to_string()))?;
    let task = task(&state, &start.task)?;
    let container = container(&task, &start.container)?;
    let (instance, id) = (task.instance, task.id);
    drop((state, task));

    let recorded = Recorded { execution: rand::random(), task: id, container };
    let by = format!("{}{from}", start.by.chars().take(BY_BYTES).collect::<String>());
    record_start(&store, &recorded, &start, by).await?;
    let purpose = Purpose::Exec(Exec {
        task_id: id.to_string(),
        container: recorded.container.to_string(),
        command: start.command,
        terminal_size: start.terminal_size,
        stdin: start.stdin,
    });
    match channels.open(instance, purpose).await {
        Ok((to, from)) => {
            let (sender, frames) = mpsc::channel(FRAMES_WAITING);
            let stop = channels.stop.clone();
            tokio::spawn(async move {
                let (exit_code, reason) = tokio::select! {
                    end = carry(inbound, to, from, sender) => end,
                    () = stop.cancelled() => (None, "the control node stops".to_owned()),
                };
                record_end(&store, &recorded, exit_code, reason).await;
            });
            Ok(frames)
        }
        Err(error) => {
            record_end(&store, &recorded, None, format!("not begun: {error}")).await;
            Err(Status::unavailable(error.to_string()))
        }
    }
}

/// A task by its id or ARN.
pub(crate) fn task(state: &State, text: &str) -> Result<std::sync::Arc<Task>, Status> {
    let id = text.rsplit('/').next().unwrap_or(text);
    let found = id.parse().ok().and_then(|id: TaskId| state.task(id));
    found.cloned().ok_or_else(|| Status::not_found(format!("there is no task {text}")))
}

/// The container that is meant.
fn container(task: &Task, name: &str) -> Result<ContainerName, Status> {
    let names = || task.containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>();
    let found = match (name, task.containers.as_slice()) {
        ("", [only]) => Some(only),
        ("", _) => {
            let text = format!("the task has several containers; name one of {}", names().join(", "));
            return Err(Status::invalid_argument(text));
        }
        (name, all) => all.iter().find(|container| container.name.as_str() == name),
    };
    let none = || format!("the task has no container {name}; there are {}", names().join(", "));
    found.map(|container| container.name.clone()).ok_or_else(|| Status::not_found(none()))
}

/// Carries frames both ways until the command is over or the caller is gone: its exit code, or why there is none.
async fn carry(
    mut inbound: Streaming<ExecRequest>,
    to: ToChannel,
    mut from: FromChannel,
    sender: mpsc::Sender<Result<FromAgent, Status>>,
) -> (Option<i32>, String) {
    let gone = || (None, "the caller is gone".to_owned());
    // A caller that knows how it ended goes: what it was told stands.
    let told = std::sync::OnceLock::new();
    let upward = async {
        loop {
            let frame = match from.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return (None, "the agent did not say how it ended".to_owned()),
                Err(broken) => {
                    let _nobody_reads = sender.send(Err(Status::aborted(broken.to_string()))).await;
                    return (None, broken.to_string());
                }
            };
            let end = match &frame.frame {
                Some(Frame::ExecEnd(over)) => Some((over.exit_code, over.reason.clone())),
                Some(Frame::Refusal(refusal)) => Some((None, format!("not begun: {}", refusal.reason))),
                _ => None,
            };
            if let Some(end) = end {
                told.get_or_init(|| end);
            }
            if sender.send(Ok(frame)).await.is_err() {
                return gone();
            }
        }
    };
    let downward = async {
        while let Ok(Some(message)) = inbound.message().await {
            if let Some(Message::Frame(frame)) = message.message {
                // What comes for a command that is over is too late.
                let _in_time = to.send(frame).await;
            }
        }
    };
    let end = tokio::select! {
        end = upward => end,
        () = downward => gone(),
        () = sender.closed() => gone(),
    };
    told.into_inner().unwrap_or(end)
}

/// Each of the two records is made once, however often it is sent.
fn proposal(recorded: &Recorded, operation: &str, command: Command) -> Proposal {
    let token = format!("{:032x}", recorded.execution);
    let key = IdempotencyKey {
        principal: "operator".to_owned(),
        operation: operation.to_owned(),
        parameters: Sha256::digest(&token).into(),
        token,
        is_client_token: false,
    };
    let request_id = RequestId::from_bits(recorded.execution);
    Proposal { actor: Actor::Operator, request_id, key: Some(key), command }
}

async fn record_start(
    store: &RaftStore,
    recorded: &Recorded,
    start: &ExecStart,
    by: String,
) -> Result<(), Status> {
    let new = StartCommand {
        execution: recorded.execution,
        task: recorded.task,
        container: recorded.container.clone(),
        command: start.command.clone(),
        by,
        forced: start.force,
    };
    let command = Command::StartCommand(Box::new(new));
    match store.propose(proposal(recorded, "StartCommand", command)).await {
        Ok(_) => Ok(()),
        Err(ProposeError::Rejected(rejection)) => Err(Status::failed_precondition(rejection.to_string())),
        Err(error) => Err(Status::unavailable(format!("it could not be recorded: {error}"))),
    }
}

async fn record_end(store: &RaftStore, recorded: &Recorded, exit_code: Option<i32>, mut reason: String) {
    reason.truncate(reason.floor_char_boundary(COMMAND_END_BYTES));
    let command = Command::EndCommand(Box::new(EndCommand {
        execution: recorded.execution,
        task: recorded.task,
        container: recorded.container.clone(),
        exit_code,
        reason,
    }));
    let proposal = proposal(recorded, "EndCommand", command);
    for _ in 0..TELLS {
        match store.propose(proposal.clone()).await {
            Ok(_) => return,
            Err(ProposeError::Rejected(rejection)) => {
                tracing::error!(%rejection, "the end of a command is not in the history");
                return;
            }
            Err(_) => tokio::time::sleep(TELL_PAUSE).await,
        }
    }
    tracing::error!(task = %recorded.task, "the end of a command is not in the history: no leader took it");
}
