//! From the node that takes samples to the others. It waits for them, but no longer than a moment: who cannot be reached lacks them, and is
//! told so later.
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

    /// Notes that one may lack a batch, so that it is told.
    fn missed(&self, by: u64);
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

    fn missed(&self, _: u64) {}
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
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Ok(Some((other, result))) = tokio::time::timeout_at(deadline, sending.next()).await {
        match result {
            Ok(()) => told.push(other),
            Err(reason) => tracing::debug!(node = other.id, %reason, "metrics were not copied"),
        }
    }
    let missed = all.iter().filter(|other| !told.contains(other));
    missed.clone().for_each(|other| others.missed(other.id));
    count("ok", told.len());
    count("error", missed.count());
    kept?;
    let voters = all.iter().filter(|other| other.votes).count() + 1;
    let majority = (told.iter().filter(|other| other.votes).count() + 1) * 2 > voters;
    let enough = match all.iter().find(|other| other.leads) {
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
    use std::sync::Mutex;

    use super::*;

    /// Nodes 2 and 3, of which one may lead.
    struct Pair {
        reachable: Vec<u64>,
        leader: Option<u64>,
        missed: Mutex<Vec<u64>>,
    }

    impl Others for Pair {
        fn all(&self) -> Vec<Other> {
            [2, 3].map(|id| Other { id, leads: self.leader == Some(id), votes: true }).to_vec()
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

        fn missed(&self, by: u64) {
            self.missed.lock().unwrap().push(by);
        }
    }

    async fn told(leader: Option<u64>, reachable: &[u64]) -> (Result<(), PutError>, Vec<u64>) {
        let others = Pair { reachable: reachable.to_vec(), leader, missed: Mutex::default() };
        let put = put(&MetricTable::default(), &others, (Timestamp::from_millis(1_000), 7), &[]).await;
        (put, others.missed.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn the_leader_has_to_have_it_or_a_majority_while_there_is_none_and_nobody_is_waited_for_longer() {
        let began = tokio::time::Instant::now();
        assert_eq!(told(Some(2), &[2, 3]).await, (Ok(()), vec![]));
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert_eq!(told(Some(2), &[2]).await, (Ok(()), vec![3]), "it will be told");
        assert_eq!(told(Some(2), &[3]).await, (Err(PutError::Untold), vec![2]), "who evaluates lacks it");
        assert_eq!(told(None, &[3]).await, (Ok(()), vec![2]), "two of three");
        assert_eq!(told(None, &[]).await, (Err(PutError::Untold), vec![2, 3]));
        assert!(began.elapsed() <= PATIENCE * 4 + Duration::from_millis(10));
    }

    #[tokio::test]
    async fn a_node_alone_is_enough() {
        let table = MetricTable::default();
        assert_eq!(put(&table, &Alone, (Timestamp::from_millis(1_000), 7), &[]).await, Ok(()));
    }
}
