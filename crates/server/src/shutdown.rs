//! How a control node ends: in good order on SIGTERM or SIGINT, at once when Raft has stopped.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::Error;

/// What asks a process to end.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Heard from now on.
    ///
    /// # Errors
    /// The system gives no signal handlers.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(Error::System)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::System)?,
        })
    }

    /// The next SIGTERM or SIGINT.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Resolves on the first SIGTERM or SIGINT after the call.
///
/// # Errors
/// The system gives no signal handlers.
pub fn requested() -> Result<impl Future<Output = ()>, Error> {
    let mut signals = Signals::new()?;
    Ok(async move { signals.next().await })
}
