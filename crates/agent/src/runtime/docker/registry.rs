//! Docker's images, local and by registry.

use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::ImageInspect;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, RemoveImageOptions,
};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::QUICK;
use super::call::{Outcome, call, failed};
use super::credentials::Credentials;
use super::progress::Progress;
use super::spec::with_tag;
use crate::image::{Local, Patience, PullFailure, Source};
use crate::runtime::{BoxFuture, Failure, FailureKind};

/// An image with large layers takes its time to go.
const REMOVE: Duration = Duration::from_secs(300);
/// What Docker and registries say of what will be no other the next time, in small letters.
const FINAL: [&str; 10] = [
    "not found",
    "manifest unknown",
    "name unknown",
    "does not exist",
    "unauthorized",
    "denied",
    "no basic auth credentials",
    "no matching manifest",
    "invalid reference format",
    "authentication required",
];

/// Docker's images.
pub(super) struct Registry {
    docker: Docker,
    pulls: Semaphore,
    credentials: Credentials,
}

impl Registry {
    pub(super) fn new(docker: Docker, pulls_at_once: usize, credentials: Credentials) -> Self {
        describe_metrics();
        Self { docker, pulls: Semaphore::new(pulls_at_once.max(1)), credentials }
    }

    async fn pull_now(&self, full: &str, patience: Patience) -> Result<Option<String>, PullFailure> {
        let cannot = |message: String, may_pass| PullFailure {
            failure: Failure::new(FailureKind::CannotPull, message),
            may_pass,
        };
        let credentials = self.credentials.of(full).await.map_err(|reason| cannot(reason, true))?;
        let options = CreateImageOptionsBuilder::default().from_image(full).build();
        let mut said = Box::pin(self.docker.create_image(Some(options), None, credentials));
        let mut progress = Progress::begin(full);
        let all = async {
            let mut idle = patience.first_word;
            loop {
                match tokio::time::timeout(idle, said.next()).await {
                    Ok(Some(Ok(info))) => progress.heard(&info),
                    Ok(Some(Err(error))) => return Err(refused(full, error)),
                    Ok(None) => return Ok(()),
                    Err(_) => {
                        return Err(cannot(format!("{full}: no progress within {} s", idle.as_secs()), true));
                    }
                }
                idle = patience.idle;
            }
        };
        // Dropping the answer has Docker give the pull up, unless somebody else waits for it.
        let outcome = tokio::time::timeout(patience.limit, all).await;
        let outcome = outcome.unwrap_or_else(|_| {
            Err(cannot(format!("{full}: not pulled within {} s", patience.limit.as_secs()), false))
        });
        progress.end(outcome.is_ok());
        outcome.map(|()| progress.digest())
    }
}

impl Source for Registry {
    fn local<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<Option<Local>, Failure>> {
        Box::pin(async move {
            match call("image", QUICK, self.docker.inspect_image(reference)).await {
                Ok(image) => Ok(Some(local(reference, &image))),
                Err(outcome) if outcome.is_not_found() => Ok(None),
                Err(outcome) => Err(failed(FailureKind::CannotPull, outcome)),
            }
        })
    }

    fn pull<'a>(
        &'a self,
        reference: &'a str,
        patience: Patience,
    ) -> BoxFuture<'a, Result<Option<String>, PullFailure>> {
        Box::pin(async move {
            // Never closed, so that it cannot fail.
            let _permit = self.pulls.acquire().await;
            self.pull_now(&with_tag(reference), patience).await
        })
    }

    fn used(&self) -> BoxFuture<'_, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let options = ListContainersOptionsBuilder::default().all(true).build();
            let all = call("list", QUICK, self.docker.list_containers(Some(options))).await;
            let all = all.map_err(|outcome| failed(FailureKind::CannotInspect, outcome))?;
            Ok(all.into_iter().filter_map(|container| container.image_id).collect())
        })
    }

    fn remove<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            // Without force Docker refuses what a container is made from.
            let options = None::<RemoveImageOptions>;
            let name = by_digest(reference);
            let removed = call("remove image", REMOVE, self.docker.remove_image(&name, options, None)).await;
            match removed {
                Ok(_) => Ok(()),
                Err(outcome) if outcome.is_not_found() => Ok(()),
                Err(outcome) => Err(failed(FailureKind::CannotRemove, outcome)),
            }
        })
    }

    fn free_percent(&self) -> BoxFuture<'_, Option<u32>> {
        Box::pin(async move {
            let info = call("info", QUICK, self.docker.info()).await.ok()?;
            let root = info.docker_root_dir?;
            tokio::task::spawn_blocking(move || free_percent(&root)).await.ok()?
        })
    }
}

