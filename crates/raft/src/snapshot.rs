//! Raft's snapshots: one [`file`] each, which says itself what it covers.

pub(crate) mod file;
pub(crate) mod room;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::RaftSnapshotBuilder;
use tokio::sync::watch;
use trireme_state::{Position, State};
use trireme_types::{ClusterUuid, planted};

use crate::agreement::Sampler;
use crate::config::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::error::{Error, corrupt};
use crate::log::flusher::Flusher;
use crate::storage::{Blob, Files};
use file::{Content, Header};
use room::Room;

/// The snapshots of a node: at most one is current.
pub struct Snapshots {
    files: Arc<dyn Files>,
    flusher: Flusher,
    cluster: ClusterUuid,
    current: Mutex<Option<(SnapshotMeta, Blob)>>,
    offered: watch::Sender<Option<Offer>>,
    pub(crate) room: Room,
}

/// A snapshot that may become a checkpoint of the history. Only the newest counts.
#[derive(Clone)]
pub(crate) struct Offer {
    /// The state's place in the history.
    pub position: Position,
    pub blob: Blob,
}

impl Snapshots {
    /// The snapshots in `files`. A damaged one is refused: the log before it is gone.
    pub fn open(files: Arc<dyn Files>, flusher: Flusher, cluster: ClusterUuid) -> io::Result<Arc<Self>> {
        let offered = watch::channel(None).0;
        let snapshots =
            Self { files, flusher, cluster, current: Mutex::new(None), offered, room: Room::default() };
        if let Some(name) = snapshots.files.list()?.pop() {
            let blob = snapshots.files.open(&name)?;
            let header =
                Header::read(cluster, &blob).map_err(|error| corrupt(format!("snapshot {name}: {error}")))?;
            snapshots.set(header.meta()?, blob)?;
        }
        Ok(Arc::new(snapshots))
    }

    /// Refuses a purged log whose snapshot is gone.
    pub(crate) fn check(&self, purged: Option<LogId>) -> Result<(), Error> {
        let covered = self.current().and_then(|snapshot| snapshot.meta.last_log_id);
        if covered < purged {
            let show = |id: Option<LogId>| id.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            return Err(Error::Shortened {
                found: format!("the snapshot covers {}", show(covered)),
                durable: format!("one up to {}", show(purged)),
            });
        }
        Ok(())
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<Snapshot> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|(meta, blob)| Snapshot { meta: meta.clone(), snapshot: Arc::clone(blob) })
    }

    /// Whether there is room for another one.
    pub(crate) fn has_room(&self) -> bool {
        let last = self.current().map_or(0, |current| current.snapshot.length());
        let room = self.room.has(last);
        if !room {
            tracing::warn!(last, "there is too little room for a snapshot: it is put off");
        }
        room
    }

    fn set(&self, meta: SnapshotMeta, blob: Blob) -> io::Result<()> {
        let name = blob.name();
        {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let newer = current.as_ref().is_some_and(|(other, _)| other.last_log_id > meta.last_log_id);
            if newer {
                return Ok(());
            }
            *current = Some((meta, blob));
        }
        for other in self.files.list()? {
            if name.as_ref().is_some_and(|name| other < *name) {
                self.files.remove(&other)?;
            }
        }
        Ok(())
    }

    /// Checks that a snapshot is what it was when it was written.
    pub(crate) fn verify(&self, blob: &Blob) -> io::Result<()> {
        file::verify(self.cluster, blob)
    }

    /// Checks a snapshot that a leader has sent before openraft hears of it: past this point damage is fatal.
    pub(crate) fn admit(&self, blob: &Blob, meta: &SnapshotMeta) -> io::Result<()> {
        let content = self.read(blob)?;
        if content.meta != *meta {
            return Err(corrupt(format!("it covers {}, not {meta} as it was announced", content.meta)));
        }
        Ok(())
    }

    /// Reads and checks a snapshot.
    pub(crate) fn read(&self, blob: &Blob) -> io::Result<Content> {
        file::read(self.cluster, blob)
    }

    /// Makes a complete temporary file the current snapshot.
    pub(crate) async fn commit(&self, meta: SnapshotMeta, blob: Blob) -> io::Result<()> {
        // What the snapshot lets openraft purge must be on the disk first, the history above all.
        if !planted::is("snapshot-before-the-log-is-synced") {
            self.flusher.sync().await?;
        }
        if blob.name().is_none() {
            blob.commit(&file_name(&meta))?;
        }
        self.set(meta, blob)
    }

    /// Lets others know of a snapshot that is durable here.
    pub(crate) fn offer(&self, position: Position, blob: &Blob) {
        self.offered.send_replace(Some(Offer { position, blob: Arc::clone(blob) }));
    }

    /// Learns of each new snapshot.
    pub(crate) fn offers(&self) -> watch::Receiver<Option<Offer>> {
        self.offered.subscribe()
    }

    /// Starts a file for a snapshot that a leader sends.
    pub(crate) fn receive(&self) -> io::Result<Box<dyn crate::storage::FileWriter>> {
        self.files.create()
    }
}

pub(crate) fn file_name(meta: &SnapshotMeta) -> String {
    let (index, term, node) =
        meta.last_log_id.map_or((0, 0, 0), |id| (id.index, id.leader_id.term, id.leader_id.node_id));
    format!("{index:020}-{term:020}-{node:020}.snapshot")
}

/// A snapshot captured at one moment; building it disturbs nobody.
pub struct Builder {
    snapshots: Arc<Snapshots>,
    sampler: Sampler,
    content: Content,
}

impl Builder {
    pub(crate) fn new(
        snapshots: Arc<Snapshots>,
        sampler: Sampler,
        last_log_id: Option<crate::config::LogId>,
        last_membership: StoredMembership,
        highest_node_id: u64,
        state: State,
    ) -> Self {
        let meta = SnapshotMeta { last_log_id, last_membership };
        Self { snapshots, sampler, content: Content { meta, highest_node_id, state } }
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = Blob;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let (snapshots, content) = (Arc::clone(&self.snapshots), self.content.clone());
        let known = self.sampler.hash_of(&content.state).await;
        let write = move || file::write(snapshots.cluster, &content, known, &*snapshots.files);
        let blob = blocking(write).await?;
        self.snapshots.commit(self.content.meta.clone(), Arc::clone(&blob)).await?;
        self.snapshots.offer(self.content.state.position(), &blob);
        Ok(Snapshot { meta: self.content.meta.clone(), snapshot: blob })
    }
}

/// Runs work that takes long away from the runtime's threads. A simulation has only one thread and no time of its
/// own there: it runs the work in place.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
