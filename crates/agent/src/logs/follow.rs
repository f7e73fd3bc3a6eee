//! Follows containers: reads what they say from the runtime and stores it. Which containers is kept in a file for each, so that the agent
//! goes on after a restart, also without a control plane; how far it got is in the store itself.
//!
//! Nobody waits for it. A container's removal waits for its last lines, within [`LAST_LINES`].

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use regex::Regex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::driver::Target;
use super::store::{NewRecord, Seen, Store};
use crate::clock::{self, Instant};
use crate::runtime::{Failure, FailureKind, OutputLine, Runtime};

/// How long a removal waits until what the container said last is stored.
pub const LAST_LINES: Duration = Duration::from_secs(5);
/// Lines that wait to be stored.
const WAITING: usize = 256;
/// A line is stored no later, with those that came meanwhile.
const GATHER: Duration = Duration::from_millis(200);
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 256 * 1024;
/// An event of several lines is over when none has come for so long.
const EVENT_OVER: Duration = Duration::from_secs(1);
/// Between two looks at a container whose output has ended: it may be started again.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// logs API: PutLogEvents, the longest event.
const LONGEST_EVENT: usize = 256 * 1024 - 1_024;

/// Those that are followed.
pub struct Followers {
    store: Arc<Store>,
    runtime: Arc<dyn Runtime>,
    folder: PathBuf,
    begun: Mutex<BTreeMap<String, Follower>>,
}

struct Follower {
    ending: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followers {
    /// Those of `folder`, whose following begins with [`Followers::resume`].
    ///
    /// # Errors
    /// There is no such folder, and it cannot be made.
    pub fn new(store: Arc<Store>, runtime: Arc<dyn Runtime>, folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { store, runtime, folder, begun: Mutex::default() })
    }

