//! The flusher: the one place that syncs. It drains its queue, does one fsync for all of it, then completes the
//! callbacks in order. After a failed fsync nothing is durable any more and nothing is tried again: the kernel
//! may have dropped the pages and would report success.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use trireme_types::planted;

use crate::clock::Deadline;
use crate::config::TypeConfig;
use crate::simulation::Delay;
use crate::storage::Kv;

const QUEUE: usize = 4096;
/// A sync that takes longer is slow. A sound disk needs a hundredth of it.
const SLOW: Duration = Duration::from_millis(500);
/// So many slow syncs one after the other, or one that takes as long, make a slow disk.
const SYNCS: u32 = 3;

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
    pace: Arc<Pace>,
}

/// How fast the disk is.
#[derive(Default)]
struct Pace {
    /// Slow syncs since the last that was not.
    slow: AtomicU32,
    /// The sync that is under way is too slow from then on.
    under_way: Mutex<Option<Deadline>>,
}

impl Pace {
    fn set(&self, under_way: Option<Deadline>) {
        *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = under_way;
    }

    fn begin(&self) {
        self.set(Some(Deadline::after(SLOW * SYNCS)));
    }

    fn end(&self, took: Duration) {
        self.set(None);
        let before = self.slow.load(Ordering::Relaxed);
        self.slow.store(if took > SLOW { before.saturating_add(1) } else { 0 }, Ordering::Relaxed);
    }

    fn is_slow(&self) -> bool {
        let under_way = *self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        self.slow.load(Ordering::Relaxed) >= SYNCS || under_way.is_some_and(|late| late.left().is_zero())
    }
}

impl Flusher {
    /// Starts the flusher as a thread of its own, for a disk whose syncs take time.
    pub fn thread(kv: Arc<dyn Kv>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let pace = Arc::new(Pace::default());
        let kept = Arc::clone(&pace);
        std::thread::Builder::new().name("raft-flusher".to_owned()).spawn(move || run(&*kv, jobs, &kept))?;
        Ok(Self { queue, pace })
    }

    /// Starts the flusher as a task whose syncs take `delay` of the runtime's time, for simulations.
    pub fn task(kv: Arc<dyn Kv>, delay: Delay) -> Self {
        let (queue, mut jobs) = mpsc::channel(QUEUE);
        let pace = Arc::new(Pace::default());
        let kept = Arc::clone(&pace);
        tokio::spawn(async move {
            let mut failure = Ok(());
            let mut waiting = Vec::new();
            while jobs.recv_many(&mut waiting, QUEUE).await > 0 {
                let time = delay();
                kept.begin();
                tokio::time::sleep(time).await;
                flush(&*kv, &mut waiting, &mut failure);
                kept.end(time);
            }
        });
        Self { queue, pace }
    }

    /// Whether the last syncs were slow, or the one under way hangs.
    pub(crate) fn is_slow(&self) -> bool {
        self.pace.is_slow()
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

fn run(kv: &dyn Kv, mut jobs: mpsc::Receiver<Job>, pace: &Pace) {
    let mut failure = Ok(());
    let mut waiting = Vec::new();
    while let Some(first) = jobs.blocking_recv() {
        waiting.push(first);
        while let Ok(job) = jobs.try_recv() {
            waiting.push(job);
        }
        let started = Instant::now();
        pace.begin();
        flush(kv, &mut waiting, &mut failure);
        pace.end(started.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_is_slow_after_three_slow_syncs_or_one_that_hangs() {
        let pace = Pace::default();
        for took in [600, 600, 20, 600, 600] {
            pace.end(Duration::from_millis(took));
            assert!(!pace.is_slow());
        }
        pace.end(Duration::from_millis(600));
        assert!(pace.is_slow(), "three in a row");
        pace.end(Duration::from_millis(20));
        assert!(!pace.is_slow());
        pace.begin();
        tokio::time::advance(Duration::from_millis(1_400)).await;
        assert!(!pace.is_slow());
        tokio::time::advance(Duration::from_millis(200)).await;
        assert!(pace.is_slow(), "it has not come back yet");
        pace.end(Duration::from_millis(1_600));
        assert!(!pace.is_slow(), "one slow sync alone");
    }
}
