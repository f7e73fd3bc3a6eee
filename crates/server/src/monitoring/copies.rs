//! The other control nodes' metrics: what is sent to them, who missed some of it, and what this node missed itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use trireme_monitoring::copy::{Other, Others, PATIENCE};
use trireme_monitoring::{Gap, MetricTable, wire};
use trireme_raft::node::Node;
use trireme_rpc::control::{CopyMetricsRequest, Metric, RelayMetricsRequest};
use trireme_state::store::{BoxFuture, Store};
use trireme_types::{Sequence, Timestamp};

/// How often it is looked who lacks something.
const LOOKED: Duration = Duration::from_secs(5);
/// The shortest pause between two copies: each is of all that there is.
const PAUSE: Duration = Duration::from_secs(30);
/// How long one page of a copy may take.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// Pages of a copy: more than there can be.
const PAGES: usize = 12_000;
/// The batch that has nothing in it: it only says that others were missed.
const NOTHING: u128 = 0;

/// The other control nodes.
pub(crate) struct OtherNodes {
    node: Node,
    /// Who may lack something and has not been told so, with how often.
    missed: Mutex<BTreeMap<u64, u64>>,
}

impl OtherNodes {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, missed: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn relay(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> Result<(), String> {
        let missed = self.lock().get(&to).copied();
        let status = self.node.status();
        let members = status.members.iter().filter_map(|one| one.member.as_ref());
        let member = members.into_iter().find(|member| member.id == to).ok_or("it is no member")?;
        let client = self.node.peers().control(&member.peer_address);
        let mut client = client.map_err(|error| error.to_string())?;
        let request = RelayMetricsRequest {
            cluster_id: self.node.peers().life(),
            from: status.node_id,
            batch: batch.to_be_bytes().to_vec().into(),
            metrics,
            missed: missed.is_some(),
        };
        match client.relay_metrics(request).await {
            Ok(answer) if answer.get_ref().accepted => {
                let mut all = self.lock();
                // What was missed since is still to be told.
                if missed.is_some() && all.get(&to).copied() == missed {
                    all.remove(&to);
                }
                Ok(())
            }
            Ok(_) => Err("it keeps no metrics yet".to_owned()),
            Err(status) => Err(status.message().to_owned()),
        }
    }
}

impl Others for OtherNodes {
    fn all(&self) -> Vec<Other> {
        let status = self.node.status();
        let others = status.members.iter().filter_map(|one| Some((one.member.as_ref()?.id, one.voter)));
        let others = others.filter(|(id, _)| *id != status.node_id);
        others.map(|(id, votes)| Other { id, leads: id == status.leader_id, votes }).collect()
    }

    fn leads_itself(&self) -> bool {
        self.node.store().leadership().deciding
    }

    fn send(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.relay(to, batch, metrics))
    }

    fn missed(&self, by: u64) {
        let mut all = self.lock();
        let count = all.entry(by).or_default();
        *count = count.wrapping_add(1);
    }
}

/// Who missed something is told so, as soon as it can be reached.
pub(super) async fn tell_who_missed(others: Arc<OtherNodes>) {
    let mut ticks = tokio::time::interval(LOOKED);
    loop {
        ticks.tick().await;
        let members = others.all();
        others.lock().retain(|id, _| members.iter().any(|member| member.id == *id));
        let missed: Vec<u64> = others.lock().keys().copied().collect();
        for id in missed {
            let told = tokio::time::timeout(PATIENCE, others.relay(id, NOTHING, Vec::new())).await;
            if let Ok(Err(reason)) = told {
                tracing::debug!(node = id, %reason, "it cannot be told that it missed metrics");
            }
        }
    }
}

/// A node that missed something has what others keep, as soon as one of them says it. It began when there was nothing of it yet.
pub(super) async fn catch_up(node: Node, table: Arc<MetricTable>, began: Timestamp) {
    let mut ticks = tokio::time::interval(LOOKED);
    let mut first = true;
    loop {
        ticks.tick().await;
        let Some(gap) = table.gap() else { continue };
        if node.store().view().position().sequence == Sequence::default() {
            continue;
        }
        if first && is_younger(&node, began).await {
            table.filled(gap, Timestamp::default());
            first = false;
            continue;
        }
        if fill(&node, &table, gap).await {
            first = false;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether the cluster began when this node was there already, so that there is nothing that it could have missed.
async fn is_younger(node: &Node, began: Timestamp) -> bool {
    let first = node.store().history(Sequence::new(1), 1).await;
    first.is_ok_and(|records| records.first().is_some_and(|record| record.at.plus(LOOKED) >= began))
}

/// Copies what others have, until somebody's reaches back further than this node's. False when nobody answered and it is to be tried again.
async fn fill(node: &Node, table: &MetricTable, gap: Gap) -> bool {
    let status = node.status();
    let mut members: Vec<_> = status.members.iter().filter_map(|one| one.member.as_ref()).collect();
    members.retain(|member| member.id != status.node_id);
    // The leader has most.
    members.sort_by_key(|member| member.id != status.leader_id);
    let mut answered = members.is_empty() && status.leader_id == status.node_id;
    let own = table.whole_since();
    for member in members {
        match copy_from(node, table, &member.peer_address).await {
            Ok(since) if since < own => {
                table.filled(gap, since);
                return true;
            }
            Ok(_) => answered = true,
            Err(reason) => tracing::debug!(node = member.id, %reason, "it gave no copy of its metrics"),
        }
    }
    if answered {
        table.filled(gap, own);
    }
    answered
}

/// All that a node has. Gives from when on that is everything.
async fn copy_from(node: &Node, table: &MetricTable, address: &str) -> Result<Timestamp, String> {
    let mut client = node.peers().control(address).map_err(|error| error.to_string())?;
    let time = node.store().time();
    let (mut after, mut since) = (None, Timestamp::default());
    for _ in 0..PAGES {
        let request = CopyMetricsRequest { cluster_id: node.peers().life(), after };
        let page = tokio::time::timeout(PAGE_TIME, client.copy_metrics(request)).await;
        let page = page.map_err(|_| "no answer in time".to_owned())?;
        let page = page.map_err(|status| status.message().to_owned())?.into_inner();
        since = since.max(Timestamp::from_millis(page.whole_since_ms));
        after = wire::adopt(table, time.now(), &page.metrics);
        if after.is_none() {
            return Ok(since);
        }
    }
    Err("it has more metrics than there can be".to_owned())
}
