//! What this agent pulled: only that is its to remove. Kept in a file of the data folder, replaced as a whole.
//!
//! Without the file, or when it is damaged, nothing was pulled: then nothing is removed, and `once` pulls once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::clock;

/// Images that are remembered; beyond that the ones that were not used for longest are forgotten, and stay on the disk.
const MOST_RECORDS: usize = 10_000;

/// An image under the name by which it was pulled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Name {
    pub(super) reference: String,
    pub(super) id: String,
}

/// What is remembered of it: when it was used last, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    used_at: u64,
}

#[derive(Debug, Default)]
struct Records {
    images: BTreeMap<Name, Record>,
    /// By the image's name, what was pulled or found up to date: for `once`.
    seen: std::collections::BTreeSet<String>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    images: Vec<(Name, Record)>,
    seen: Vec<String>,
}

/// What this agent pulled.
#[derive(Debug, Default)]
pub(super) struct Kept {
    path: Option<PathBuf>,
    records: Mutex<Records>,
    /// One writer at a time, so that the last one has the last word.
    writing: tokio::sync::Mutex<()>,
}

impl Kept {
    pub(super) fn open(folder: Option<&Path>) -> Self {
        let path = folder.map(|folder| folder.join("images.json"));
        let stored = path.as_deref().map_or_else(Stored::default, read);
        let records =
            Records { images: stored.images.into_iter().collect(), seen: stored.seen.into_iter().collect() };
        Self { path, records: Mutex::new(records), writing: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An image was pulled that was not here before.
    pub(super) async fn pulled(&self, reference: &str, id: &str) {
        let name = Name { reference: reference.to_owned(), id: id.to_owned() };
        {
            let mut records = self.lock();
            records.seen.insert(reference.to_owned());
            records.images.insert(name, Record { used_at: clock::wall_millis() });
            while records.images.len() > MOST_RECORDS {
                let oldest = records.images.iter().min_by_key(|(_, record)| record.used_at);
                let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
                records.images.remove(&oldest);
            }
            while records.seen.len() > MOST_RECORDS {
                records.seen.pop_first();
            }
        }
        self.write().await;
    }

    /// An image was asked for at its registry and is up to date. It is written with what comes next.
    pub(super) fn confirmed(&self, reference: &str) {
        self.lock().seen.insert(reference.to_owned());
    }

    /// A task is to run it, or another one of that name.
    pub(super) fn used(&self, reference: &str) {
        let now = clock::wall_millis();
        let mut records = self.lock();
        for (name, record) in &mut records.images {
            if without_digest(&name.reference) == without_digest(reference) {
                record.used_at = record.used_at.max(now);
            }
        }
    }

    /// Whether it was pulled before, or found up to date.
    pub(super) fn has(&self, reference: &str) -> bool {
        self.lock().seen.contains(reference)
    }

    /// What no task asked for since `before`, the longest unused first.
    pub(super) fn unused_since(&self, before: u64) -> Vec<Name> {
        let records = self.lock();
        let mut old: Vec<(u64, Name)> = records
            .images
            .iter()
            .filter(|(_, record)| record.used_at <= before)
            .map(|(name, record)| (record.used_at, name.clone()))
            .collect();
        old.sort();
        old.into_iter().map(|(_, name)| name).collect()
    }

    /// Containers are made from images with these ids.
    pub(super) fn in_use(&self, ids: &[String]) {
        let now = clock::wall_millis();
        for (name, record) in &mut self.lock().images {
            if ids.contains(&name.id) {
                record.used_at = now;
            }
        }
    }

    /// It is gone, or no longer this agent's.
    pub(super) fn remove(&self, name: &Name) {
        let mut records = self.lock();
        records.images.remove(name);
        records.seen.remove(&name.reference);
    }

    /// Writes what is remembered. An agent that cannot do so goes on.
    pub(super) async fn write(&self) {
        let Some(path) = self.path.clone() else { return };
        let _turn = self.writing.lock().await;
        let stored = {
            let records = self.lock();
            let images = records.images.iter().map(|(name, record)| (name.clone(), *record)).collect();
            Stored { images, seen: records.seen.iter().cloned().collect() }
        };
        let written = tokio::task::spawn_blocking(move || replace(&path, &stored)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "cannot remember which images were pulled: they will not be removed");
        }
    }
}

fn without_digest(reference: &str) -> &str {
    reference.split_once('@').map_or(reference, |(name, _)| name)
}

fn read(path: &Path) -> Stored {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Stored::default(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "it is not known which images were pulled");
            return Stored::default();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "it is not known which images were pulled");
        Stored::default()
    })
}

fn replace(path: &Path, stored: &Stored) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    std::fs::write(&new, serde_json::to_vec(stored)?)?;
    std::fs::rename(&new, path)
}
