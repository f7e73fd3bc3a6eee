//! One target: what it is to be told, in order, and what happens when it cannot be.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;
use trireme_state::State;
use trireme_state::object::{DeliveryKey, Rule, Target};
use trireme_types::{Sequence, Timestamp};

use crate::{Parts, call, metrics, start};

/// Events of a target that wait to be told. What is beyond stays in the history.
pub(crate) const QUEUE: usize = 512;
/// The first pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// When something is tried again that was overtaken by another change.
const SOON: Duration = Duration::from_millis(50);

/// An event for a target.
pub(crate) struct Job {
    /// The event of the history that it is of.
    pub(crate) sequence: Sequence,
    pub(crate) at: Timestamp,
    pub(crate) event: Arc<Value>,
    /// Whether nothing else of that event of the history follows for this target.
    pub(crate) last: bool,
}

/// A target was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It is to be written down.
    Taken,
    /// It is written down already.
    Recorded,
}

/// A target was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It may be told later: after a pause, if it says how long.
    Again { reason: String, after: Option<Duration> },
    /// Something changed in between; nothing failed.
    Overtaken,
    /// It never will be.
    Final(String),
}

impl Failure {
    pub(crate) fn again(reason: impl Into<String>) -> Self {
        Self::Again { reason: reason.into(), after: None }
    }
}

/// What a lane has come to, and what is not written down of it yet.
#[derive(Debug, Default, Clone)]
pub(crate) struct Progress {
    /// Jobs that are done, all in all.
    pub(crate) done: u64,
    /// All up to this event of the history was seen to.
    pub(crate) settled: Sequence,
    pub(crate) delivered: u32,
    pub(crate) dropped: u32,
    pub(crate) error: Option<String>,
}

/// A target's queue, and who works it off.
pub(crate) struct Lane {
    /// How far it has been read for.
    pub(crate) at: Sequence,
    sent: u64,
    queue: mpsc::Sender<Job>,
    progress: Arc<Mutex<Progress>>,
    _worker: AbortOnDropHandle<()>,
}

impl Lane {
    pub(crate) fn begin(parts: &Arc<Parts>, key: DeliveryKey, at: Sequence, wake: &Arc<Notify>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let progress = Arc::new(Mutex::new(Progress { settled: at, ..Progress::default() }));
        let worker = Worker { parts: parts.clone(), key, progress: progress.clone(), wake: wake.clone() };
        let handle = AbortOnDropHandle::new(tokio::spawn(worker.run(jobs)));
        Self { at, sent: 0, queue, progress, _worker: handle }
    }

    /// How many jobs it takes still.
    pub(crate) fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Takes a job, if there is room.
    pub(crate) fn take(&mut self, job: Job) {
        if self.queue.try_send(job).is_ok() {
            self.sent = self.sent.saturating_add(1);
        }
    }

    /// How far everything was seen to: what was read without anything to tell counts.
    pub(crate) fn settled(&self) -> Sequence {
        let progress = self.progress();
        if progress.done == self.sent { self.at } else { progress.settled }
    }

    /// What is to be written down, which is taken.
    pub(crate) fn report(&self) -> Progress {
        let mut progress = self.lock();
        let taken = progress.clone();
        (progress.delivered, progress.dropped, progress.error) = (0, 0, None);
        taken
    }

    /// What was taken and could not be written down.
    pub(crate) fn give_back(&self, taken: Progress) {
        let mut progress = self.lock();
        progress.delivered = progress.delivered.saturating_add(taken.delivered);
        progress.dropped = progress.dropped.saturating_add(taken.dropped);
        progress.error = progress.error.take().or(taken.error);
    }

    /// Something went wrong that is nobody's failure here.
    pub(crate) fn note(&self, error: String) {
        self.lock().error = Some(error);
    }

    pub(crate) fn progress(&self) -> Progress {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    parts: Arc<Parts>,
    key: DeliveryKey,
    progress: Arc<Mutex<Progress>>,
    wake: Arc<Notify>,
}

/// What became of a job.
enum End {
    Told(Done),
    Dropped(String),
    /// There is nobody to tell any more.
    Nobody,
}

impl Worker {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let end = self.see_to(&job).await;
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.done = progress.done.saturating_add(1);
            if job.last {
                progress.settled = job.sequence;
            }
            match end {
                End::Told(done) => {
                    metrics::told("delivered");
                    progress.delivered = progress.delivered.saturating_add(u32::from(done == Done::Taken));
                }
                End::Dropped(reason) => {
                    metrics::told("dropped");
                    tracing::warn!(rule = self.key.rule.name, target = self.key.target, %reason, "an event is given up");
                    progress.dropped = progress.dropped.saturating_add(1);
                    progress.error = Some(reason);
                }
                End::Nobody => {}
            }
            drop(progress);
            self.wake.notify_one();
        }
    }

    /// Tells the target, however often it takes, within its retry policy.
    async fn see_to(&self, job: &Job) -> End {
        let mut tries = 0_u32;
        loop {
            let view = self.parts.store.view();
            let Some((rule, target)) = target(&view, &self.key) else { return End::Nobody };
            let (reason, after) = match self.attempt(&view, rule, target, job).await {
                Ok(done) => return End::Told(done),
                Err(Failure::Final(reason)) => return End::Dropped(reason),
                Err(Failure::Overtaken) => {
                    tokio::time::sleep(SOON).await;
                    continue;
                }
                Err(Failure::Again { reason, after }) => (reason, after),
            };
            metrics::failed();
            tracing::info!(rule = rule.key.name, target = target.id, tries, %reason, "a target could not be told");
            let pause = after.unwrap_or_else(|| pause(tries));
            tries = tries.saturating_add(1);
            let now = self.parts.store.now().unwrap_or(job.at);
            let policy = target.retry;
            if tries > policy.max_attempts {
                return End::Dropped(format!("{reason}; it was tried again {} times", policy.max_attempts));
            }
            if now.plus(pause).since(job.at) > Duration::from_secs(policy.max_age_seconds.into()) {
                return End::Dropped(format!("{reason}; no try is later than {} s", policy.max_age_seconds));
            }
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).error = Some(reason);
            self.wake.notify_one();
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, view: &State, rule: &Rule, target: &Target, job: &Job) -> Result<Done, Failure> {
        match target.call() {
            Some(call) => call::call(&self.parts, view, &rule.key, target, call, &job.event).await,
            None => start::start(&self.parts, view, &self.key, (rule, target), job).await,
        }
    }
}

fn target<'a>(view: &'a State, key: &DeliveryKey) -> Option<(&'a Rule, &'a Target)> {
    let rule = view.rule(&key.rule)?;
    let target = rule.target(&key.target).filter(|target| rule.delivers_to(target))?;
    Some((rule, target))
}

/// Not all at the same moment.
fn pause(tries: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    pause.mul_f64(rand::random_range(0.75..=1.0))
}
