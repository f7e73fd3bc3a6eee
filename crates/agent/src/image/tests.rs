use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::runtime::FailureKind;

/// A registry that cannot be reached, and an engine that may have the image.
#[derive(Default)]
struct Offline {
    local: bool,
    pulls: AtomicUsize,
}

impl Source for Offline {
    fn local<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Image>, Failure>> {
        Box::pin(async { Ok(self.local.then(|| Image { digest: "sha256:1".to_owned() })) })
    }

    fn pull<'a>(&'a self, _: &'a str, _: Duration) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async {
            self.pulls.fetch_add(1, Ordering::SeqCst);
            let _ = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
            Err(Failure::new(FailureKind::CannotPull, "no such host"))
        })
    }
}

fn images(local: bool) -> Arc<Images<Offline>> {
    Arc::new(Images::new(Arc::new(Offline { local, ..Offline::default() })))
}

fn pulls(images: &Images<Offline>) -> usize {
    images.source.pulls.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn a_pull_is_shared_and_its_failure_gives_the_local_image() {
    let images = images(true);
    let (one, two) = tokio::join!(images.get("busybox:1"), images.get("busybox:1"));
    assert_eq!(one.unwrap().digest, "sha256:1");
    assert!(two.is_ok());
    assert_eq!(pulls(&images), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_registry_delays_nobody_twice() {
    let images = images(true);
    images.get("busybox:1").await.unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    let before = clock::now();
    images.get("busybox:1").await.unwrap();
    images.get("busybox:1").await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    tokio::time::advance(Duration::from_secs(2)).await;
    images.get("busybox:1").await.unwrap();
    assert_eq!(pulls(&images), 2, "and it was tried again meanwhile");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_nowhere_is_an_error_that_passes() {
    let images = images(false);
    let failure = images.get("nowhere:1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::CannotPull);
    images.get("nowhere:1").await.unwrap_err();
    assert_eq!(pulls(&images), 1, "the failure is remembered");
    tokio::time::advance(Duration::from_secs(6)).await;
    images.get("nowhere:1").await.unwrap_err();
    assert_eq!(pulls(&images), 2, "but not for long");
}
