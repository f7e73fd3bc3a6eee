//! What ends a run early: a signal, or a file.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::PAUSE;

/// The kill switch. While it exists the signals that ask a process to end do not end this one: an undo comes first.
pub struct Switch {
    file: PathBuf,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Switch {
    /// Heard from now on.
    pub fn new(file: PathBuf) -> Result<Self> {
        let heard = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            file,
            interrupt: heard(SignalKind::interrupt())?,
            terminate: heard(SignalKind::terminate())?,
            hangup: heard(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody pulls it; says how.
    pub async fn pulled(&mut self) -> String {
        let file = self.file.clone();
        let there = async {
            while !file.exists() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            name = self.signalled() => name.to_owned(),
            () = there => format!("{} is there", file.display()),
        }
    }

    /// Waits for the next signal.
    pub async fn signalled(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
