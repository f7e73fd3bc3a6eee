use std::collections::BTreeMap;

use super::*;

/// A registry and an engine in memory.
#[derive(Default)]
struct World {
    /// What the registry has, by reference: ids of images. Nothing: it cannot be reached.
    registry: Option<BTreeMap<String, String>>,
    engine: Mutex<BTreeMap<String, Local>>,
    used: Mutex<Vec<String>>,
    pulls: Mutex<Vec<String>>,
    /// A failure that passes is in the way so many times.
    hiccups: Mutex<u32>,
}

impl Source for World {
    fn local<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Local>, Failure>> {
        let engine = self.engine.lock().unwrap();
        let by_id = engine.values().find(|local| local.id == reference);
        let found = engine.get(reference).or(by_id).cloned();
        Box::pin(async { Ok(found) })
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        _: Patience,
    ) -> BoxFuture<'a, Result<Option<String>, PullFailure>> {
        Box::pin(async move {
            self.pulls.lock().unwrap().push(reference.to_owned());
            // A registry takes its time.
            let _ = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
            let failed = |text: &str, may_pass| {
                Err(PullFailure { failure: Failure::new(FailureKind::CannotPull, text), may_pass })
            };
            let mut hiccups = self.hiccups.lock().unwrap();
            if *hiccups > 0 {
                *hiccups -= 1;
                return failed("hiccup", true);
            }
            let Some(registry) = &self.registry else { return failed("no such host", true) };
            let Some(id) = registry.get(reference) else { return failed("manifest unknown", false) };
            self.load(reference, id, true);
            Ok(None)
        })
    }

    fn used(&self) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        Box::pin(async { Ok(self.used.lock().unwrap().clone()) })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        let mut engine = self.engine.lock().unwrap();
        engine.retain(|name, local| name != reference && local.id != reference);
        Box::pin(async { Ok(()) })
    }

    fn free_percent(&self) -> BoxFuture<'_, Option<u32>> {
        Box::pin(async { Some(50) })
    }
}

impl World {
    fn with(registry: &[(&str, &str)]) -> Self {
        let registry = registry.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned()));
        Self { registry: Some(registry.collect()), ..Self::default() }
    }

    /// An image is on the engine; from a registry, or built there.
    fn load(&self, reference: &str, id: &str, has_origin: bool) {
        let manifests = has_origin.then(|| digest_of(id)).into_iter().collect();
        let local = Local { id: id.to_owned(), manifests, is_tagged: true };
        self.engine.lock().unwrap().insert(reference.to_owned(), local);
    }

    fn here(self, reference: &str, id: &str, has_origin: bool) -> Self {
        self.load(reference, id, has_origin);
        self
    }

    fn images(self, pull_behavior: PullBehavior) -> Arc<Images<Self>> {
        Arc::new(Images::new(self, ImageConfig { pull_behavior, ..ImageConfig::default() }, None))
    }
}

/// A digest for each id.
fn digest_of(id: &str) -> String {
    let hex: String = id.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex:0>64}")
}

fn named(name: &str) -> ImageName {
    ImageName { name: name.to_owned(), ..ImageName::default() }
}

fn pulls(images: &Images<World>) -> usize {
    images.shared.source.pulls.lock().unwrap().len()
}

fn names(images: &Images<World>) -> Vec<String> {
    images.shared.source.engine.lock().unwrap().keys().cloned().collect()
}

