//! Commands in containers. Docker hands the connection over when the command starts; it is read here as it is, for a terminal's
//! bytes have no frames in which the client's library could tell where one begins.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::exec::{CreateExecOptions, ResizeExecOptions};
use bollard::models::ExecInspectResponse;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::Request;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::UnixStream;

use super::call::{Outcome, call};
use super::{DockerRuntime, QUICK, START};
use crate::runtime::BoxFuture;
use crate::runtime::inside::{BoxStream, Denied, Member, NewCommand, Output, Process, Running, TerminalSize};

/// What is read at once.
const READ_BYTES: usize = 32 << 10;
/// Docker's frames are as long as what it read at once, 32 KiB; a longer one is none.
const LONGEST_FRAME: usize = 1 << 20;
/// A terminal has its size only once the command runs.
const RESIZES: u32 = 20;
const RESIZE_PAUSE: Duration = Duration::from_millis(25);
/// A command that was hung up has so long to end.
const HANG_UP_LIMIT: Duration = Duration::from_secs(3);
const HANG_UP_PAUSE: Duration = Duration::from_millis(100);

/// Starts a command in a container.
pub(super) async fn execute(
    runtime: &DockerRuntime,
    member: &Member,
    new: &NewCommand,
) -> Result<Running, Denied> {
    let id = running(runtime, member).await?;
    let tty = new.terminal.is_some();
    let options = CreateExecOptions {
        attach_stdin: Some(new.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(tty),
        // All keys are the command's. Docker has a sequence that lets go of it; nobody types this one.
        detach_keys: Some("ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@".to_owned()),
        cmd: Some(new.command.clone()),
        ..CreateExecOptions::default()
    };
    let created = call("create_exec", QUICK, runtime.docker.create_exec(&id, options)).await;
    let exec = created.map_err(|outcome| denied(member, outcome))?.id;
    let version = runtime.docker.client_version();
    let version = format!("v{}.{}", version.major_version, version.minor_version);
    let started = start(&runtime.socket, &version, &exec, tty);
    let stream = tokio::time::timeout(START, started).await;
    let stream = stream.map_err(|_| Denied::because("Docker did not start the command in time"))??;
    let process = Arc::new(InContainer { docker: runtime.docker.clone(), container: id, exec });
    if let Some(size) = new.terminal {
        let process = Arc::clone(&process);
        // Not before the answer: it may already say something.
        tokio::spawn(async move { process.set_size(size, RESIZES).await });
    }
    let (read, write) = tokio::io::split(stream);
    let output = if tty { raw(read) } else { framed(read) };
    Ok(Running { output, input: Box::pin(write), process })
}

/// The container's id, if it runs.
async fn running(runtime: &DockerRuntime, member: &Member) -> Result<String, Denied> {
    let known = super::logs::inspect(runtime, member).await?;
    let state = known.state.unwrap_or_default();
    let id = known.id.filter(|_| state.running == Some(true) && state.paused != Some(true));
    id.ok_or_else(|| Denied::because(format!("container {} does not run", member.container)))
}

/// What Docker's refusal means.
pub(super) fn denied(member: &Member, outcome: Outcome) -> Denied {
    match outcome {
        Outcome::Refused { message, .. } => Denied::because(message),
        Outcome::Late { limit } => Denied::because(format!(
            "Docker does not answer for {} within {} s",
            member.container,
            limit.as_secs()
        )),
        Outcome::Unreachable { message } | Outcome::Broken { message } => {
            Denied::because(format!("Docker cannot be reached: {message}"))
        }
    }
}

type Connection = TokioIo<hyper::upgrade::Upgraded>;

/// Starts a command, and takes the connection over.
async fn start(socket: &Path, version: &str, exec: &str, tty: bool) -> Result<Connection, Denied> {
    let broken =
        |error: &dyn std::error::Error| Denied::because(format!("Docker cannot be reached: {error}"));
    let stream = UnixStream::connect(socket).await.map_err(|error| broken(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| broken(&error))?;
    tokio::spawn(async move {
        let _over = connection.with_upgrades().await;
    });
    let body = serde_json::json!({ "Detach": false, "Tty": tty }).to_string();
    let request = Request::post(format!("/{version}/exec/{exec}/start"))
        .header(HOST, "docker")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| broken(&error))?;
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        let body = response.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
        let said: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = said.get("message").and_then(serde_json::Value::as_str).map(str::to_owned);
        return Err(Denied::because(
            message.unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned()),
        ));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| broken(&error))?;
    Ok(TokioIo::new(upgraded))
}

