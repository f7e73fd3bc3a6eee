//! Tasks that follow openraft's metrics: who leads, where the voters are, and whether Raft has stopped for good.

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use trireme_state::store::Leadership;
use trireme_types::NodeId;

use crate::clock::OfficeClock;
use crate::config::Raft;
use crate::fault::Fault;
use crate::store::Leader;

/// Follows who leads and whether this node decides.
pub(crate) fn leader(
    raft: Raft,
    node_id: u64,
    mut office: watch::Receiver<Option<OfficeClock>>,
    fault: &Fault,
) -> watch::Receiver<Leader> {
    let (sender, receiver) = watch::channel(Leader::default());
    let mut metrics = raft.server_metrics();
    drop(raft);
    fault.spawn("the watcher of the leader", async move {
        loop {
            let deciding = office.borrow_and_update().is_some();
            let next = {
                let metrics = metrics.borrow_watched();
                let leader = metrics.current_leader;
                let member = leader.and_then(|id| metrics.membership_config.membership().get_node(&id));
                let elsewhere = leader.is_some_and(|id| id != node_id);
                Leader {
                    leadership: Leadership {
                        leader: leader.map(NodeId::new),
                        term: metrics.vote.leader_id.term,
                        deciding,
                    },
                    address: member.filter(|_| elsewhere).map(|member| member.peer_address.clone()),
                }
            };
            sender.send_if_modified(|current| {
                if *current == next {
                    return false;
                }
                if next.leadership.leader.is_some() && next.leadership.leader != current.leadership.leader {
                    metrics::counter!("trireme_raft_leader_changes_total").increment(1);
                }
                *current = next;
                true
            });
            let ended = tokio::select! {
                changed = metrics.changed() => changed.is_err(),
                changed = office.changed() => changed.is_err(),
            };
            if ended {
                sender.send_replace(Leader::default());
                return;
            }
        }
    });
    receiver
}

/// Follows the voters' peer addresses, in the order of their ids.
pub(crate) fn voters(raft: Raft, fault: &Fault) -> watch::Receiver<Vec<String>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let mut metrics = raft.server_metrics();
    drop(raft);
    fault.spawn("the watcher of the voters", async move {
        loop {
            let next: Vec<String> = {
                let metrics = metrics.borrow_watched();
                let membership = metrics.membership_config.membership();
                let members = membership.voter_ids().filter_map(|id| membership.get_node(&id));
                members.map(|member| member.peer_address.clone()).collect()
            };
            sender.send_if_modified(|current| {
                let changed = *current != next;
                *current = next;
                changed
            });
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Learns of it when Raft stops for good, and stops it when the node itself has found a reason.
pub(crate) fn fatal(raft: Raft, fault: &Fault) -> watch::Receiver<Option<String>> {
    let (sender, receiver) = watch::channel(None);
    let mut metrics = raft.metrics();
    let mut found = fault.watch();
    tokio::spawn(async move {
        loop {
            let state = metrics.borrow_watched().running_state.clone();
            if let Err(error) = state {
                if !matches!(error, openraft::error::Fatal::Stopped) {
                    tracing::error!(%error, "raft has stopped for good");
                }
                sender.send_replace(Some(error.to_string()));
                return;
            }
            tokio::select! {
                biased;
                reason = reason_of(&mut found) => {
                    sender.send_replace(Some(reason.unwrap_or_else(|| "the node has ended".to_owned())));
                    // It must neither vote nor acknowledge anything from now on.
                    let _ended = raft.shutdown().await;
                    return;
                }
                changed = metrics.changed() => if changed.is_err() {
                    sender.send_replace(Some("raft has ended".to_owned()));
                    return;
                },
            }
        }
    });
    receiver
}

async fn reason_of(found: &mut watch::Receiver<Option<String>>) -> Option<String> {
    found.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone())
}
