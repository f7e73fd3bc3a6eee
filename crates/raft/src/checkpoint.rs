//! Checkpoints: states in the history, each a file of its own, from which the records behind it are replayed. They are not
//! Raft's snapshot: that one follows the log, these follow the history, and outlive many snapshots.
//!
//! A checkpoint is checked before anything depends on it. One that is damaged is removed and counted: it only ever saves
//! work, or stands for records that other nodes have too.

pub(crate) mod transfer;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use trireme_state::object::Retention;
use trireme_state::{Position, State};
use trireme_types::{ClusterUuid, Sequence};

use crate::error::corrupt;
use crate::snapshot::file::{self, Content, Header};
use crate::snapshot::room::Room;
use crate::storage::{Blob, FileWriter, Files};

/// Checkpoints that a node keeps at most.
pub(crate) const MOST: usize = 8;
/// And while a disk is nearly full: what the first record follows, and one to trim to.
pub(crate) const MOST_PRESSED: usize = 2;
/// The fewest events between two checkpoints.
const SPACING_MIN: u64 = 1_024;
const EXTENSION: &str = ".checkpoint";

/// How many events lie between two checkpoints at least.
pub(crate) fn spacing(retention: Retention) -> u64 {
    (retention.events / 4).max(SPACING_MIN)
}

#[derive(Debug, Clone)]
struct Known {
    position: Position,
    name: String,
    length: u64,
}

/// The checkpoints of a node.
pub struct Checkpoints {
    files: Arc<dyn Files>,
    cluster: ClusterUuid,
    known: Mutex<BTreeMap<Sequence, Known>>,
    /// The next snapshot at or after this event becomes one, however near the last one is.
    wanted: Mutex<Option<Sequence>>,
    /// One is sent at a time.
    sending: Arc<Semaphore>,
    pub(crate) room: Room,
}

impl Checkpoints {
    /// The checkpoints in `files`.
    ///
    /// # Errors
    /// Files that cannot be read. Damaged ones are removed.
    pub fn open(files: Arc<dyn Files>, cluster: ClusterUuid) -> io::Result<Arc<Self>> {
        let checkpoints = Self {
            files,
            cluster,
            known: Mutex::default(),
            wanted: Mutex::default(),
            sending: Arc::new(Semaphore::new(1)),
            room: Room::default(),
        };
        for name in checkpoints.files.list()? {
            if !name.ends_with(EXTENSION) {
                continue;
            }
            let blob = checkpoints.files.open(&name)?;
            match Header::read(cluster, &blob).and_then(|header| header.position()) {
                Ok(position) => checkpoints.insert(Known { position, name, length: blob.length() }),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    checkpoints.remove_damaged(&name, &error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Arc::new(checkpoints))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Sequence, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, known: Known) {
        self.lock().insert(known.position.sequence, known);
    }

    /// Where they are, the oldest first.
    pub fn positions(&self) -> Vec<Position> {
        self.lock().values().map(|known| known.position).collect()
    }

    /// The newest one's place; the history's beginning when there is none.
    pub(crate) fn newest(&self) -> Position {
        self.lock().values().next_back().map_or_else(Position::default, |known| known.position)
    }

    /// Makes the next snapshot at or after `first` a checkpoint.
    pub(crate) fn want(&self, first: Sequence) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
    }

    /// From which event on one is wanted. The wish holds until such a one is durable.
    pub(crate) fn wanted(&self) -> Option<Sequence> {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_room(&self) -> io::Result<()> {
        let last = self.lock().values().map(|known| known.length).max().unwrap_or(0);
        if self.room.has(last) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::StorageFull, "there is too little room for a checkpoint"))
    }

    /// The newest sound one at or before `last`, and at or after `first`.
    pub(crate) fn newest_sound(&self, first: Sequence, last: Sequence) -> io::Result<Option<Position>> {
        loop {
            let found = self.lock().range(..=last).next_back().map(|(_, known)| known.clone());
            let Some(known) = found.filter(|known| known.position.sequence >= first) else {
                return Ok(None);
            };
            if self.is_sound(&known)? {
                return Ok(Some(known.position));
            }
        }
    }

    /// Where the oldest one at or after `first` is. Nothing is read.
    pub(crate) fn oldest(&self, first: Sequence) -> Option<Position> {
        self.lock().range(first..).next().map(|(_, known)| known.position)
    }

    /// The file of the one at `position`, not checked.
    pub(crate) fn open_file(&self, position: Position) -> io::Result<Blob> {
        let known = self.lock().get(&position.sequence).cloned();
        let known = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the checkpoint is gone"))?;
        self.files.open(&known.name)
    }

    /// Checks the one at `position`, and removes it if it is damaged.
    pub(crate) fn check(&self, position: Position) -> io::Result<()> {
        let known = self.lock().get(&position.sequence).cloned();
        known.map_or(Ok(()), |known| self.is_sound(&known).map(drop))
    }

