//! Images: ECS's "default" pull behaviour (try to pull; when that fails, use the local image), shared and remembered so that
//! not each task pays for it.
//!
//! - Pulls of one reference at the same time are one pull. Its result is used for a minute.
//! - When the pull failed and the local image was used, the next try after that minute runs in the background: a registry that
//!   cannot be reached delays nobody twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::clock::{self, Instant};
use crate::runtime::{BoxFuture, Failure, Image};

/// How long a result is used.
const KEPT: Duration = Duration::from_secs(60);
/// How long it is remembered that an image is nowhere.
const NOWHERE_KEPT: Duration = Duration::from_secs(5);
/// References that are remembered.
const MOST_ENTRIES: usize = 1_000;
/// A pull without progress for so long has failed, when a local image is there.
const IDLE_WITH_LOCAL: Duration = Duration::from_secs(5);
/// The same when there is none.
const IDLE_WITHOUT_LOCAL: Duration = Duration::from_secs(60);

/// Where images come from.
pub trait Source: Send + Sync + 'static {
    /// The local image, if there is one.
    fn local<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Image>, Failure>>;

    /// Pulls from the registry; gives up after `idle` without progress.
    fn pull<'a>(&'a self, reference: &'a str, idle: Duration) -> BoxFuture<'a, Result<(), Failure>>;
}

#[derive(Clone)]
enum Outcome {
    Pulled(Image),
    /// The pull failed, the local image is used.
    Local(Image),
    Nowhere(Failure),
}

struct Entry {
    begun: Instant,
    cell: Arc<OnceCell<Outcome>>,
    /// May be used while the cell is empty.
    stale: Option<Image>,
}

/// Images of one engine.
pub struct Images<S> {
    source: Arc<S>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

enum Found {
    Ready(Image),
    Refresh(Image, Arc<OnceCell<Outcome>>),
    Wait(Arc<OnceCell<Outcome>>),
}

impl<S: Source> Images<S> {
    /// Images from `source`.
    pub fn new(source: Arc<S>) -> Self {
        Self { source, entries: Mutex::default() }
    }

    /// Sees to it that the image is there.
    pub async fn get(&self, reference: &str) -> Result<Image, Failure> {
        let cell = match self.find(reference) {
            Found::Ready(image) => return Ok(image),
            Found::Refresh(image, cell) => {
                let (source, reference) = (Arc::clone(&self.source), reference.to_owned());
                tokio::spawn(async move {
                    cell.get_or_init(|| fetch(&*source, &reference)).await;
                });
                return Ok(image);
            }
            Found::Wait(cell) => cell,
        };
        match cell.get_or_init(|| fetch(&*self.source, reference)).await.clone() {
            Outcome::Pulled(image) | Outcome::Local(image) => Ok(image),
            Outcome::Nowhere(failure) => Err(failure),
        }
    }

    /// The engine says that it does not have the image after all.
    pub fn forget(&self, reference: &str) {
        self.lock().remove(reference);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, reference: &str) -> Found {
        let now = clock::now();
        let mut entries = self.lock();
        let mut stale = None;
        if let Some(entry) = entries.get(reference) {
            let age = now.saturating_duration_since(entry.begun);
            match (entry.cell.get(), &entry.stale) {
                (None, Some(image)) => return Found::Ready(image.clone()),
                (None, None) => return Found::Wait(Arc::clone(&entry.cell)),
                (Some(Outcome::Nowhere(_)), _) if age < NOWHERE_KEPT => {
                    return Found::Wait(Arc::clone(&entry.cell));
                }
                (Some(Outcome::Pulled(image) | Outcome::Local(image)), _) if age < KEPT => {
                    return Found::Ready(image.clone());
                }
                (Some(Outcome::Local(image)), _) => stale = Some(image.clone()),
                (Some(_), _) => {}
            }
        }
        if entries.len() >= MOST_ENTRIES {
            entries.retain(|_, entry| now.saturating_duration_since(entry.begun) < KEPT);
        }
        let cell = Arc::new(OnceCell::new());
        let entry = Entry { begun: now, cell: Arc::clone(&cell), stale: stale.clone() };
        entries.insert(reference.to_owned(), entry);
        match stale {
            Some(image) => Found::Refresh(image, cell),
            None => Found::Wait(cell),
        }
    }
}

async fn fetch<S: Source>(source: &S, reference: &str) -> Outcome {
    let local = source.local(reference).await.unwrap_or_default();
    let idle = if local.is_some() { IDLE_WITH_LOCAL } else { IDLE_WITHOUT_LOCAL };
    let pulled = source.pull(reference, idle).await;
    if pulled.is_ok()
        && let Ok(Some(image)) = source.local(reference).await
    {
        return Outcome::Pulled(image);
    }
    let failure = pulled.err().unwrap_or_else(|| {
        Failure::new(
            crate::runtime::FailureKind::CannotPull,
            format!("{reference} was pulled and is not there"),
        )
    });
    match local {
        Some(image) => {
            tracing::info!(reference, %failure, "the local image is used");
            Outcome::Local(image)
        }
        None => Outcome::Nowhere(failure),
    }
}

#[cfg(test)]
#[path = "image/tests.rs"]
mod tests;
