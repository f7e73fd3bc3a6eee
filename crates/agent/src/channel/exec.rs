//! A command in a container: its input, output and terminal over a channel. Both directions wait for whoever is slow. When nobody
//! is interested any more, the command is hung up.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tonic::Streaming;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::to_agent::Frame as ToFrame;
use trireme_rpc::channel::{Exec, ExecEnd, ExecStarted, TerminalSize as WireSize, ToAgent};

use super::{Asked, FRAME_BYTES, Out, member};
use crate::runtime::inside::{Denied, NewCommand, Output, Process, Running, TerminalSize};

/// How often it is asked whether a command that says nothing is over: its output may be held open by what it left behind.
const LOOK: Duration = Duration::from_secs(2);
/// Between two questions for how a command ended whose output is at its end; the pause doubles.
const END_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_END_PAUSE: Duration = Duration::from_secs(1);

/// How the sending of a command's output ended.
enum Ended {
    /// The command is over, with this exit code, if it is known.
    Over(Option<i32>),
    /// Nobody is interested any more.
    Abandoned,
}

/// Runs a command until it is over, or until nobody is interested any more.
pub(super) async fn run(
    asked: &Asked,
    exec: Exec,
    out: &Out,
    inbound: &mut Streaming<ToAgent>,
) -> Result<(), Denied> {
    let member = member(asked, &exec.task_id, exec.container)?;
    let new = NewCommand { command: exec.command, terminal: exec.terminal_size.map(size), stdin: exec.stdin };
    let Running { output, input, process } = asked.runtime.execute(&member, &new).await?;
    let hang_up = HangUp(Some(process.clone()));
    let started = out.send(Frame::ExecStarted(ExecStarted {})).await;
    let ended = if started.is_none() {
        Ended::Abandoned
    } else {
        let mut speak = pin!(speak(output, out, &*process));
        let mut listen = pin!(listen(inbound, input, &*process));
        tokio::select! {
            ended = &mut speak => ended?,
            () = &mut listen => Ended::Abandoned,
            () = out.closed() => Ended::Abandoned,
        }
    };
    match ended {
        Ended::Abandoned => drop(hang_up),
        Ended::Over(exit_code) => {
            hang_up.forget();
            let reason = if exit_code.is_none() { "its container is gone" } else { "" }.to_owned();
            let _nobody_reads = out.send(Frame::ExecEnd(ExecEnd { exit_code, reason })).await;
        }
    }
    Ok(())
}

/// Hangs a command up when it is dropped, as it is with its session too.
struct HangUp(Option<std::sync::Arc<dyn Process>>);

impl HangUp {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            // There is none while the agent's process ends.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { process.hang_up().await });
            }
        }
    }
}

/// Sends what the command writes, until it is over.
async fn speak(
    mut output: crate::runtime::inside::BoxStream<Result<Output, Denied>>,
    out: &Out,
    process: &dyn Process,
) -> Result<Ended, Denied> {
    let mut was_over = None;
    loop {
        let Ok(written) = tokio::time::timeout(LOOK, output.next()).await else {
            // Once more after it was found over: what it wrote last may still come.
            if let Some(code) = was_over {
                return Ok(Ended::Over(code));
            }
            was_over = process.ended().await;
            continue;
        };
        let (mut bytes, stderr) = match written {
            Some(Ok(Output::Stdout(bytes))) => (bytes, false),
            Some(Ok(Output::Stderr(bytes))) => (bytes, true),
            Some(Err(denied)) => return Err(denied),
            None => return Ok(Ended::Over(exit_code(process).await)),
        };
        while !bytes.is_empty() {
            let part: Bytes = bytes.split_to(bytes.len().min(FRAME_BYTES));
            let frame = if stderr { Frame::Stderr(part) } else { Frame::Stdout(part) };
            if out.send(frame).await.is_none() {
                return Ok(Ended::Abandoned);
            }
        }
    }
}

/// Gives the command what comes for it, until nobody is interested any more.
async fn listen(
    inbound: &mut Streaming<ToAgent>,
    input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
    process: &dyn Process,
) {
    let mut input = Some(input);
    while let Ok(Some(message)) = inbound.message().await {
        match message.frame {
            Some(ToFrame::Stdin(bytes)) => {
                // A command that does not read its input any more still has something to say.
                if let Some(open) = &mut input
                    && open.write_all(&bytes).await.is_err()
                {
                    input = None;
                }
            }
            Some(ToFrame::StdinEnd(_)) => {
                if let Some(mut open) = input.take() {
                    let _over = open.shutdown().await;
                }
            }
            Some(ToFrame::TerminalSize(wire)) => process.resize(size(wire)).await,
            Some(ToFrame::Question(_) | ToFrame::QuestionEnd(_)) | None => {}
        }
    }
}

fn size(wire: WireSize) -> TerminalSize {
    let number = |wire: u32| u16::try_from(wire).unwrap_or(u16::MAX);
    TerminalSize { rows: number(wire.rows), columns: number(wire.columns) }
}

/// The exit code of a command whose output is at its end. It may have closed it and run on: then it is waited for.
async fn exit_code(process: &dyn Process) -> Option<i32> {
    let mut pause = END_PAUSE;
    loop {
        if let Some(code) = process.ended().await {
            return code;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_END_PAUSE);
    }
}
