//! How a control node ends: in good order on SIGTERM or SIGINT, at once when Raft has stopped.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::Error;

/// Resolves on the first SIGTERM or SIGINT after the call.
///
/// # Errors
/// The system gives no signal handlers.
pub fn requested() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::System)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::System)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
