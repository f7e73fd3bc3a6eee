//! Pauses that grow while something fails, on the runtime's clock.

use std::time::Duration;

use crate::clock::Deadline;

/// When something that failed may be tried again.
pub(super) struct Backoff {
    least: Duration,
    most: Duration,
    failed: Option<(Duration, Deadline)>,
}

impl Backoff {
    /// The first pause and the longest one.
    pub(super) fn new((least, most): (Duration, Duration)) -> Self {
        Self { least, most, failed: None }
    }

    /// Whether it may be tried now.
    pub(super) fn is_due(&self) -> bool {
        self.failed.is_none_or(|(_, due)| due.left().is_zero())
    }

    /// Notes whether it worked.
    pub(super) fn note(&mut self, worked: bool) {
        let pause = match self.failed {
            _ if worked => return self.failed = None,
            None => self.least,
            Some((pause, _)) => pause.saturating_mul(2).min(self.most),
        };
        self.failed = Some((pause, Deadline::after(pause)));
    }

    /// Returns when what failed may be tried again; never when nothing did.
    pub(super) async fn wait(&self) {
        match self.failed {
            Some((_, due)) => tokio::time::sleep_until(due.at()).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let mut backoff = Backoff::new((Duration::from_secs(100), Duration::from_secs(1_000)));
        assert!(backoff.is_due());
        for pause in [100, 200, 400, 800, 1_000, 1_000] {
            backoff.note(false);
            assert!(!backoff.is_due());
            assert_eq!(backoff.failed.map(|(pause, _)| pause.as_secs()), Some(pause));
        }
        backoff.note(true);
        assert!(backoff.is_due());
        backoff.note(false);
        assert_eq!(backoff.failed.map(|(pause, _)| pause.as_secs()), Some(100));
    }
}
