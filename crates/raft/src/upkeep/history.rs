//! The upkeep of the history: fetching the records that a snapshot jumped over.

use tokio_util::sync::CancellationToken;

use super::PAUSE;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::store::{RaftStore, fetch_history};

/// Records that are fetched at once.
const FETCH: usize = 2_000;

/// Starts it.
pub(super) fn start(store: RaftStore, identity: Identity, fault: &Fault, stop: CancellationToken) {
    fault.spawn("the fetching of the history", async move {
        tokio::select! {
            () = fill_history(&store, identity) => {}
            () = stop.cancelled() => {}
        }
    });
}

/// Fetches the records that a snapshot jumped over, from any peer that has them, checked against the chain.
async fn fill_history(store: &RaftStore, identity: Identity) {
    let mut view = store.watch_applied();
    loop {
        if let Some((from, to)) = store.history.extent().gap {
            let membership = view.borrow().membership.membership().clone();
            let missing = to.sequence.get().saturating_sub(from.sequence.get());
            let limit = usize::try_from(missing).unwrap_or(FETCH).min(FETCH);
            for (id, member) in membership.nodes() {
                if *id == identity.node_id {
                    continue;
                }
                let next = from.sequence.next();
                let limit_time = store.settings.call_limit;
                let fetched =
                    fetch_history(&store.peers, &member.peer_address, next, limit, limit_time).await;
                match fetched.map(|records| store.history.fill(&records)) {
                    Ok(Ok(closed)) => {
                        tracing::info!(closed, peer = id, "history was fetched");
                        break;
                    }
                    Ok(Err(error)) => tracing::error!(%error, peer = id, "a peer's history does not fit"),
                    Err(reason) => tracing::debug!(%reason, peer = id, "no history from there"),
                }
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let resets = view.borrow_and_update().resets;
        if view.wait_for(|view| view.resets != resets).await.is_err() {
            return;
        }
    }
}
