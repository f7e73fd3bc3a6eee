//! Raft's own threads.

use std::future::Future;

use crate::config::Settings;
use crate::error::Error;

/// Threads of Raft's own, so that a busy API does not keep heartbeats waiting.
pub struct Threads {
    runtime: Option<tokio::runtime::Runtime>,
}

impl Threads {
    /// Starts them.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(settings: &Settings) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_name("raft")
            .enable_all()
            .build()
            .map_err(Error::Storage)?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs a future on them: [`Node::open`](crate::Node::open) and [`Node::serve`](crate::Node::serve) belong here.
    ///
    /// # Errors
    /// The future panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::Stopped { reason: "its threads have stopped".to_owned() });
        };
        runtime.spawn(future).await.map_err(|error| Error::Stopped { reason: error.to_string() })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime may not be dropped within another one; its tasks are of no use any more.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
