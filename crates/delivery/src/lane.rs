//! One target: what it is to be told, in order, and what happens when it cannot be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::AbortOnDropHandle;
use trireme_state::State;
use trireme_state::object::{DeliveryKey, RetryPolicy, Rule};
use trireme_types::{Sequence, Timestamp};

use crate::{Parts, call, metrics, start};

/// Events of the history that wait to be told to a target. What is beyond stays in the history.
pub(crate) const QUEUE: usize = 256;
/// The first pause after a failure; each is twice the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of them.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// When something is tried again that was overtaken by another change, and how often before that is a failure.
const SOON: Duration = Duration::from_millis(50);
const OVERTAKEN: u32 = 100;

/// What an event of the history comes to for a target.
pub(crate) struct Job {
    pub(crate) sequence: Sequence,
    pub(crate) at: Timestamp,
    /// One or more, in order.
    pub(crate) events: Vec<Arc<Value>>,
}

/// One of them.
pub(crate) struct Item<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) event: &'a Value,
    /// Its number among those of its event of the history, from 1, and how many they are.
    pub(crate) number: u32,
    pub(crate) of: u32,
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
    /// It may be told later: not before a pause, if it says how long.
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
    done: u64,
    /// All up to this event of the history was seen to.
    settled: Sequence,
    pub(crate) delivered: u32,
    pub(crate) dropped: u32,
    pub(crate) error: Option<String>,
    /// Whether a job ended since the last report.
    ended: bool,
}

/// What is to be written down of a lane.
pub(crate) struct Report {
    /// All up to this event of the history was seen to.
    pub(crate) settled: Sequence,
    pub(crate) progress: Progress,
}

impl Report {
    /// Whether there is something to tell beside that nothing happened.
    pub(crate) fn has_news(&self, seen: Sequence) -> bool {
        let progress = &self.progress;
        let counted = progress.delivered > 0 || progress.dropped > 0 || progress.error.is_some();
        counted || progress.ended && self.settled > seen
    }
}

/// A target's queue, and who works it off.
pub(crate) struct Lane {
    /// How far it has been read for.
    pub(crate) at: Sequence,
    sent: u64,
    queue: mpsc::Sender<Job>,
    progress: Arc<Mutex<Progress>>,
    worker: AbortOnDropHandle<()>,
}

impl Lane {
    pub(crate) fn begin(parts: &Arc<Parts>, key: DeliveryKey, at: Sequence, wake: &Arc<Notify>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let progress = Arc::new(Mutex::new(Progress { settled: at, ..Progress::default() }));
        let worker = Worker { parts: parts.clone(), key, progress: progress.clone(), wake: wake.clone() };
        let handle = AbortOnDropHandle::new(tokio::spawn(worker.run(jobs)));
        Self { at, sent: 0, queue, progress, worker: handle }
    }

    /// Whether nobody works it off any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.worker.is_finished()
    }

    /// How many jobs it takes still.
    pub(crate) fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Takes a job. Whoever gives it has looked whether there is room.
    pub(crate) fn take(&mut self, job: Job) {
        if self.queue.try_send(job).is_ok() {
            self.sent = self.sent.saturating_add(1);
        }
    }

    /// What is to be written down. What was read without anything to tell was seen to.
    pub(crate) fn report(&self) -> Report {
        let progress = lock(&self.progress).clone();
        let settled = if progress.done == self.sent { self.at } else { progress.settled };
        Report { settled, progress }
    }

    /// It is written down.
    pub(crate) fn reported(&self, written: &Progress) {
        let mut progress = lock(&self.progress);
        progress.delivered = progress.delivered.saturating_sub(written.delivered);
        progress.dropped = progress.dropped.saturating_sub(written.dropped);
        if progress.error == written.error {
            progress.error = None;
        }
        if progress.done == written.done {
            progress.ended = false;
        }
    }

    /// Something went wrong that is nobody's failure here.
    pub(crate) fn note(&self, error: String) {
        lock(&self.progress).error = Some(error);
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    parts: Arc<Parts>,
    key: DeliveryKey,
    progress: Arc<Mutex<Progress>>,
    wake: Arc<Notify>,
}

