//! Images that this agent pulled and nobody has used for long go again, so many at a time. Nothing else does: people's own images are
//! on the engine, and those of other agents.

use std::time::Duration;

use super::kept::Name;
use super::{Images, Source};
use crate::clock;
use crate::config::PullBehavior;
use crate::runtime::Failure;

/// How often the disk is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// On a full disk an image goes that was not used for so long: a task that begins has asked for its own by then.
const LEAST_AGE: Duration = Duration::from_secs(300);

impl<S: Source> Images<S> {
    /// Removes unused images as long as it is let.
    pub async fn clean_up(&self) {
        let config = &self.shared.config;
        // What is cached is to stay (ECS developer guide: ECS_IMAGE_PULL_BEHAVIOR).
        if !config.cleanup || config.pull_behavior == PullBehavior::PreferCached {
            return;
        }
        let interval = Duration::from_secs(config.cleanup_interval_seconds.max(1));
        let mut last = clock::now();
        loop {
            tokio::time::sleep(LOOK.min(interval)).await;
            let full = self.disk_is_short().await;
            if !full && last.elapsed() < interval {
                continue;
            }
            last = clock::now();
            let age = Duration::from_secs(config.cleanup_minimum_age_seconds);
            let age = if full { age.min(LEAST_AGE) } else { age };
            if let Err(failure) = self.clean_up_once(age).await {
                tracing::warn!(%failure, "images are not cleaned up");
            }
        }
    }

    async fn disk_is_short(&self) -> bool {
        let least = self.shared.config.cleanup_below_free_percent;
        least > 0 && self.shared.source.free_percent().await.is_some_and(|free| free < least)
    }

    /// Removes at most as many images as one cycle may, of those that were not used for `age`. Gives how many went.
    pub(super) async fn clean_up_once(&self, age: Duration) -> Result<usize, Failure> {
        let shared = &self.shared;
        let used = shared.source.used().await?;
        shared.kept.in_use(&used);
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let mut gone = 0;
        for name in shared.kept.unused_since(clock::wall_millis().saturating_sub(age)) {
            if gone >= shared.config.cleanup_at_most {
                break;
            }
            if used.contains(&name.id) {
                continue;
            }
            gone += usize::from(self.remove(&name).await);
        }
        shared.kept.write().await;
        Ok(gone)
    }

    /// Removes one image under its name. Gives whether the engine had it.
    async fn remove(&self, name: &Name) -> bool {
        let (source, kept) = (&self.shared.source, &self.shared.kept);
        let Ok(local) = source.local(&name.reference).await else { return false };
        let removed = if local.is_some_and(|local| local.id == name.id) {
            source.remove(&name.reference).await
        } else {
            // The name means another image by now. What has another name is that one's.
            match source.local(&name.id).await {
                Ok(Some(image)) if !image.is_tagged => source.remove(&name.id).await,
                Ok(_) => {
                    kept.remove(name);
                    return false;
                }
                Err(failure) => Err(failure),
            }
        };
        match removed {
            Ok(()) => {
                tracing::info!(image = name.reference, id = name.id, "an image that nobody used is removed");
                metrics::counter!("trireme_images_removed_total").increment(1);
                self.lock().remove(&name.reference);
                kept.remove(name);
                true
            }
            Err(failure) => {
                tracing::info!(image = name.reference, %failure, "an image stays");
                false
            }
        }
    }
}