    /// Goes on with what was followed before the agent's restart.
    pub fn resume(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) {
                self.begin(id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Follower>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// A container is to be followed once it is started.
    ///
    /// # Errors
    /// That cannot be kept.
    pub fn plan(&self, id: &str, target: &Target) -> io::Result<()> {
        // It is there before the first line, as it is with ECS's driver.
        self.store.create(&target.stream)?;
        let temporary = self.folder.join(format!("{id}.new"));
        std::fs::write(&temporary, serde_json::to_vec(target)?)?;
        std::fs::rename(temporary, self.path(id))
    }

    /// Follows a container from now on, if that was planned.
    pub fn begin(&self, id: &str) {
        let mut begun = self.lock();
        if begun.contains_key(id) {
            return;
        }
        let Ok(text) = std::fs::read(self.path(id)) else { return };
        let target: Target = match serde_json::from_slice(&text) {
            Ok(target) => target,
            Err(error) => {
                tracing::warn!(id, %error, "a container's log is not followed: its plan is damaged");
                return;
            }
        };
        let ending = CancellationToken::new();
        let following = Following {
            id: id.to_owned(),
            begins: target.begins.as_deref().and_then(|pattern| Regex::new(pattern).ok()),
            target,
            store: Arc::clone(&self.store),
            runtime: Arc::clone(&self.runtime),
            ending: ending.clone(),
            plan: self.path(id),
        };
        let task = tokio::spawn(following.run());
        begun.insert(id.to_owned(), Follower { ending, task });
    }

    /// Stores what is left, and follows no more. Returns within [`LAST_LINES`].
    pub async fn finish(&self, id: &str) {
        // Also of a container whose start was not answered: it may have said something.
        self.begin(id);
        let follower = self.lock().remove(id);
        if let Some(mut follower) = follower {
            follower.ending.cancel();
            if tokio::time::timeout(LAST_LINES, &mut follower.task).await.is_err() {
                tracing::warn!(id, "a container's last lines could not be stored in time");
            }
        }
        if let Err(error) = std::fs::remove_file(self.path(id))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(id, %error, "the plan of a container's log cannot be removed");
        }
    }
}

struct Following {
    id: String,
    target: Target,
    begins: Option<Regex>,
    store: Arc<Store>,
    runtime: Arc<dyn Runtime>,
    ending: CancellationToken,
    plan: PathBuf,
}

impl Following {
    async fn run(self) {
        let mut pause = AGAIN;
        while !self.ending.is_cancelled() {
            pause = match self.pass(true).await {
                Ok(()) => AGAIN,
                Err(Failure { kind: FailureKind::CannotInspect, .. }) => {
                    // It went behind the agent's back. Nothing more can come.
                    let _ = std::fs::remove_file(&self.plan);
                    return;
                }
                Err(failure) => {
                    tracing::warn!(id = self.id, %failure, "a container's output cannot be read");
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.ending.cancelled() => {}
            }
        }
        if let Err(failure) = self.pass(false).await {
            tracing::warn!(id = self.id, %failure, "a container's last lines cannot be read");
        }
    }

    /// Reads from where the store ends. With `follow` until the container ends, or following it does.
    async fn pass(&self, follow: bool) -> Result<(), Failure> {
        let (store, stream) = (Arc::clone(&self.store), self.target.stream.clone());
        let seen = tokio::task::spawn_blocking(move || store.seen(&stream)).await;
        let seen = seen.map_err(io::Error::other).and_then(|seen| seen).unwrap_or_else(|error| {
            tracing::warn!(id = self.id, %error, "a log cannot be read: some lines may be in it twice");
            Seen::default()
        });
        let (sender, lines) = mpsc::channel(WAITING);
        let from = seen.from;
        let reading = async {
            // What was read is stored before the next pass looks how far this one came.
            tokio::select! {
                result = self.runtime.output(&self.id, from, follow, sender) => result,
                () = self.ending.cancelled(), if follow => Ok(()),
            }
        };
        let (read, ()) = tokio::join!(reading, self.write(lines, seen));
        read
    }

    async fn write(&self, mut lines: mpsc::Receiver<OutputLine>, mut seen: Seen) {
        let mut batch = Batch::default();
        loop {
            let line = match batch.due() {
                Some(due) => tokio::time::timeout_at(due, lines.recv()).await,
                None => Ok(lines.recv().await),
            };
            match line {
                Ok(Some(line)) if seen.take(&line.stamps) => {}
                // The logs API has no event without a text.
                Ok(Some(line)) if line.text.is_empty() && self.begins.is_none() => {}
                Ok(Some(line)) => batch.add(line, self.begins.as_ref()),
                Ok(None) => {
                    batch.close();
                    self.store(&mut batch).await;
                    return;
                }
                Err(_) => {
                    batch.close_if_over();
                    self.store(&mut batch).await;
                }
            }
            if batch.is_full() {
                self.store(&mut batch).await;
            }
        }
    }

    /// Stores what was gathered, as often as it takes: meanwhile Docker keeps what comes.
    async fn store(&self, batch: &mut Batch) {
        let records = std::mem::take(&mut batch.records);
        batch.bytes = 0;
        batch.since = None;
        let mut pause = GATHER;
        while !records.is_empty() {
            let (store, stream) = (Arc::clone(&self.store), self.target.stream.clone());
            let again = records.clone();
            let stored = tokio::task::spawn_blocking(move || store.append(&stream, again, false)).await;
            match stored.map_err(io::Error::other).and_then(|stored| stored) {
                Ok(()) => return,
                Err(error) => tracing::warn!(id = self.id, %error, "lines cannot be stored; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Events that are to be stored together.
#[derive(Default)]
struct Batch {
    records: Vec<NewRecord>,
    bytes: usize,
    since: Option<Instant>,
    /// An event that may have more lines, and when its last one came.
    open: Option<(NewRecord, Instant)>,
}

impl Batch {
    fn due(&self) -> Option<Instant> {
        let event = self.open.as_ref().map(|(_, last)| *last + EVENT_OVER);
        let batch = self.since.map(|since| since + GATHER);
        batch.into_iter().chain(event).min()
    }

    fn is_full(&self) -> bool {
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    fn add(&mut self, line: OutputLine, begins: Option<&Regex>) {
        let at = line.stamps.first().map_or(0, |stamp| stamp / 1_000_000);
        let record = NewRecord { at, stamps: line.stamps, message: line.text };
        let Some(begins) = begins else { return self.push(record) };
        match &mut self.open {
            Some((event, last))
                if !begins.is_match(&record.message)
                    && event.message.len() + record.message.len() < LONGEST_EVENT =>
            {
                event.message.push('\n');
                event.message.push_str(&record.message);
                event.stamps.extend(record.stamps);
                *last = clock::now();
            }
            _ => {
                self.close();
                self.open = Some((record, clock::now()));
            }
        }
    }

    fn push(&mut self, record: NewRecord) {
        self.bytes += record.message.len();
        self.since.get_or_insert_with(clock::now);
        self.records.push(record);
    }

    fn close(&mut self) {
        if let Some((event, _)) = self.open.take() {
            self.push(event);
        }
    }

    fn close_if_over(&mut self) {
        if self.open.as_ref().is_some_and(|(_, last)| *last + EVENT_OVER <= clock::now()) {
            self.close();
        }
    }
}