/// A terminal's bytes, as they come.
fn raw(read: impl AsyncRead + Send + Unpin + 'static) -> BoxStream<Result<Output, Denied>> {
    Box::pin(stream::unfold(Some(read), |read| async {
        let mut read = read?;
        let mut bytes = BytesMut::with_capacity(READ_BYTES);
        match read.read_buf(&mut bytes).await {
            // The connection breaks with the container.
            Ok(0) | Err(_) => None,
            Ok(_) => Some((Ok(Output::Stdout(bytes.freeze())), Some(read))),
        }
    }))
}

/// Two streams in one: a header of eight bytes says of which the following ones are, and how many.
fn framed(read: impl AsyncRead + Send + Unpin + 'static) -> BoxStream<Result<Output, Denied>> {
    Box::pin(stream::unfold(Some(read), |read| async {
        let mut read = read?;
        match frame(&mut read).await {
            Ok(Some(output)) => Some((Ok(output), Some(read))),
            Ok(None) => None,
            Err(denied) => Some((Err(denied), None)),
        }
    }))
}

async fn frame(read: &mut (impl AsyncRead + Unpin)) -> Result<Option<Output>, Denied> {
    let mut header = [0; 8];
    if read.read_exact(&mut header).await.is_err() {
        return Ok(None);
    }
    let [kind, _, _, _, length @ ..] = header;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST_FRAME {
        return Err(Denied::because(format!("Docker sent a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    if read.read_exact(&mut bytes).await.is_err() {
        return Ok(None);
    }
    Ok(Some(match kind {
        2 => Output::Stderr(bytes.into()),
        _ => Output::Stdout(bytes.into()),
    }))
}

/// A command that Docker started.
struct InContainer {
    docker: Docker,
    container: String,
    exec: String,
}

impl InContainer {
    async fn inspect(&self) -> Result<ExecInspectResponse, Outcome> {
        call("inspect_exec", QUICK, self.docker.inspect_exec(&self.exec)).await
    }

    async fn set_size(&self, size: TerminalSize, tries: u32) {
        for _ in 0..tries {
            let options = ResizeExecOptions { height: size.rows, width: size.columns };
            if call("resize_exec", QUICK, self.docker.resize_exec(&self.exec, options)).await.is_ok() {
                return;
            }
            tokio::time::sleep(RESIZE_PAUSE).await;
        }
        tracing::debug!(exec = self.exec, "the terminal has not the size that it should have");
    }

    /// The process as this machine knows it, if this agent sees the machine's processes: its groups of processes name the
    /// container. Docker has no way to end a command.
    async fn pid(&self) -> Option<Pid> {
        let known = self.inspect().await.ok()?;
        let pid = i32::try_from(known.pid.filter(|pid| *pid > 1)?).ok()?;
        let groups = tokio::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/cgroup"))).await.ok()?;
        (known.running == Some(true) && groups.contains(&self.container)).then(|| Pid::from_raw(pid))
    }

    async fn end_it(&self) {
        let begun = crate::clock::now();
        let mut signal = Signal::SIGHUP;
        while let Some(pid) = self.pid().await {
            // With what it started, if it is the head of a group.
            let sent = match getpgid(Some(pid)) {
                Ok(group) if group == pid => killpg(group, signal),
                _ => kill(pid, signal),
            };
            if let Err(error) = sent {
                tracing::warn!(%error, container = self.container, "a command runs on whose user is gone");
                return;
            }
            while matches!(self.inspect().await, Ok(known) if known.running == Some(true)) {
                if begun.elapsed() > HANG_UP_LIMIT {
                    if signal == Signal::SIGKILL {
                        return;
                    }
                    signal = Signal::SIGKILL;
                    break;
                }
                tokio::time::sleep(HANG_UP_PAUSE).await;
            }
        }
    }
}

impl Process for InContainer {
    fn resize(&self, size: TerminalSize) -> BoxFuture<'_, ()> {
        Box::pin(self.set_size(size, 1))
    }

    fn ended(&self) -> BoxFuture<'_, Option<Option<i32>>> {
        Box::pin(async {
            match self.inspect().await {
                Ok(known) if known.running == Some(true) => None,
                Ok(known) => Some(known.exit_code.and_then(|code| i32::try_from(code).ok())),
                Err(outcome) if outcome.is_not_found() => Some(None),
                Err(_) => None,
            }
        })
    }

    fn hang_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.end_it())
    }
}
