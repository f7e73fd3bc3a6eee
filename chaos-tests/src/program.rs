//! What the programs `chaos` and `chaos-kill` have in common: the laboratory that they run in, and how they end.

use std::process::ExitCode;

use anyhow::Result;

use crate::lab::cluster::Ground;

/// Success when all held; what failed goes to standard error.
pub fn exit(held: Result<bool>) -> ExitCode {
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs something in a laboratory of its own; `None` when somebody wanted it to end before.
///
/// # Errors
/// There is no laboratory, or what runs fails.
pub fn on_ground<T>(run: impl AsyncFnOnce(Ground) -> Result<T>) -> Result<Option<T>> {
    let ground = Ground::take()?;
    // Built here, so that its threads are where the client is.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = run(ground) => result.map(Some),
            _ = tokio::signal::ctrl_c() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    });
    runtime.shutdown_background();
    result
}
