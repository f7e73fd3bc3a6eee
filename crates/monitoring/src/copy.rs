//! From the node that takes samples to the others. It waits for them, but no longer than a moment: who cannot be reached is skipped, and
//! lacks them.
//!
//! What is put has succeeded when the leader has it, for alarms and policies are evaluated there, or when a majority has it, among which the
//! next leader is most likely to be. Else it has failed, and may be sent again under the same number: who has it already takes it once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use trireme_rpc::control::Metric;
use trireme_state::store::BoxFuture;
use trireme_types::Timestamp;

use crate::sample::Sample;
use crate::table::{Full, MetricTable};
use crate::wire;

/// How long the other nodes are waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// The other control nodes, as this one reaches them.
pub trait Others: Send + Sync + 'static {
    /// Which there are.
    fn all(&self) -> Vec<Other>;

    /// Whether this node leads.
    fn leads_itself(&self) -> bool;

    /// Sends a batch to one. The error says why it does not have it.
    fn send(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> BoxFuture<'_, Result<(), String>>;
}

/// Another control node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Its number.
    pub id: u64,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it has a vote.
    pub votes: bool,
}

/// No others: this node is the only one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Others for Alone {
    fn all(&self) -> Vec<Other> {
        Vec::new()
    }

    fn leads_itself(&self) -> bool {
        true
    }

    fn send(&self, _: u64, _: u128, _: Vec<Metric>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Err("there is no other node".to_owned()) })
    }
}

/// Why samples were not put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Some were left out: there are too many metrics.
    #[error(transparent)]
    Full(#[from] Full),
    /// Neither the leader nor a majority is known to have them.
    #[error("neither the leader nor most of the control nodes could be told in time")]
    Untold,
}

/// Puts samples into this node's table and into the others'.
///
/// # Errors
/// See [`PutError`]. What was kept stays kept.
pub async fn put(
    table: &MetricTable,
    others: &dyn Others,
    (now, batch): (Timestamp, u128),
    samples: &[Sample],
) -> Result<(), PutError> {
    let kept = table.put(now, batch, samples);
    let all = others.all();
    let metrics = if all.is_empty() { Vec::new() } else { wire::samples_to_wire(samples) };
    let mut sending: FuturesUnordered<_> = all
        .iter()
        .map(|other| {
            let sent = others.send(other.id, batch, metrics.clone());
            async move { (*other, sent.await) }
        })
        .collect();
    let mut told = Vec::new();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some((other, result))) = tokio::time::timeout_at(deadline, sending.next()).await {
        match result {
            Ok(()) => told.push(other),
            Err(reason) => tracing::debug!(node = other.id, %reason, "metrics were not copied"),
        }
    }
    let missed = all.len().saturating_sub(told.len());
    count("ok", told.len());
    count("error", missed);
    kept?;
    let voters = all.iter().filter(|other| other.votes).count() + 1;
    let majority = (told.iter().filter(|other| other.votes).count() + 1) * 2 > voters;
    let enough = majority || others.leads_itself() || told.iter().any(|other| other.leads);
    if enough { Ok(()) } else { Err(PutError::Untold) }
}

fn count(result: &'static str, batches: usize) {
    if batches > 0 {
        metrics::counter!("trireme_metric_copies_total", "result" => result).increment(batches as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes 2 and 3; the first of them leads.
    struct Pair {
        reachable: Vec<u64>,
    }

    impl Others for Pair {
        fn all(&self) -> Vec<Other> {
            [2, 3].map(|id| Other { id, leads: id == 2, votes: true }).to_vec()
        }

        fn leads_itself(&self) -> bool {
            false
        }

        fn send(&self, to: u64, _: u128, _: Vec<Metric>) -> BoxFuture<'_, Result<(), String>> {
            let answers = self.reachable.contains(&to);
            Box::pin(async move {
                if !answers {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        }
    }

    async fn told(reachable: &[u64]) -> Result<(), PutError> {
        let others = Pair { reachable: reachable.to_vec() };
        put(&MetricTable::default(), &others, (Timestamp::from_millis(1_000), 7), &[]).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_or_a_majority_is_enough_and_nobody_is_waited_for_longer() {
        let began = tokio::time::Instant::now();
        assert_eq!(told(&[2, 3]).await, Ok(()));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(told(&[3]).await, Ok(()), "two of three");
        assert_eq!(told(&[]).await, Err(PutError::Untold));
        assert!(began.elapsed() <= PATIENCE * 2 + Duration::from_millis(10));
    }

    #[tokio::test]
    async fn a_node_alone_is_enough() {
        let table = MetricTable::default();
        assert_eq!(put(&table, &Alone, (Timestamp::from_millis(1_000), 7), &[]).await, Ok(()));
    }
}
