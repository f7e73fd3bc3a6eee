//! `trireme exec`: a command in a task's container, with this terminal or with plain streams, by way of any control node. Its exit
//! code becomes this program's; 255 is this program's own failure.

mod terminal;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::process::ExitCode;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tonic::Streaming;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{ExecEnd, FromAgent, StdinEnd, ToAgent};
use trireme_rpc::operator::exec_request::Message;
use trireme_rpc::operator::{ExecRequest, ExecStart};

use crate::Error;
use crate::client::{self, Tried};
use crate::target::TargetArgs;
use terminal::Raw;

/// The arguments of `trireme exec`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExecArgs {
    /// The task's id or ARN.
    pub task: String,
    /// The container. It need not be named when the task has only one.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Give the command no terminal, though this program has one: its output and its errors stay apart.
    #[arg(long, short = 'T')]
    pub no_tty: bool,
    /// Also in a task that was not started with enableExecuteCommand. The history says so.
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    /// Which control nodes.
    pub target: TargetArgs,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// This program's own failures, as ssh has them.
pub const FAILED: u8 = 255;
/// What is read of standard input at once.
const READ_BYTES: usize = 32 << 10;
/// Frames that wait to be sent.
const FRAMES_WAITING: usize = 8;

/// Runs `trireme exec`.
pub async fn run(args: &ExecArgs) -> Result<ExitCode, Error> {
    let target = args.target.resolve()?;
    let tty = !args.no_tty && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let start = ExecStart {
        task: args.task.clone(),
        container: args.container.clone().unwrap_or_default(),
        command: args.command.clone(),
        terminal_size: tty.then(terminal::size),
        stdin: true,
        force: args.force,
        by: terminal::who(),
    };
    let mut tried = Tried::default();
    for node in client::every_node(&target).await? {
        let (frames, requests) = mpsc::channel(FRAMES_WAITING);
        let first = ExecRequest { message: Some(Message::Start(start.clone())) };
        // There is room for it.
        let _sent = frames.try_send(first);
        match client::exec(&node.address, requests).await {
            Ok(answers) => return talk(answers, frames, tty).await,
            Err(failure) => tried.note(&node.address, failure)?,
        }
    }
    Err(tried.unreachable())
}

/// Carries everything until the command is over.
async fn talk(
    mut answers: Streaming<FromAgent>,
    frames: mpsc::Sender<ExecRequest>,
    tty: bool,
) -> Result<ExitCode, Error> {
    match next(&mut answers).await? {
        Frame::ExecStarted(_) => {}
        other => return over(other),
    }
    let _raw = if tty { Some(Raw::enter()?) } else { None };
    let mut ended = [SignalKind::terminate(), SignalKind::hangup()]
        .map(|kind| signal(kind).map_err(Error::Terminal).map(|signal| (kind, signal)));
    let [Ok(terminated), Ok(hung_up)] = &mut ended else { return Err(no_signals(ended)) };
    let mut resized = signal(SignalKind::window_change()).map_err(Error::Terminal)?;
    let mut speak = pin!(speak(&frames));
    let mut listen = pin!(listen(&mut answers));
    loop {
        tokio::select! {
            end = &mut listen => return end,
            Err(error) = &mut speak => return Err(error),
            _ = resized.recv(), if tty => {
                let size = terminal::size();
                // A newer size is sent when there is room again.
                let _full = frames.try_send(frame(ToFrame::TerminalSize(size)));
            }
            _ = terminated.1.recv() => return Ok(ended_by(terminated.0)),
            _ = hung_up.1.recv() => return Ok(ended_by(hung_up.0)),
        }
    }
}

fn no_signals<T>(ended: [Result<T, Error>; 2]) -> Error {
    let failed = ended.into_iter().find_map(Result::err);
    failed.unwrap_or_else(|| Error::Terminal(std::io::ErrorKind::Unsupported.into()))
}

/// As shells have it.
fn ended_by(kind: SignalKind) -> ExitCode {
    ExitCode::from(u8::try_from(128 + kind.as_raw_value()).unwrap_or(FAILED))
}

fn frame(frame: ToFrame) -> ExecRequest {
    ExecRequest { message: Some(Message::Frame(ToAgent { frame: Some(frame) })) }
}

/// Sends standard input, and that it is at its end. Returns only with an error: the command's end is what counts.
async fn speak(frames: &mpsc::Sender<ExecRequest>) -> Result<(), Error> {
    let mut stdin = tokio::io::stdin();
    loop {
        let mut bytes = vec![0; READ_BYTES];
        let length = stdin.read(&mut bytes).await.map_err(Error::Terminal)?;
        bytes.truncate(length);
        let said = if length == 0 { ToFrame::StdinEnd(StdinEnd {}) } else { ToFrame::Stdin(bytes.into()) };
        if frames.send(frame(said)).await.is_err() || length == 0 {
            std::future::pending::<()>().await;
        }
    }
}

async fn next(answers: &mut Streaming<FromAgent>) -> Result<Frame, Error> {
    loop {
        match answers.message().await {
            Ok(Some(FromAgent { frame: Some(frame) })) => return Ok(frame),
            // Of a newer control node.
            Ok(Some(_)) => {}
            Ok(None) => return Err(broken("it ended without an exit code")),
            Err(status) => return Err(broken(status.message())),
        }
    }
}

fn broken(reason: &str) -> Error {
    Error::Broken { reason: reason.to_owned() }
}

/// Prints what the command says, until it is over.
async fn listen(answers: &mut Streaming<FromAgent>) -> Result<ExitCode, Error> {
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    loop {
        match next(answers).await? {
            Frame::Stdout(bytes) => {
                stdout.write_all(&bytes).await.map_err(Error::Output)?;
                stdout.flush().await.map_err(Error::Output)?;
            }
            Frame::Stderr(bytes) => {
                stderr.write_all(&bytes).await.map_err(Error::Output)?;
                stderr.flush().await.map_err(Error::Output)?;
            }
            other => return over(other),
        }
    }
}

/// The command is over, or was never begun.
fn over(frame: Frame) -> Result<ExitCode, Error> {
    match frame {
        Frame::ExecEnd(ExecEnd { exit_code: Some(code), .. }) => {
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(FAILED)))
        }
        Frame::ExecEnd(ExecEnd { exit_code: None, reason }) => Err(broken(&reason)),
        Frame::Refusal(refusal) => Err(Error::Refused { reason: refusal.reason }),
        _ => Err(broken("the agent said something that is not understood")),
    }
}
