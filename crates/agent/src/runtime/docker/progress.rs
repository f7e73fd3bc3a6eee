//! How far a pull is: in metrics at once, in the log from time to time.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;

use crate::clock::{self, Instant};

/// How often a pull that goes on is told of.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Layers of which the progress is kept.
const MOST_LAYERS: usize = 1_000;
const RUNNING: &str = "trireme_image_pulls_running";

/// One pull.
pub(super) struct Progress {
    reference: String,
    begun: Instant,
    told: Instant,
    /// Bytes that are here and bytes in all, of each layer.
    layers: BTreeMap<String, (u64, u64)>,
    digest: Option<String>,
    result: &'static str,
}

impl Progress {
    pub(super) fn begin(reference: &str) -> Self {
        metrics::gauge!(RUNNING).increment(1.0);
        let now = clock::now();
        Self {
            reference: reference.to_owned(),
            begun: now,
            told: now,
            layers: BTreeMap::new(),
            digest: None,
            result: "given up",
        }
    }

    /// Docker said how far it is.
    pub(super) fn heard(&mut self, info: &CreateImageInfo) {
        let status = info.status.as_deref().unwrap_or_default();
        if let Some(digest) = status.strip_prefix("Digest: ") {
            self.digest = Some(digest.trim().to_owned());
        }
        if status == "Downloading" {
            self.downloading(info);
        }
        if self.told.elapsed() >= TOLD_EVERY {
            self.told = clock::now();
            let sums = self.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
            tracing::info!(
                image = self.reference,
                bytes = sums.0,
                of = sums.1,
                seconds = self.begun.elapsed().as_secs(),
                status,
                "an image is being pulled"
            );
        }
    }

    fn downloading(&mut self, info: &CreateImageInfo) {
        let (Some(layer), Some(detail)) = (&info.id, &info.progress_detail) else { return };
        let bytes = |number: Option<i64>| number.and_then(|bytes| u64::try_from(bytes).ok());
        let Some(here) = bytes(detail.current) else { return };
        if self.layers.len() >= MOST_LAYERS && !self.layers.contains_key(layer) {
            return;
        }
        let known = self.layers.entry(layer.clone()).or_default();
        metrics::counter!("trireme_image_pull_bytes_total").increment(here.saturating_sub(known.0));
        *known = (here.max(known.0), bytes(detail.total).unwrap_or(known.1));
    }

    /// The digest of what was pulled, once Docker has said it.
    pub(super) fn digest(&mut self) -> Option<String> {
        self.digest.take()
    }

    /// It is over.
    pub(super) fn end(&mut self, succeeded: bool) {
        self.result = if succeeded { "ok" } else { "error" };
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        metrics::gauge!(RUNNING).decrement(1.0);
        metrics::counter!("trireme_image_pulls_total", "result" => self.result).increment(1);
        metrics::histogram!("trireme_image_pull_seconds", "result" => self.result)
            .record(self.begun.elapsed().as_secs_f64());
    }
}