/// What became of an event.
enum End {
    Told(Done),
    Dropped(String),
    /// There is nobody to tell any more, or it was seen to before.
    Nobody,
}

impl Worker {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            let of = u32::try_from(job.events.len()).unwrap_or(u32::MAX);
            for (event, number) in job.events.iter().zip(1..) {
                let end = self.see_to(&Item { sequence: job.sequence, event, number, of }, job.at).await;
                self.ended(end);
            }
            let mut progress = lock(&self.progress);
            progress.done = progress.done.saturating_add(1);
            (progress.settled, progress.ended) = (job.sequence, true);
            drop(progress);
            self.wake.notify_one();
        }
    }

    fn ended(&self, end: End) {
        let mut progress = lock(&self.progress);
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
    }

    /// Tells the target, however often it takes, within its retry policy. How often it was tried is forgotten with the leadership; how
    /// old the event is, is not.
    async fn see_to(&self, item: &Item<'_>, at: Timestamp) -> End {
        let (mut tries, mut overtaken) = (0_u32, 0_u32);
        loop {
            // No state is kept while somebody is waited for.
            let Some((rule, policy)) = self.rule(&self.parts.store.view(), item) else { return End::Nobody };
            let (reason, after) = match self.attempt(&rule, item).await {
                Ok(done) => return End::Told(done),
                Err(Failure::Final(reason)) => return End::Dropped(reason),
                Err(Failure::Overtaken) if overtaken < OVERTAKEN => {
                    overtaken = overtaken.saturating_add(1);
                    tokio::time::sleep(SOON).await;
                    continue;
                }
                Err(Failure::Overtaken) => ("other changes always came first".to_owned(), None),
                Err(Failure::Again { reason, after }) => (reason, after),
            };
            metrics::failed();
            tracing::info!(rule = rule.key.name, target = self.key.target, tries, %reason, "a target could not be told");
            let pause = pause(tries).max(after.unwrap_or_default());
            (tries, overtaken) = (tries.saturating_add(1), 0);
            let now = self.parts.store.now().unwrap_or(at);
            if tries > policy.max_attempts {
                return End::Dropped(format!("{reason}; it was tried again {} times", policy.max_attempts));
            }
            if now.plus(pause).since(at) > Duration::from_secs(policy.max_age_seconds.into()) {
                return End::Dropped(format!("{reason}; no try is later than {} s", policy.max_age_seconds));
            }
            lock(&self.progress).error = Some(reason);
            self.wake.notify_one();
            tokio::time::sleep(pause).await;
        }
    }

    /// The rule as it is, if it still tells the target, and this has not been seen to.
    fn rule(&self, view: &State, item: &Item<'_>) -> Option<(Arc<Rule>, RetryPolicy)> {
        let rule = view.rule(&self.key.rule)?;
        let target = rule.target(&self.key.target).filter(|target| rule.delivers_to(target))?;
        let delivery = view.delivery(&self.key)?;
        let before = Sequence::new(item.sequence.get().saturating_sub(1));
        let seen = (delivery.seen, delivery.part) >= (before, item.number) || delivery.seen >= item.sequence;
        (!seen).then(|| (rule.clone(), target.retry))
    }

    async fn attempt(&self, rule: &Rule, item: &Item<'_>) -> Result<Done, Failure> {
        let Some(target) = rule.target(&self.key.target) else { return Err(Failure::Overtaken) };
        match target.call() {
            Some(call) => call::call(&self.parts, &rule.key, target, call, item.event).await,
            None => start::start(&self.parts, &self.key, (rule, target), item).await,
        }
    }
}

/// Not all at the same moment.
fn pause(tries: u32) -> Duration {
    let pause = PAUSE.saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX)).min(PAUSE_MAX);
    pause.mul_f64(rand::random_range(0.75..=1.0))
}
