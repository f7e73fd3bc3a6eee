//! I7: a service has its desired number of tasks RUNNING again, on machines that live.

use std::time::{Duration, Instant};

use aws_sdk_ecs::Client;
use trireme_testkit::try_wait;

use super::Finding;
use crate::ecs;

/// Waits for it; gives how long it took since `since`.
pub async fn check(
    client: &Client,
    service: &str,
    since: Instant,
    limit: Duration,
) -> (Option<f64>, Finding) {
    let left = limit.saturating_sub(since.elapsed()).max(Duration::from_secs(1));
    match try_wait("the service to be stable", left, || ecs::stable(client, service)).await {
        Ok(()) => {
            let took = since.elapsed().as_secs_f64();
            let text = format!("desired count after {took:.1} s, budget {} s", limit.as_secs());
            (Some(took), Finding::new("I7", true, text))
        }
        Err(text) => (None, Finding::new("I7", false, text)),
    }
}
