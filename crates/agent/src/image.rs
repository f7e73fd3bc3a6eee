//! Images: got as their operator wants it, each by one pull at a time, and remembered so that not each task pays for it.
//!
//! - What is asked for by a digest, as services' tasks do once their deployment has its pins, is used without asking anybody when it is
//!   there. Only `always` asks.
//! - Under `default` a tag is asked for at its registry, for it may have moved; the answer holds for a minute, but not for the first
//!   task of a deployment, which speaks for all. When the registry gives none, the local image is used, and the next try runs in the background: a registry that cannot be reached delays nobody twice.
//! - An image that is here, and came from no registry by that name, was built or loaded here: under `default` nobody is asked for it.
//! - A failure that may pass is tried again, with pauses; one that will not is told at once.
//!
//! Reading order: [`Images`] · `kept` (what this agent pulled) · `cleanup` (how that goes again).

mod cleanup;
mod kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use trireme_types::ContentDigest;

use crate::clock::{self, Instant};
use crate::config::{ImageConfig, PullBehavior};
use crate::runtime::{BoxFuture, Failure, FailureKind, Image, ImageName, Pin};
use kept::Kept;

/// How long a result is used.
const KEPT: Duration = Duration::from_secs(60);
/// A pull that began so long ago may have seen a tag that has moved since.
const ANEW: Duration = Duration::from_secs(1);
/// How long it is remembered that an image is nowhere.
const NOWHERE_KEPT: Duration = Duration::from_secs(5);
/// References that are remembered.
const MOST_ENTRIES: usize = 1_000;
/// A registry that says nothing for so long has failed, when a local image is there.
const FIRST_WORD_WITH_LOCAL: Duration = Duration::from_secs(5);
/// How often a pull that fails is tried, and the pauses between (as ECS's agent does).
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(1_100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An image of the engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// Its id.
    pub id: String,
    /// The digests by which its repository of that name knows it.
    pub manifests: Vec<String>,
    /// Whether it has a tag.
    pub is_tagged: bool,
}

/// How long a pull may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the registry says anything.
    pub first_word: Duration,
    /// Without progress, after that.
    pub idle: Duration,
    /// In all.
    pub limit: Duration,
}

/// Why a pull failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFailure {
    /// What to tell.
    pub failure: Failure,
    /// Another try may do better.
    pub may_pass: bool,
}

/// Where images come from, and where they are.
pub trait Source: Send + Sync + 'static {
    /// The local image, if there is one.
    fn local<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Local>, Failure>>;

    /// Pulls from the registry. Gives the digest of what it pulled, if it was told.
    fn pull<'a>(
        &'a self,
        reference: &'a str,
        patience: Patience,
    ) -> BoxFuture<'a, Result<Option<String>, PullFailure>>;

    /// The ids of images that any container is made from, running or not.
    fn used(&self) -> BoxFuture<'_, Result<Vec<String>, Failure>>;

    /// Removes a name, and the image with its last one. Refused while a container is made from it.
    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// How much of the disk that holds the images is free, in percent; `None` when that cannot be told.
    fn free_percent(&self) -> BoxFuture<'_, Option<u32>>;
}

#[derive(Clone)]
enum Outcome {
    /// It is the right one.
    Sure(Image),
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

/// Images of one engine, as one agent has them.
pub struct Images<S> {
    shared: Arc<Shared<S>>,
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// What a pull needs that goes on in the background.
struct Shared<S> {
    source: S,
    config: ImageConfig,
    kept: Kept,
}

enum Found {
    Ready(Image),
    Refresh(Image, Arc<OnceCell<Outcome>>),
    Wait(Arc<OnceCell<Outcome>>),
}

impl<S: Source> Images<S> {
    /// Images from `source`. What was pulled is remembered in `folder`.
    pub fn new(source: S, config: ImageConfig, folder: Option<&std::path::Path>) -> Self {
        let shared = Shared { source, config, kept: Kept::open(folder) };
        Self { shared: Arc::new(shared), entries: Mutex::default() }
    }

