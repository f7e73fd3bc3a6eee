//! Metrics on a control node: what the leader samples of services, and what is forgotten. What reaches the other nodes is in `copies`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trireme_dispatcher::usage::UsageTable;
use trireme_monitoring::ecs::{self, Used};
use trireme_monitoring::{Monitoring, copy};
use trireme_raft::node::Node;
use trireme_state::store::Store;

mod copies;

pub(crate) use copies::OtherNodes;

/// How often the leader says what services use.
const SAMPLED: Duration = Duration::from_secs(5);
/// How often it is looked what may be forgotten.
const SWEPT: Duration = Duration::from_secs(60);
/// Starts what works by itself: the leader's samples, what other nodes are told that missed something, and a copy of what they have.
pub(crate) fn start(
    node: &Node,
    (monitoring, others): (&Monitoring, OtherNodes),
    usage: Arc<UsageTable>,
    stop: &CancellationToken,
) {
    let run = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::spawn(stop.clone().run_until_cancelled_owned(future));
    };
    // What was said before is with the others, if anybody has it.
    let began = node.store().time().now();
    monitoring.table.starts(began);
    run(Box::pin(sample(node.clone(), monitoring.clone(), usage)));
    run(Box::pin(copies::catch_up(node.clone(), monitoring.table.clone(), began)));
    run(Box::pin(copies::tell_who_missed(others)));
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