/// `None` when the engine is on another machine: then its folder is not here.
fn free_percent(folder: &str) -> Option<u32> {
    let disk = nix::sys::statvfs::statvfs(folder).ok()?;
    let percent = disk.blocks_available().checked_mul(100)?.checked_div(disk.blocks())?;
    u32::try_from(percent).ok()
}

/// Why Docker did not pull.
fn refused(full: &str, error: DockerError) -> PullFailure {
    let outcome = super::call::outcome(error);
    let status = if let Outcome::Refused { status, .. } = &outcome { *status } else { 0 };
    let mut failure = failed(FailureKind::CannotPull, outcome);
    if failure.kind == FailureKind::Unreachable && !failure.message.contains("Docker stream error") {
        return PullFailure { failure, may_pass: false };
    }
    failure.kind = FailureKind::CannotPull;
    let message = failure.message.trim_start_matches("Docker stream error: ").to_owned();
    let small = message.to_lowercase();
    let may_pass =
        !matches!(status, 400 | 401 | 403 | 404) && !FINAL.iter().any(|words| small.contains(words));
    // Docker's reasons do not always say of what.
    failure.message = if message.contains(full) { message } else { format!("{full}: {message}") };
    PullFailure { failure, may_pass }
}

fn local(reference: &str, image: &ImageInspect) -> Local {
    let repository = repository(reference);
    let digests = image.repo_digests.iter().flatten().filter_map(|digest| digest.split_once('@'));
    let ours = digests.filter(|(of, _)| *of == repository);
    Local {
        id: image.id.clone().unwrap_or_default(),
        manifests: ours.map(|(_, digest)| digest.to_owned()).collect(),
        is_tagged: image.repo_tags.as_ref().is_some_and(|tags| !tags.is_empty()),
    }
}

/// A reference without tag and digest, as Docker shows it.
fn repository(reference: &str) -> &str {
    let name = reference.split_once('@').map_or(reference, |(name, _)| name);
    let tag = name.rfind(':').filter(|colon| !name[*colon..].contains('/'));
    let name = tag.map_or(name, |colon| &name[..colon]);
    name.strip_prefix("library/").unwrap_or(name)
}

/// Docker removes by tag or by digest: with a digest the tag does not count.
fn by_digest(reference: &str) -> String {
    match reference.split_once('@') {
        Some((_, digest)) => format!("{}@{digest}", repository(reference)),
        None => reference.to_owned(),
    }
}

fn describe_metrics() {
    metrics::describe_counter!("trireme_image_pulls_total", "Image pulls that were tried, by result");
    metrics::describe_gauge!("trireme_image_pulls_running", "Image pulls under way");
    metrics::describe_counter!(
        "trireme_image_pull_bytes_total",
        metrics::Unit::Bytes,
        "Bytes of layers that were pulled"
    );
    metrics::describe_histogram!(
        "trireme_image_pull_seconds",
        metrics::Unit::Seconds,
        "Time that image pulls took, by result"
    );
    metrics::describe_counter!(
        "trireme_images_removed_total",
        "Images that were removed as nobody used them"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_what_is_left_of_a_reference() {
        for (reference, left) in [
            ("busybox", "busybox"),
            ("library/busybox:1", "busybox"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
            ("localhost:5000/a/b:1@sha256:00", "localhost:5000/a/b"),
            ("a/b@sha256:00", "a/b"),
        ] {
            assert_eq!(repository(reference), left);
        }
        assert_eq!(by_digest("a/b:1@sha256:00"), "a/b@sha256:00");
        assert_eq!(by_digest("a/b:1"), "a/b:1");
    }

    #[test]
    fn of_several_repositories_the_digest_is_the_own_ones() {
        let image = ImageInspect {
            id: Some("sha256:1".to_owned()),
            repo_digests: Some(vec!["a/b@sha256:2".to_owned(), "c:5/d@sha256:3".to_owned()]),
            ..ImageInspect::default()
        };
        assert_eq!(local("c:5/d:7", &image).manifests, ["sha256:3"]);
        let other = local("e:7", &image);
        assert!(other.manifests.is_empty());
    }
}
