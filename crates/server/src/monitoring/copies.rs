//! The other control nodes' metrics: what is sent to them, who missed some of it, and what this node missed itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use trireme_monitoring::copy::{Other, Others};
use trireme_monitoring::{Gap, KEPT, MetricTable, wire};
use trireme_raft::node::Node;
use trireme_rpc::control::{CopyMetricsRequest, Metric, RelayMetricsRequest};
use trireme_state::store::{BoxFuture, Store};
use trireme_types::{Sequence, Timestamp};

/// How often it is looked who lacks something.
const LOOKED: Duration = Duration::from_secs(5);
/// The shortest pause between two copies: each is of all that there is.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a batch, or one page of a copy, may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Batches that are on their way to one node.
const BATCHES: usize = 128;
/// Pages of a copy: more than there can be.
const PAGES: usize = 12_000;
/// How often it is tried to get a copy of who does not answer while others do.
const TRIES: u32 = 4;
/// The batch that has nothing in it: it only says that others were missed.
const NOTHING: u128 = 0;

/// The other control nodes. Clones are handles to the same.
#[derive(Clone)]
pub(crate) struct OtherNodes(Arc<Inner>);

struct Inner {
    node: Node,
    peers: Mutex<BTreeMap<u64, Peer>>,
}

/// What is known of one of them.
struct Peer {
    sending: Arc<Semaphore>,
    /// How many batches it may lack, all in all, and of how many of them it was told.
    missed: u64,
    told: u64,
}

impl OtherNodes {
    pub(crate) fn new(node: Node) -> Self {
        Self(Arc::new(Inner { node, peers: Mutex::default() }))
    }
}

impl Inner {
    fn peer<T>(&self, id: u64, look: impl FnOnce(&mut Peer) -> T) -> T {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        look(peers.entry(id).or_insert_with(|| Peer {
            sending: Arc::new(Semaphore::new(BATCHES)),
            missed: 0,
            told: 0,
        }))
    }

    fn missed(&self, by: u64) {
        self.peer(by, |peer| peer.missed = peer.missed.saturating_add(1));
    }

    fn send(
        self: &Arc<Self>,
        to: u64,
        batch: u128,
        metrics: Vec<Metric>,
    ) -> Result<JoinHandle<Result<(), String>>, String> {
        let Ok(permit) = self.peer(to, |peer| peer.sending.clone()).try_acquire_owned() else {
            self.missed(to);
            return Err("too many batches are on their way to it".to_owned());
        };
        let inner = self.clone();
        Ok(tokio::spawn(async move {
            let _permit = permit;
            let sent = inner.relay_in_time(to, batch, metrics).await;
            if sent.is_err() {
                inner.missed(to);
            }
            sent
        }))
    }

    async fn relay_in_time(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> Result<(), String> {
        let relayed = tokio::time::timeout(LIMIT, self.relay(to, batch, metrics)).await;
        relayed.unwrap_or_else(|_| Err(format!("no answer in {} s", LIMIT.as_secs())))
    }

    async fn relay(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> Result<(), String> {
        let (missed, told) = self.peer(to, |peer| (peer.missed, peer.told));
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
            missed: missed > told,
        };
        match client.relay_metrics(request).await {
            Ok(answer) if answer.get_ref().accepted => {
                // What was missed meanwhile is still to be told.
                self.peer(to, |peer| peer.told = peer.told.max(missed));
                Ok(())
            }
            Ok(_) => Err("it keeps no metrics yet".to_owned()),
            Err(status) => Err(status.message().to_owned()),
        }
    }
}

impl Others for OtherNodes {
    fn all(&self) -> Vec<Other> {
        let status = self.0.node.status();
        let others = status.members.iter().filter_map(|one| Some((one.member.as_ref()?.id, one.voter)));
        let others = others.filter(|(id, _)| *id != status.node_id);
        others.map(|(id, votes)| Other { id, leads: id == status.leader_id, votes }).collect()
    }

    fn leads_itself(&self) -> bool {
        // One that hears no quorum may have a successor already, which would not know what was put here.
        self.0.node.store().leadership().deciding && self.0.node.status().has_quorum
    }

    fn send(&self, to: u64, batch: u128, metrics: Vec<Metric>) -> BoxFuture<'_, Result<(), String>> {
        let sent = self.0.send(to, batch, metrics);
        Box::pin(async move { sent?.await.unwrap_or_else(|error| Err(error.to_string())) })
    }
}

