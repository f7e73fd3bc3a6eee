//! A leader whose disk has become slow hands leadership on: what it proposes would wait for its own log to be read again, and
//! its decider for its history.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::log::flusher::Flusher;
use crate::membership::{Keeper, Refused};
use crate::store::RaftStore;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// After leadership was handed on, or nobody took it: where all disks are slow it must not go round and round.
const REST: Duration = Duration::from_secs(30);

/// Watches the disk for as long as the node runs.
pub(crate) fn watch(
    store: RaftStore,
    keeper: Keeper,
    flusher: Flusher,
    fault: &Fault,
    stop: CancellationToken,
) {
    let watching = async move {
        loop {
            tokio::time::sleep(LOOK).await;
            if !store.leadership_is_here() || !flusher.is_slow() {
                continue;
            }
            tracing::error!("this leader's disk is slow: it hands leadership on");
            metrics::counter!("trireme_raft_slow_disk_handovers_total").increment(1);
            match keeper.handover(None).await {
                Ok(_) | Err(Refused::NotLeader) => {}
                Err(Refused::Because(reason)) => tracing::error!(%reason, "and nobody takes it"),
            }
            tokio::time::sleep(REST).await;
        }
    };
    fault.spawn("the watch over the disk", async move {
        let _stopped = stop.run_until_cancelled(watching).await;
    });
}
