//! The socket through which an agent reaches its engine: it passes everything on, until it is told to hang, to be slow, or to
//! answer each request with an error.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::hold;

/// What the socket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Pass everything on.
    Pass,
    /// Take everything, give nothing.
    Hang,
    /// So much later.
    Slow(Duration),
    /// Answer "500 Internal Server Error".
    Fail,
}

/// A zone's socket.
pub struct Socket {
    mode: watch::Sender<Mode>,
}

const ERROR: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\
Connection: close\r\n\r\n{\"message\":\"made to fail\"}\r\n";

impl Socket {
    /// Listens at `path` for what goes to `engine`.
    ///
    /// # Errors
    /// It cannot listen.
    pub fn start(path: &Path, engine: PathBuf) -> Result<Self> {
        let _none = std::fs::remove_file(path);
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
        let (mode, modes) = watch::channel(Mode::Pass);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, engine.clone(), modes.clone()));
            }
        });
        Ok(Self { mode })
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(mut agent: UnixStream, engine: PathBuf, mut modes: watch::Receiver<Mode>) {
    if *modes.borrow_and_update() == Mode::Fail {
        let mut request = [0_u8; 16 << 10];
        let _whatever_it_was = agent.read(&mut request).await;
        let _gone = agent.write_all(ERROR).await;
        return;
    }
    let _open = modes.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode);
    let Ok(engine) = UnixStream::connect(engine).await else { return };
    let (from_agent, to_agent) = agent.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let mut failing = modes.clone();
    tokio::select! {
        () = pump(from_agent, to_engine, modes.clone()) => {}
        () = pump(from_engine, to_agent, modes) => {}
        _ = failing.wait_for(|mode| *mode == Mode::Fail) => {}
    }
}

/// One way of a connection. It ends when either side does: HTTP needs no half-closed connections here.
async fn pump(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0_u8; 64 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let mode = modes.wait_for(|mode| *mode != Mode::Hang).await.map(|mode| *mode);
        if let Ok(Mode::Slow(time)) = mode {
            hold(time).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}
