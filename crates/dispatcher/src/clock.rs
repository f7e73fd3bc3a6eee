//! The dispatcher's clock: monotonic, and paused in tests by tokio.

pub(crate) use tokio::time::Instant;

/// Now.
pub(crate) fn now() -> Instant {
    Instant::now()
}
