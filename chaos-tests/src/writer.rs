//! A stream of writes, one after the other, that remembers which were acknowledged and when.

use std::time::{Duration, Instant};

use aws_sdk_ecs::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a stream of writes came to.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// The names of the clusters whose creation was acknowledged.
    pub acknowledged: Vec<String>,
    /// Calls that came back with an error: their outcome is unknown.
    pub failed: Vec<String>,
    /// The longest time without an acknowledgement.
    pub longest_gap: Duration,
}

/// A running stream of writes.
pub struct Writer {
    stop: watch::Sender<bool>,
    task: JoinHandle<Written>,
}

impl Writer {
    /// Starts creating clusters named `prefix-000001` and so on.
    pub fn start(client: Client, prefix: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let prefix = prefix.to_owned();
        let task = tokio::spawn(async move { write(&client, &prefix, &stopped).await });
        Self { stop, task }
    }

    /// Ends it.
    ///
    /// # Errors
    /// The writer panicked.
    pub async fn finish(self) -> anyhow::Result<Written> {
        self.stop.send_replace(true);
        Ok(self.task.await?)
    }
}

async fn write(client: &Client, prefix: &str, stopped: &watch::Receiver<bool>) -> Written {
    let mut written = Written::default();
    let mut last = Instant::now();
    for number in 1_u64.. {
        if *stopped.borrow() {
            break;
        }
        let name = format!("{prefix}-{number:06}");
        match client.create_cluster().cluster_name(&name).send().await {
            Ok(_) => {
                written.longest_gap = written.longest_gap.max(last.elapsed());
                last = Instant::now();
                written.acknowledged.push(name);
            }
            Err(error) => {
                let error = aws_sdk_ecs::error::DisplayErrorContext(error);
                written.failed.push(format!("{name}: {error}"));
            }
        }
    }
    written
}