    /// Reads the whole file. One that is damaged or gone is forgotten.
    fn is_sound(&self, known: &Known) -> io::Result<bool> {
        match self.files.open(&known.name).and_then(|blob| file::verify(self.cluster, &blob)) {
            Ok(()) => Ok(true),
            Err(error) if is_damage(&error) => {
                // Unless it was pruned meanwhile.
                if self.lock().remove(&known.position.sequence).is_some() {
                    self.remove_damaged(&known.name, &error);
                }
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The state of the checkpoint at this place.
    ///
    /// # Errors
    /// It is damaged, gone, or of a layout that this binary does not know.
    pub(crate) fn load(&self, position: Position) -> io::Result<State> {
        let known = self.lock().get(&position.sequence).cloned();
        let known = known.filter(|known| known.position == position);
        let known =
            known.ok_or_else(|| corrupt(format!("there is no checkpoint at {}", position.sequence)))?;
        if !self.is_sound(&known)? {
            return Err(corrupt(format!("the checkpoint at {} is damaged", position.sequence)));
        }
        let content = file::read(self.cluster, &self.files.open(&known.name)?)?;
        if content.state.position() != position {
            return Err(corrupt(format!("the checkpoint at {} is of another state", position.sequence)));
        }
        Ok(content.state)
    }

    /// Takes over a file, such as a snapshot's, that holds the state at `position`. It takes no room where files can have
    /// two names.
    pub(crate) fn copy(&self, position: Position, source: &Blob) -> io::Result<()> {
        let blob = match self.files.adopt(source) {
            Ok(Some(blob)) => blob,
            // It may be on another file system, or removed and only open still.
            Ok(None) | Err(_) => self.duplicate(source)?,
        };
        // The copy, not the source: what was read may not be what was written once.
        file::verify(self.cluster, &blob)?;
        if Header::read(self.cluster, &blob)?.position()? != position {
            return Err(corrupt("it holds another state than it should"));
        }
        self.commit(position, &blob)
    }

    fn duplicate(&self, source: &Blob) -> io::Result<Blob> {
        self.check_room()?;
        let mut writer = self.files.create()?;
        let mut offset = 0u64;
        while offset < source.length() {
            let part = file::read_part(source, offset)?;
            writer.write(&part)?;
            offset = offset.saturating_add(part.len() as u64);
        }
        writer.finish()
    }

    /// Writes down a state.
    pub(crate) fn write(&self, state: State) -> io::Result<Position> {
        self.check_room()?;
        let position = state.position();
        let content = Content { meta: Default::default(), highest_node_id: 0, state };
        let blob = file::write(self.cluster, &content, None, &*self.files)?;
        self.commit(position, &blob)?;
        Ok(position)
    }

    /// Starts a file for a checkpoint that a peer sends.
    pub(crate) fn receive(&self) -> io::Result<Box<dyn FileWriter>> {
        self.check_room()?;
        self.files.create()
    }

    /// Takes a checkpoint that a peer has sent, once it is what it was announced to be.
    pub(crate) fn admit(&self, position: Position, blob: &Blob) -> io::Result<()> {
        if file::read(self.cluster, blob)?.state.position() != position {
            return Err(corrupt("it holds another state than was announced"));
        }
        self.commit(position, blob)
    }

    fn commit(&self, position: Position, blob: &Blob) -> io::Result<()> {
        let name = format!("{:020}-{}{EXTENSION}", position.sequence.get(), position.hash);
        blob.commit(&name)?;
        self.insert(Known { position, name, length: blob.length() });
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_some_and(|first| first <= position.sequence) {
            *wanted = None;
        }
        Ok(())
    }

    /// Removes those that no kept record needs, given the event before the first record, and some of the others when there
    /// are more than `most`. What it is told must be durable.
    pub(crate) fn prune(&self, start: Sequence, most: usize) -> io::Result<()> {
        loop {
            let positions: Vec<Sequence> = self.lock().keys().copied().collect();
            let Some(useless) = useless(&positions, start, most) else { return Ok(()) };
            let Some(known) = self.lock().remove(&useless) else { return Ok(()) };
            self.files.remove(&known.name)?;
        }
    }

    fn remove_damaged(&self, name: &str, error: &io::Error) {
        tracing::error!(%error, name, "a checkpoint of the history is damaged; it is not used");
        metrics::counter!("trireme_history_damaged_checkpoints_total").increment(1);
        if let Err(error) = self.files.remove(name)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "and it cannot be removed");
        }
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
    )
}

/// One that is not needed: one before the start, or, when there are too many, the one whose neighbours lie closest. The
/// first one is what the oldest records are replayed from, and the last one is the next to begin with.
fn useless(positions: &[Sequence], start: Sequence, most: usize) -> Option<Sequence> {
    if let Some(old) = positions.first().filter(|first| **first < start) {
        return Some(*old);
    }
    if positions.len() <= most {
        return None;
    }
    let between = positions.windows(3).min_by_key(|three| three[2].get().saturating_sub(three[0].get()));
    between.map(|three| three[1])
}

#[cfg(test)]
mod tests;
