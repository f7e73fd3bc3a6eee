//! Metrics on a control node: what of them reaches the others, what the leader samples, and what a node that starts asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trireme_dispatcher::usage::UsageTable;
use trireme_monitoring::copy::{self, Other, Others};
use trireme_monitoring::ecs::{self, Used};
use trireme_monitoring::{MetricTable, Monitoring, wire};
use trireme_raft::node::Node;
use trireme_rpc::control::{CopyMetricsRequest, Metric, RelayMetricsRequest};
use trireme_state::store::{BoxFuture, Store};

/// How often the leader says what services use.
const SAMPLED: Duration = Duration::from_secs(5);
/// How often it is looked what may be forgotten.
const SWEPT: Duration = Duration::from_secs(60);
/// How long one page of a copy may take.
const PAGE_TIME: Duration = Duration::from_secs(5);
/// Pages of a copy: more than there can be.
const PAGES: usize = 1_000;
/// How often it is tried to get one.
const TRIES: usize = 10;

/// The other control nodes.
pub(crate) struct OtherNodes {
    pub(crate) node: Node,
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
        Box::pin(async move {
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
            };
            match client.relay_metrics(request).await {
                Ok(answer) if answer.get_ref().accepted => Ok(()),
                Ok(_) => Err("it keeps no metrics yet".to_owned()),
                Err(status) => Err(status.message().to_owned()),
            }
        })
    }
}

/// Starts what works by itself: the leader's samples, and a copy of what others have.
pub(crate) fn start(node: &Node, monitoring: &Monitoring, usage: Arc<UsageTable>, stop: &CancellationToken) {
    let run = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::spawn(stop.clone().run_until_cancelled_owned(future));
    };
    run(Box::pin(sample(node.clone(), monitoring.clone(), usage)));
    run(Box::pin(catch_up(node.clone(), monitoring.table.clone())));
}

/// On the leader: what services use, into its table and those of the others, so that a new leader knows the past.
async fn sample(node: Node, monitoring: Monitoring, usage: Arc<UsageTable>) {
    let store = node.store();
    let time = store.time();
    let mut ticks = tokio::time::interval(SAMPLED);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept = tokio::time::Instant::now();
    loop {
        ticks.tick().await;
        let now = time.now();
        if swept.elapsed() >= SWEPT {
            swept = tokio::time::Instant::now();
            monitoring.table.sweep(now);
        }
        if !store.leadership().deciding {
            continue;
        }
        let used: BTreeMap<_, _> = usage
            .current()
            .into_iter()
            .map(|(id, current)| {
                let (cpu_millis, memory_bytes) = (current.usage.cpu_millis, current.usage.memory_bytes);
                (id, Used { cpu_millis, memory_bytes })
            })
            .collect();
        let samples = ecs::samples(&store.view(), &used, now);
        if samples.is_empty() {
            continue;
        }
        // A node samples once at a time.
        let batch = u128::from(now.millis()) << 64 | u128::from(node.identity().node_id);
        let put = copy::put(&monitoring.table, &*monitoring.others, (now, batch), &samples).await;
        if let Err(error) = put {
            tracing::debug!(%error, "what services use is not known everywhere");
        }
    }
}

/// A node that starts has what others keep, as soon as one of them says it.
async fn catch_up(node: Node, table: Arc<MetricTable>) {
    let mut ticks = tokio::time::interval(SAMPLED);
    for _ in 0..TRIES {
        ticks.tick().await;
        let status = node.status();
        let mut members: Vec<_> = status.members.iter().filter_map(|one| one.member.as_ref()).collect();
        members.retain(|member| member.id != status.node_id);
        // The leader has most.
        members.sort_by_key(|member| member.id != status.leader_id);
        if members.is_empty() && status.leader_id == status.node_id {
            return;
        }
        for member in members {
            match copy_from(&node, &table, &member.peer_address).await {
                Ok(()) => return,
                Err(reason) => tracing::debug!(node = member.id, %reason, "it gave no copy of its metrics"),
            }
        }
    }
}

async fn copy_from(node: &Node, table: &MetricTable, address: &str) -> Result<(), String> {
    let mut client = node.peers().control(address).map_err(|error| error.to_string())?;
    let time = node.store().time();
    let mut after = None;
    for _ in 0..PAGES {
        let request = CopyMetricsRequest { cluster_id: node.peers().life(), after };
        let page = tokio::time::timeout(PAGE_TIME, client.copy_metrics(request)).await;
        let page = page.map_err(|_| "no answer in time".to_owned())?;
        let page = page.map_err(|status| status.message().to_owned())?.into_inner();
        after = wire::adopt(table, time.now(), &page.metrics);
        if after.is_none() {
            return Ok(());
        }
    }
    Ok(())
}