async fn minute_passes() {
    tokio::time::advance(KEPT + Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_shared_and_its_failure_gives_the_local_image() {
    let images = World::default().here("r/app:1", "id-1", true).images(PullBehavior::Default);
    let name = named("r/app:1");
    let (one, two) = tokio::join!(images.get(&name), images.get(&name));
    assert_eq!(one.unwrap(), Image::of(Pin::Manifest(digest_of("id-1"))));
    assert!(two.is_ok());
    assert_eq!(pulls(&images), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_registry_delays_nobody_twice() {
    let images = World::default().here("r/app:1", "id-1", true).images(PullBehavior::Default);
    let name = named("r/app:1");
    images.get(&name).await.unwrap();
    minute_passes().await;
    let before = clock::now();
    images.get(&name).await.unwrap();
    images.get(&name).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    tokio::time::advance(Duration::from_secs(2)).await;
    images.get(&name).await.unwrap();
    assert_eq!(pulls(&images), 2, "and it was tried again meanwhile");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_nowhere_is_an_error_that_passes() {
    let images = World::with(&[]).images(PullBehavior::Default);
    let name = named("nowhere:1");
    let failure = images.get(&name).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::CannotPull);
    images.get(&name).await.unwrap_err();
    assert_eq!(pulls(&images), 1, "the failure is remembered, and nobody tries what cannot pass");
    tokio::time::advance(Duration::from_secs(6)).await;
    images.get(&name).await.unwrap_err();
    assert_eq!(pulls(&images), 2, "but not for long");
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again() {
    let world = World { hiccups: Mutex::new(3), ..World::with(&[("r/app:1", "id-1")]) };
    let images = world.images(PullBehavior::Default);
    images.get(&named("r/app:1")).await.unwrap();
    assert_eq!(pulls(&images), 4);
    let world = World { hiccups: Mutex::new(30), ..World::with(&[("r/app:1", "id-1")]) };
    let images = world.images(PullBehavior::Default);
    assert_eq!(images.get(&named("r/app:1")).await.unwrap_err().message, "hiccup");
    assert_eq!(pulls(&images), 5, "but not for ever");
}

/// How often the registry is asked for an image that is here, at once and after a minute.
async fn asked(pull_behavior: PullBehavior, name: &ImageName, has_origin: bool) -> (usize, usize) {
    let reference = name.exact();
    let world = World::with(&[(&reference, "id-1")]).here(&reference, "id-1", has_origin);
    let images = world.images(pull_behavior);
    images.get(name).await.unwrap();
    let first = pulls(&images);
    minute_passes().await;
    images.get(name).await.unwrap();
    (first, pulls(&images))
}

#[tokio::test(start_paused = true)]
async fn each_behavior_asks_when_it_should() {
    let tag = named("r/app:1");
    let pin = ImageName { pin: Some(Pin::Manifest("d".to_owned())), ..tag.clone() };
    for (behavior, of_tag, of_built, of_digest) in [
        (PullBehavior::Default, (1, 2), (0, 0), (0, 0)),
        (PullBehavior::Always, (1, 2), (1, 2), (1, 2)),
        (PullBehavior::Once, (1, 1), (1, 1), (0, 0)),
        (PullBehavior::PreferCached, (0, 0), (0, 0), (0, 0)),
    ] {
        assert_eq!(asked(behavior, &tag, true).await, of_tag, "{behavior:?}, a tag");
        assert_eq!(asked(behavior, &tag, false).await, of_built, "{behavior:?}, built here");
        assert_eq!(asked(behavior, &pin, true).await, of_digest, "{behavior:?}, a digest");
    }
}

#[tokio::test(start_paused = true)]
async fn who_speaks_for_a_deployment_asks_anew() {
    let images =
        World::with(&[("r/app:1", "id-1")]).here("r/app:1", "id-1", true).images(PullBehavior::Default);
    let anew = ImageName { anew: true, ..named("r/app:1") };
    images.get(&named("r/app:1")).await.unwrap();
    images.get(&anew).await.unwrap();
    assert_eq!(pulls(&images), 2, "what another task found a while ago will not do");
    let (one, two) = tokio::join!(images.get(&anew), images.get(&anew));
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(pulls(&images), 3, "what is being asked will");
}

#[tokio::test(start_paused = true)]
async fn who_must_pull_does_not_make_do_with_what_is_here() {
    for behavior in [PullBehavior::Always, PullBehavior::Once] {
        let images = World::default().here("r/app:1", "id-1", true).images(behavior);
        assert_eq!(images.get(&named("r/app:1")).await.unwrap_err().message, "no such host", "{behavior:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinned_image_without_origin_is_here_or_nowhere() {
    let pinned = |id: &str| ImageName { pin: Some(Pin::Id(id.to_owned())), ..named("app:1") };
    let images = World::default().here("app:1", "id-1", false).images(PullBehavior::Default);
    assert_eq!(images.get(&pinned("id-1")).await.unwrap(), Image::of(Pin::Id("id-1".to_owned())));
    let failure = images.get(&pinned("id-2")).await.unwrap_err();
    assert!(failure.to_string().starts_with("CannotPullContainerError: "), "{failure}");
    assert!(failure.message.contains("id-2") && failure.message.contains("no registry"), "{failure}");
    assert_eq!(pulls(&images), 0);
}

#[tokio::test(start_paused = true)]
async fn only_what_was_pulled_here_and_is_unused_goes() {
    let world = World::with(&[("r/new:1", "id-new"), ("r/theirs:1", "id-theirs"), ("r/busy:1", "id-busy")])
        .here("r/theirs:1", "id-theirs", true)
        .here("built:1", "id-built", false);
    let images = world.images(PullBehavior::Default);
    for name in ["r/new:1", "r/theirs:1", "r/busy:1", "built:1"] {
        images.get(&named(name)).await.unwrap();
    }
    *images.shared.source.used.lock().unwrap() = vec!["id-busy".to_owned()];
    assert_eq!(images.clean_up_once(Duration::from_secs(3600)).await.unwrap(), 0, "all are young");
    assert_eq!(images.clean_up_once(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(names(&images), ["built:1", "r/busy:1", "r/theirs:1"]);
}

#[tokio::test(start_paused = true)]
async fn so_many_go_at_a_time_and_old_images_of_a_tag_too() {
    let references: Vec<String> = (0..7).map(|number| format!("r/app:{number}")).collect();
    let ids: Vec<String> = (0..7).map(|number| format!("id-{number}")).collect();
    let pairs: Vec<(&str, &str)> = references.iter().zip(&ids).map(|(name, id)| (&**name, &**id)).collect();
    let images = World::with(&pairs).images(PullBehavior::Default);
    for name in &references {
        images.get(&named(name)).await.unwrap();
    }
    assert_eq!(images.clean_up_once(Duration::ZERO).await.unwrap(), 5);
    // The tag has moved: what it meant before has no name any more.
    let name = {
        let mut engine = images.shared.source.engine.lock().unwrap();
        let (name, old) = engine.pop_first().unwrap();
        engine.insert("<none>".to_owned(), Local { is_tagged: false, ..old });
        name
    };
    images.shared.source.load(&name, "id-next", true);
    assert_eq!(images.clean_up_once(Duration::ZERO).await.unwrap(), 2);
    assert_eq!(names(&images), [name], "which nobody here pulled");
}

#[tokio::test(start_paused = true)]
async fn what_was_pulled_is_remembered_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = ImageConfig::default();
    let images =
        Arc::new(Images::new(World::with(&[("r/app:1", "id-1")]), config.clone(), Some(folder.path())));
    images.get(&named("r/app:1")).await.unwrap();
    let world = World::with(&[]).here("r/app:1", "id-1", true);
    let images = Images::new(world, config, Some(folder.path()));
    assert_eq!(images.clean_up_once(Duration::ZERO).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_be_told_is_no_pin() {
    let images = World::default().here("app:1", "id-1", false).images(PullBehavior::Default);
    let found = images.get(&named("app:1")).await.unwrap();
    assert_eq!((found.digest.as_str(), found.pin), ("id-1", None));
}
