//! A leader's heartbeats. openraft sends one at each of its intervals and gives up on the answer after as long; a leader has to be
//! heard more often than that, and may be answered later.

use openraft::async_runtime::{Instant, WatchReceiver};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::{Raft, Settings};

/// A leader that no quorum answers for so many election time-outs says so.
const UNHEARD: u32 = 4;

/// Asks for heartbeats while this node leads.
pub(crate) async fn keep_heartbeats(raft: Raft, settings: Settings, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(settings.heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let metrics = raft.metrics();
    let mut unheard = false;
    let beating = async {
        loop {
            ticks.tick().await;
            let (leads, answered) = {
                let metrics = metrics.borrow_watched();
                (metrics.state.is_leader(), metrics.last_quorum_acked.map(|acked| acked.elapsed()))
            };
            // Raft that takes none has stopped: others see to that.
            if !leads || raft.trigger().heartbeat().await.is_err() {
                unheard = false;
                continue;
            }
            let late = answered.is_some_and(|ago| ago > settings.election_max * UNHEARD);
            if late && !unheard {
                tracing::error!(
                    "no quorum answers this leader in time: the network is cut, or its messages take longer than --timing allows"
                );
            }
            unheard = late;
        }
    };
    let _stopped = stop.run_until_cancelled(beating).await;
}
