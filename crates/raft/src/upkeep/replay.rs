//! Bounds what a start has to apply again. openraft asks for a snapshot after so many log entries, whatever they hold; here it is
//! asked for after so many events.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Raft;
use crate::fault::Fault;
use crate::snapshot::Snapshots;
use crate::store::RaftStore;

/// Asks for a snapshot whenever `events` were applied since the last one.
pub(crate) fn bound(
    raft: Raft,
    store: &RaftStore,
    snapshots: &Arc<Snapshots>,
    events: u64,
    fault: &Fault,
    stop: CancellationToken,
) {
    let (mut view, mut offers) = (store.watch_applied(), snapshots.offers());
    let asking = async move {
        // Where it was last asked for, until there is a new one: while one is built openraft heeds no other wish.
        let mut asked = None::<u64>;
        loop {
            let applied = view.borrow_and_update().state.position().sequence.get();
            let covered = offers.borrow_and_update().as_ref().map_or(0, |one| one.position.sequence.get());
            let since = covered.max(asked.unwrap_or(covered));
            if applied.saturating_sub(since) >= events {
                asked = Some(applied);
                // Raft that takes no command has stopped: others see to that.
                if raft.trigger().snapshot().await.is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                changed = offers.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    asked = None;
                }
            }
        }
    };
    fault.spawn("the watch over what a start applies", async move {
        let _stopped = stop.run_until_cancelled(asking).await;
    });
}
