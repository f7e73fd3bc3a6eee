//! Bounds what a start has to apply again. openraft asks for a snapshot after so many log entries, whatever they hold; here it is
//! asked for after so many events.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Raft;
use crate::fault::Fault;
use crate::snapshot::Snapshots;
use crate::store::RaftStore;

/// Asks for a snapshot whenever `events` were applied since the last one, or since it was last asked for.
pub(crate) fn bound(
    raft: Raft,
    store: &RaftStore,
    snapshots: &Arc<Snapshots>,
    events: u64,
    fault: &Fault,
    stop: CancellationToken,
) {
    let (mut view, offers) = (store.watch_applied(), snapshots.offers());
    let asking = async move {
        let mut asked = 0u64;
        loop {
            let applied = view.borrow_and_update().state.position().sequence.get();
            let covered = offers.borrow().as_ref().map_or(0, |offer| offer.position.sequence.get());
            if applied.saturating_sub(covered.max(asked)) >= events {
                asked = applied;
                // Raft that takes no command has stopped: others see to that.
                if raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            if view.changed().await.is_err() {
                return;
            }
        }
    };
    fault.spawn("the watch over what a start applies", async move {
        let _stopped = stop.run_until_cancelled(asking).await;
    });
}
