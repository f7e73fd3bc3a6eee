//! The one place where a node learns that it must stop: damage, a contradiction, a task that panicked.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

/// A handle to it. Clones share it; the first reason stays.
#[derive(Clone)]
pub(crate) struct Fault(Arc<watch::Sender<Option<String>>>);

impl Fault {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }

    /// The node has to stop.
    pub(crate) fn raise(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                tracing::error!(%reason, "this node has to stop");
                *current = Some(reason);
            }
            first
        });
    }

    /// Learns of it.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.0.subscribe()
    }

    /// Runs a task that the node cannot do without: its panic stops the node. Its ordinary end is not a fault.
    pub(crate) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let fault = self.clone();
        let running = tokio::spawn(task);
        tokio::spawn(async move {
            if let Err(error) = running.await
                && error.is_panic()
            {
                fault.raise(format!("{name} panicked: {error}"));
            }
        });
    }
}
