//! The flusher: the one place that syncs. It drains its queue, does one fsync for all of it, then completes the
//! callbacks in order. After a failed fsync nothing is durable any more and nothing is tried again: the kernel
//! may have dropped the pages and would report success.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use trireme_types::planted;

use crate::config::TypeConfig;
use crate::simulation::Delay;
use crate::storage::Kv;

const QUEUE: usize = 4096;
/// A sync that takes longer is slow. A sound disk needs a hundredth of it.
pub(crate) const SLOW: Duration = Duration::from_millis(500);

/// What waits for a sync.
enum Job {
    Entries(IOFlushed<TypeConfig>),
    Caller(oneshot::Sender<io::Result<()>>),
}

impl Job {
    fn complete(self, result: &Result<(), String>) {
        let result = result.clone().map_err(io::Error::other);
        match self {
            Self::Entries(callback) => callback.io_completed(result),
            Self::Caller(sender) => {
                let _gone = sender.send(result);
            }
        }
    }
}

/// A handle to the flusher. It stops when the last handle is dropped, after a last sync.
#[derive(Clone)]
pub struct Flusher {
    queue: mpsc::Sender<Job>,
    /// Slow syncs since the last that was not.
    slow: Arc<AtomicU32>,
}

impl Flusher {
    /// Starts the flusher as a thread of its own, for a disk whose syncs take time.
    pub fn thread(kv: Arc<dyn Kv>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let slow = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&slow);
        std::thread::Builder::new()
            .name("raft-flusher".to_owned())
            .spawn(move || run(&*kv, jobs, &counted))?;
        Ok(Self { queue, slow })
    }

    /// Starts the flusher as a task whose syncs take `delay` of the runtime's time, for simulations.
    pub fn task(kv: Arc<dyn Kv>, delay: Delay) -> Self {
        let (queue, mut jobs) = mpsc::channel(QUEUE);
        let slow = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&slow);
        tokio::spawn(async move {
            let mut failure = Ok(());
            let mut waiting = Vec::new();
            while jobs.recv_many(&mut waiting, QUEUE).await > 0 {
                let time = delay();
                tokio::time::sleep(time).await;
                flush(&*kv, &mut waiting, &mut failure);
                count(&counted, time);
            }
        });
        Self { queue, slow }
    }

    /// How many syncs in a row, up to the last one, took longer than [`SLOW`].
    pub(crate) fn slow_syncs(&self) -> u32 {
        self.slow.load(Ordering::Relaxed)
    }

    /// Completes `callback` once everything written before this call is durable.
    pub(crate) async fn entries(&self, callback: IOFlushed<TypeConfig>) -> io::Result<()> {
        self.queue.send(Job::Entries(callback)).await.map_err(|_| stopped())
    }

    /// Returns once everything written before this call is durable.
    pub async fn sync(&self) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(Job::Caller(sender)).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }
}

fn stopped() -> io::Error {
    io::Error::other("the flusher has stopped")
}

fn count(slow: &AtomicU32, took: Duration) {
    let before = slow.load(Ordering::Relaxed);
    slow.store(if took > SLOW { before.saturating_add(1) } else { 0 }, Ordering::Relaxed);
}

fn run(kv: &dyn Kv, mut jobs: mpsc::Receiver<Job>, slow: &AtomicU32) {
    let mut failure = Ok(());
    let mut waiting = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        waiting.push(first);
        while let Ok(job) = jobs.try_recv() {
            waiting.push(job);
        }
        let started = Instant::now();
        flush(kv, &mut waiting, &mut failure);
        count(slow, started.elapsed());
    }
    if failure.is_ok() {
        let _last = kv.sync();
    }
}

fn flush(kv: &dyn Kv, waiting: &mut Vec<Job>, failure: &mut Result<(), String>) {
    if failure.is_ok() || planted::is("failed-sync-ignored") {
        let started = Instant::now();
        *failure = kv.sync().map_err(|error| format!("fsync failed: {error}"));
        metrics::histogram!("trireme_raft_fsync_seconds").record(started.elapsed().as_secs_f64());
        if planted::is("failed-sync-ignored") && failure.is_err() {
            *failure = Ok(());
        }
        if let Err(error) = failure {
            tracing::error!(%error, "the disk does not keep what was written; this node stops");
        }
    }
    for job in waiting.drain(..) {
        job.complete(failure);
    }
}