/// Who missed something is told so, as soon as it can be reached.
pub(super) async fn tell_who_missed(others: OtherNodes) {
    let mut ticks = tokio::time::interval(LOOKED);
    loop {
        ticks.tick().await;
        let members = others.all();
        let missed: Vec<u64> = {
            let mut peers = others.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|id, _| members.iter().any(|member| member.id == *id));
            peers.iter().filter(|(_, peer)| peer.missed > peer.told).map(|(id, _)| *id).collect()
        };
        for id in missed {
            if let Err(reason) = others.0.relay_in_time(id, NOTHING, Vec::new()).await {
                tracing::debug!(node = id, %reason, "it cannot be told that it missed metrics");
            }
        }
    }
}

/// A node that lacks something has what others keep, as soon as they say it. It began when there was nothing of it yet.
pub(super) async fn catch_up(node: Node, table: Arc<MetricTable>, began: Timestamp) {
    let mut ticks = tokio::time::interval(LOOKED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut first, mut tries) = (true, 0_u32);
    loop {
        ticks.tick().await;
        let Some(gap) = table.gap() else { continue };
        if node.store().view().position().sequence == Sequence::default() {
            continue;
        }
        if std::mem::take(&mut first) && is_younger(&node, began).await {
            table.reaches(Timestamp::default());
            table.filled(&gap);
            continue;
        }
        let (copied, missing) = fill(&node, &table, &gap).await;
        tries = tries.saturating_add(u32::from(copied > 0));
        if missing == 0 || tries >= TRIES {
            table.filled(&gap);
            tries = 0;
        }
        if copied > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Copies what others have who have what is missing: those who said so, and for what was before the node started, the leader first, until one
/// has all that is kept for as long as anything is. Gives how many were copied, and how many of them did not answer.
async fn fill(node: &Node, table: &MetricTable, gap: &Gap) -> (usize, usize) {
    let status = node.status();
    let mut members: Vec<_> = status.members.iter().filter_map(|one| one.member.as_ref()).collect();
    members.retain(|member| member.id != status.node_id);
    members.sort_by_key(|member| (!gap.tellers.contains(&member.id), member.id != status.leader_id));
    let nobody_leads = usize::from(status.leader_id == 0);
    let (mut whole, mut copied, mut missing) = (!gap.start, 0_usize, nobody_leads);
    for member in members.into_iter() {
        if whole && !gap.tellers.contains(&member.id) {
            break;
        }
        match copy_from(node, table, &member.peer_address).await {
            Ok(since) => {
                table.reaches(since);
                whole |= since.plus(KEPT) <= node.store().time().now();
                copied = copied.saturating_add(1);
            }
            Err(reason) => {
                missing = missing.saturating_add(1);
                tracing::debug!(node = member.id, %reason, "it gave no copy of its metrics");
            }
        }
    }
    (copied, if whole && gap.tellers.is_empty() { 0 } else { missing })
}

/// Whether the cluster began when this node was there already, so that there is nothing that it could have missed.
async fn is_younger(node: &Node, began: Timestamp) -> bool {
    let first = node.store().history(Sequence::new(1), 1).await;
    first.is_ok_and(|records| records.first().is_some_and(|record| record.at.plus(LOOKED) >= began))
}

/// All that a node has. Gives from when on that is everything.
async fn copy_from(node: &Node, table: &MetricTable, address: &str) -> Result<Timestamp, String> {
    let mut client = node.peers().control(address).map_err(|error| error.to_string())?;
    let time = node.store().time();
    let (mut after, mut since) = (None, Timestamp::default());
    // Who does not say has no more than this node has.
    let unknown = time.now().millis();
    for _ in 0..PAGES {
        let request = CopyMetricsRequest { cluster_id: node.peers().life(), after };
        let page = tokio::time::timeout(LIMIT, client.copy_metrics(request)).await;
        let page = page.map_err(|_| "no answer in time".to_owned())?;
        let page = page.map_err(|status| status.message().to_owned())?.into_inner();
        since = since.max(Timestamp::from_millis(page.whole_since_ms.unwrap_or(unknown)));
        after = wire::adopt(table, time.now(), &page.metrics);
        if after.is_none() {
            return Ok(since);
        }
    }
    Err("it has more metrics than there can be".to_owned())
}
