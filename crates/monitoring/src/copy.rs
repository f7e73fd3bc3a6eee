//! From the node that takes samples to the others. It waits for them, but no longer than a moment, and for the leader a little longer. Who
//! cannot be reached lacks them, and is told so later.
//!
//! What is put has succeeded when the leader has it, for alarms and policies are evaluated there; while nobody is known to lead, when a majority
//! has it, among which the next leader is most likely to be. Else it has failed, and may be sent again under the same number: who has it
//! already takes it once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use trireme_rpc::control::Metric;
use trireme_state::store::BoxFuture;
use trireme_types::Timestamp;

use crate::sample::Sample;
use crate::table::{Full, MetricTable};
use crate::wire;

/// How long the other nodes are waited for. They are still told after that.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the leader is waited for, which may be far away.
const PATIENCE_WITH_LEADER: Duration = Duration::from_secs(2);

/// The other control nodes, as this one reaches them.
pub trait Others: Send + Sync + 'static {
    /// Which there are.
    fn all(&self) -> Vec<Other>;

    /// Whether this node leads.
    fn leads_itself(&self) -> bool;

    /// Sends a batch to one. The error says why it does not have it. Who is not waited for is told all the same; who cannot be is told that it
    /// lacks something as soon as it can.
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
    /// The leader, or a majority while nobody leads, is not known to have them.
    #[error("the leader, or most of the control nodes while there is none, could not be told in time")]
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
    let leader = all.iter().find(|other| other.leads);
    let began = tokio::time::Instant::now();
    loop {
        let waits = leader.is_some_and(|leader| !told.contains(leader));
        let patience = if waits { PATIENCE_WITH_LEADER } else { PATIENCE };
        match tokio::time::timeout_at(began + patience, sending.next()).await {
            Ok(Some((other, Ok(())))) => told.push(other),
            Ok(Some((other, Err(reason)))) => {
                tracing::debug!(node = other.id, %reason, "metrics were not copied");
                // Nobody waits longer for a leader that cannot be told.
                if other.leads {
                    break;
                }
            }
            Ok(None) | Err(_) => break,
        }
    }
    count("ok", told.len());
    count("not_in_time", all.len().saturating_sub(told.len()));
    kept?;
    let voters = all.iter().filter(|other| other.votes).count() + 1;
    let majority = (told.iter().filter(|other| other.votes).count() + 1) * 2 > voters;
    let enough = match leader {
        Some(leader) => told.contains(leader),
        None => majority || others.leads_itself(),
    };
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

    /// Nodes 2 and 3, of which one may lead, and how long each takes.
    struct Pair {
        reachable: Vec<(u64, Duration)>,
        leader: Option<u64>,
    }

    impl Others for Pair {
        fn all(&self) -> Vec<Other> {
            [2, 3].map(|id| Other { id, leads: self.leader == Some(id), votes: true }).to_vec()
        }

        fn leads_itself(&self) -> bool {
            false
        }

        fn send(&self, to: u64, _: u128, _: Vec<Metric>) -> BoxFuture<'_, Result<(), String>> {
            let takes = self.reachable.iter().find(|(id, _)| *id == to).map(|(_, takes)| *takes);
            Box::pin(async move {
                match takes {
                    Some(takes) => {
                        tokio::time::timeout(takes, std::future::pending::<()>()).await.unwrap_err()
                    }
                    None => std::future::pending().await,
                };
                Ok(())
            })
        }
    }

    /// What comes of it, and how long it takes.
    async fn told(leader: Option<u64>, reachable: &[(u64, u64)]) -> (Result<(), PutError>, u128) {
        let reachable = reachable.iter().map(|(id, millis)| (*id, Duration::from_millis(*millis))).collect();
        let (others, began) = (Pair { reachable, leader }, tokio::time::Instant::now());
        let put = put(&MetricTable::default(), &others, (Timestamp::from_millis(1_000), 7), &[]).await;
        (put, began.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_has_to_have_it_or_a_majority_while_there_is_none_and_nobody_is_waited_for_longer() {
        let untold = Err(PutError::Untold);
        assert_eq!(told(Some(2), &[(2, 10), (3, 20)]).await, (Ok(()), 20));
        assert_eq!(told(Some(2), &[(2, 10)]).await, (Ok(()), 500), "the other one is told later");
        assert_eq!(told(Some(2), &[(2, 700), (3, 10)]).await, (Ok(()), 700), "the leader is far away");
        assert_eq!(told(Some(2), &[(3, 10)]).await, (untold.clone(), 2_000), "who evaluates lacks it");
        assert_eq!(told(None, &[(3, 10)]).await, (Ok(()), 500), "two of three");
        assert_eq!(told(None, &[]).await, (untold, 500));
    }

    #[tokio::test]
    async fn a_node_alone_is_enough() {
        let table = MetricTable::default();
        assert_eq!(put(&table, &Alone, (Timestamp::from_millis(1_000), 7), &[]).await, Ok(()));
    }
}
