//! Ships records off the node, in the order of each stream, from the store: while nobody takes them they wait there, within its bounds. What
//! goes for lack of room before it was shipped is counted.
//!
//! At least once: after a restart or a failure some come twice. Syslog has no answers: what was on its way when a connection broke or over UDP
//! may be lost. HTTP has.

mod sink;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use trireme_rpc::logs::Record;

use super::StreamName;
use super::store::Store;
use crate::clock;
pub use sink::{Origin, Sink, SinkError};

/// How often it is looked for records.
const PAUSE: Duration = Duration::from_millis(250);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Records and bytes of one batch.
const RECORDS: usize = 500;
const BYTES: usize = 512 * 1024;
/// How often it is kept how far each stream is.
const KEEP: Duration = Duration::from_secs(1);

pub(super) const LAG: &str = "trireme_agent_log_forward_lag_seconds";
pub(super) const BATCHES: &str = "trireme_agent_log_forward_batches_total";

/// Ships what is in a store.
pub struct Forward {
    store: Arc<Store>,
    sink: Sink,
    path: PathBuf,
    kept: Vec<(StreamName, u64)>,
}

/// Records of one stream.
pub type Batch = Vec<(StreamName, Vec<Record>)>;

impl Forward {
    /// Goes on from where it was. `path` keeps that.
    pub fn new(store: Arc<Store>, sink: Sink, path: PathBuf) -> Self {
        let text = std::fs::read(&path).unwrap_or_default();
        let kept: Vec<(StreamName, u64)> = serde_json::from_slice(&text).unwrap_or_default();
        for (stream, number) in &kept {
            store.ship(stream, *number);
        }
        Self { store, sink, path, kept }
    }

    /// Ships until it is dropped.
    pub async fn run(mut self) {
        let mut failures = 0_u32;
        let mut kept_at = clock::now();
        loop {
            let batch = self.gather().await;
            let lag = batch.iter().flat_map(|(_, records)| records).map(|record| record.ingested_at).min();
            let lag = lag.map_or(0, |at| clock::wall_millis().saturating_sub(at));
            metrics::gauge!(LAG).set(Duration::from_millis(lag).as_secs_f64());
            let full = batch.iter().map(|(_, records)| records.len()).sum::<usize>() >= RECORDS;
            let pause = match self.ship(batch).await {
                Ok(()) => {
                    failures = 0;
                    if full { Duration::ZERO } else { PAUSE }
                }
                Err(error) => {
                    tracing::warn!(%error, "logs cannot be shipped; they wait");
                    failures = failures.saturating_add(1);
                    (FIRST_PAUSE * 2_u32.saturating_pow(failures.min(8))).min(LONGEST_PAUSE)
                }
            };
            if kept_at.elapsed() >= KEEP {
                kept_at = clock::now();
                self.keep().await;
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn gather(&self) -> Batch {
        let store = Arc::clone(&self.store);
        let gathered = tokio::task::spawn_blocking(move || {
            let (mut batch, mut records, mut bytes) = (Batch::new(), RECORDS, BYTES);
            for (stream, after) in store.unshipped() {
                match store.after(&stream, after, records, bytes) {
                    Ok(found) if found.is_empty() => {}
                    Ok(found) => {
                        records = records.saturating_sub(found.len());
                        bytes = bytes.saturating_sub(found.iter().map(|one| one.message.len()).sum());
                        batch.push((stream, found));
                    }
                    Err(error) => tracing::warn!(%error, "a log cannot be read to be shipped"),
                }
                if records == 0 || bytes == 0 {
                    break;
                }
            }
            batch
        });
        gathered.await.unwrap_or_default()
    }

    async fn ship(&mut self, batch: Batch) -> Result<(), SinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        let sent = self.sink.send(&batch).await;
        let result = if sent.is_ok() { "ok" } else { "error" };
        metrics::counter!(BATCHES, "result" => result).increment(1);
        sent?;
        for (stream, records) in &batch {
            if let Some(last) = records.iter().map(|record| record.number).max() {
                self.store.ship(stream, last);
            }
        }
        Ok(())
    }

    /// What fails here comes twice after a restart, no more.
    async fn keep(&mut self) {
        let shipped = self.store.shipped();
        if shipped == self.kept {
            return;
        }
        let (path, positions) = (self.path.clone(), shipped.clone());
        let written = tokio::task::spawn_blocking(move || {
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, serde_json::to_vec(&positions)?)?;
            std::fs::rename(temporary, path)
        });
        match written.await {
            Ok(Ok(())) => self.kept = shipped,
            Ok(Err(error)) => tracing::warn!(%error, "it is not kept how far logs are shipped"),
            Err(error) => tracing::warn!(%error, "it is not kept how far logs are shipped"),
        }
    }
}