    /// Sees to it that the image is there.
    pub async fn get(&self, image: &ImageName) -> Result<Image, Failure> {
        let reference = image.exact();
        self.shared.kept.used(&reference);
        if image.anew
            && let Some(earlier) = self.earlier(&reference)
        {
            // One pull at a time: this one's own comes after.
            earlier.get_or_init(|| self.shared.fetch(image)).await;
        }
        let cell = match self.find(&reference, image.anew) {
            Found::Ready(image) => return Ok(image),
            Found::Refresh(found, cell) => {
                let (shared, image) = (Arc::clone(&self.shared), image.clone());
                tokio::spawn(async move {
                    cell.get_or_init(|| shared.fetch(&image)).await;
                });
                return Ok(found);
            }
            Found::Wait(cell) => cell,
        };
        match cell.get_or_init(|| self.shared.fetch(image)).await.clone() {
            Outcome::Sure(image) | Outcome::Local(image) => Ok(image),
            Outcome::Nowhere(failure) => Err(failure),
        }
    }

    /// The engine says that it does not have the image after all.
    pub fn forget(&self, image: &ImageName) {
        self.lock().remove(&image.exact());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pull under way that began too long ago to speak for a new deployment.
    fn earlier(&self, reference: &str) -> Option<Arc<OnceCell<Outcome>>> {
        let entries = self.lock();
        let entry = entries.get(reference).filter(|entry| entry.cell.get().is_none())?;
        (clock::now().saturating_duration_since(entry.begun) > ANEW).then(|| Arc::clone(&entry.cell))
    }

    fn find(&self, reference: &str, anew: bool) -> Found {
        let now = clock::now();
        // What is always asked for is asked for again as soon as it is here; but not twice at the same time.
        let always = self.shared.config.pull_behavior == PullBehavior::Always;
        let kept = if always || anew { Duration::ZERO } else { KEPT };
        let mut entries = self.lock();
        let mut stale = None;
        if let Some(entry) = entries.get(reference) {
            let age = now.saturating_duration_since(entry.begun);
            match (entry.cell.get(), &entry.stale) {
                (None, Some(image)) if !anew => return Found::Ready(image.clone()),
                (None, _) => return Found::Wait(Arc::clone(&entry.cell)),
                (Some(Outcome::Nowhere(_)), _) if age < NOWHERE_KEPT => {
                    return Found::Wait(Arc::clone(&entry.cell));
                }
                (Some(Outcome::Sure(image) | Outcome::Local(image)), _) if age < kept => {
                    return Found::Ready(image.clone());
                }
                (Some(Outcome::Local(image)), _) if !anew => stale = Some(image.clone()),
                (Some(_), _) => {}
            }
        }
        if entries.len() >= MOST_ENTRIES {
            let old = |entry: &Entry| now.saturating_duration_since(entry.begun) >= KEPT;
            entries.retain(|_, entry| entry.cell.get().is_none() || !old(entry));
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

impl<S: Source> Shared<S> {
    async fn fetch(&self, image: &ImageName) -> Outcome {
        let reference = image.exact();
        let local = match self.source.local(&reference).await {
            Ok(local) => local,
            Err(failure) => return Outcome::Nowhere(failure),
        };
        if let Some(Pin::Id(id)) = &image.pin {
            return match local {
                Some(_) => Outcome::Sure(Image::of(Pin::Id(id.clone()))),
                None => Outcome::Nowhere(elsewhere(image)),
            };
        }
        if let Some(local) = local.as_ref().filter(|local| !self.asks(&reference, local)) {
            return Outcome::Sure(as_asked(image, local, None));
        }
        match self.pull(&reference, local.as_ref()).await {
            Ok((pulled, digest)) => Outcome::Sure(as_asked(image, &pulled, digest)),
            Err(failure) => match local.filter(|_| self.config.pull_behavior.may_use_local()) {
                Some(local) => {
                    tracing::info!(reference, %failure, "the local image is used");
                    Outcome::Local(as_asked(image, &local, None))
                }
                None => Outcome::Nowhere(failure),
            },
        }
    }

    /// Whether a registry is asked for an image that is here.
    fn asks(&self, reference: &str, local: &Local) -> bool {
        match self.config.pull_behavior {
            PullBehavior::Default => !reference.contains('@') && !local.manifests.is_empty(),
            PullBehavior::Always => true,
            PullBehavior::Once => !reference.contains('@') && !self.kept.has(reference),
            PullBehavior::PreferCached => false,
        }
    }

    async fn pull(
        &self,
        reference: &str,
        before: Option<&Local>,
    ) -> Result<(Local, Option<String>), Failure> {
        let fallback = before.is_some() && self.config.pull_behavior.may_use_local();
        let idle = Duration::from_secs(self.config.pull_inactivity_seconds);
        let patience = Patience {
            first_word: if fallback { idle.min(FIRST_WORD_WITH_LOCAL) } else { idle },
            idle,
            limit: Duration::from_secs(self.config.pull_limit_seconds),
        };
        let attempts = if fallback { 1 } else { ATTEMPTS };
        let digest = self.try_to_pull(reference, patience, attempts).await?;
        // The tag may have moved on already: another agent of this engine pulls too.
        let pulled = match &digest {
            Some(digest) => self.source.local(&at_digest(reference, digest)).await?,
            None => self.source.local(reference).await?,
        };
        let pulled = pulled.ok_or_else(|| {
            Failure::new(FailureKind::CannotPull, format!("{reference} was pulled and is not there"))
        })?;
        // What was here before is somebody else's.
        if before.is_none_or(|before| before.id != pulled.id) {
            self.kept.pulled(reference, &pulled.id).await;
        } else {
            self.kept.confirmed(reference);
        }
        Ok((pulled, digest))
    }

    async fn try_to_pull(
        &self,
        reference: &str,
        patience: Patience,
        attempts: u32,
    ) -> Result<Option<String>, Failure> {
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        loop {
            tried += 1;
            let PullFailure { failure, may_pass } = match self.source.pull(reference, patience).await {
                Ok(digest) => return Ok(digest),
                Err(failed) => failed,
            };
            if !may_pass || tried >= attempts {
                return Err(failure);
            }
            tracing::warn!(reference, %failure, tried, "a pull failed; trying again");
            tokio::time::sleep(pause.mul_f64(rand::random_range(1.0..1.2))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// `name:tag@digest` of a name with or without a digest of its own.
fn at_digest(reference: &str, digest: &str) -> String {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    format!("{name}@{digest}")
}

/// A local image as the answer to what was asked for.
fn as_asked(image: &ImageName, local: &Local, pulled: Option<String>) -> Image {
    if let Some(pin) = &image.pin {
        return Image::of(pin.clone());
    }
    let given = image.name.split_once('@').map(|(_, digest)| digest.to_owned());
    let manifest = given.or(pulled).or_else(|| local.manifests.first().cloned());
    let found = Image::of(manifest.map_or_else(|| Pin::Id(local.id.clone()), Pin::Manifest));
    // A digest of another kind is run all the same, but nobody can be told of it.
    let can_be_told = found.digest.parse::<ContentDigest>().is_ok();
    Image { pin: found.pin.filter(|_| can_be_told), ..found }
}

fn elsewhere(image: &ImageName) -> Failure {
    let text = format!(
        "the service's tasks run {image}, which came from no registry and is not on this container instance; push it to a \
         registry, or load it here too"
    );
    Failure::new(FailureKind::CannotPull, text)
}

#[cfg(test)]
#[path = "image/tests.rs"]
mod tests;
