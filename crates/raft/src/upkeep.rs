//! What a node does by itself and asks of others: joining, promotion, leaving, a look at the others' clocks before
//! it decides, and the upkeep of the [`history`].

mod backoff;
mod fitness;
mod heartbeats;
mod history;
mod janitor;
mod replay;
mod slow_disk;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::{control, convert};
use trireme_state::FeatureLevel;

use trireme_types::planted;

use crate::clock::Deadline;
use crate::config::{Raft, Settings};
use crate::error::Error;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::log::flusher::Flusher;
use crate::log::store::LogWatch;
use crate::membership::{Keeper, Member, Refused, not_a_member};
use crate::network::fence::{self, Fence};
use crate::network::peers::{Connect, Lane};
use crate::snapshot::blocking;
use crate::storage::Kv;
use crate::store::{RaftStore, within};

pub(crate) use fitness::fitness;
pub(crate) use heartbeats::keep_heartbeats;
pub(crate) use history::HistoryKeeper;
pub(crate) use janitor::Janitor;
pub(crate) use replay::bound as bound_replay;
pub(crate) use slow_disk::watch as watch_disk;

const PAUSE: Duration = Duration::from_millis(100);
/// What the operator has to know when two clocks are apart.
pub(crate) const DISAGREED: &str =
    "the clocks of the control nodes disagree, and too few answer to tell which one is wrong";
/// The limit for ending a change of the membership.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two marks of what is durable.
const MARK: Duration = Duration::from_secs(2);
/// So many times in a row every other member has to refuse this node before it stops.
const REFUSALS: u32 = 5;

fn client(connect: &dyn Connect, address: &str) -> Result<ControlClient<Channel>, String> {
    connect.connect(address, Lane::Control).map(ControlClient::new).map_err(|error| error.to_string())
}

/// Asks a running cluster for an id, through any node.
pub(crate) async fn ask_to_join(
    connect: &dyn Connect,
    member: &Member,
    seeds: &[String],
    settings: &Settings,
    supports: FeatureLevel,
) -> Result<Identity, Error> {
    use control::join_response::Result as Wire;
    let deadline = Deadline::after(settings.propose_limit);
    let mut reason = "no seed was given".to_owned();
    let mut hint: Option<String> = None;
    let mut turn = 0usize;
    while !deadline.left().is_zero() && !seeds.is_empty() {
        let address = hint.take().unwrap_or_else(|| seeds[turn % seeds.len()].clone());
        turn = turn.wrapping_add(1);
        let request = control::JoinRequest {
            cluster_id: bytes::Bytes::new(),
            zone: member.zone.clone(),
            peer_address: member.peer_address.clone(),
            api_address: member.api_address.clone(),
            token: member.token.clone(),
            supported_level: supports.get(),
        };
        let mut client = client(connect, &address)
            .map_err(|reason| Error::WrongPeer { address: address.clone(), reason })?;
        let answer = within(settings.call_limit, client.join(request)).await;
        reason = match answer {
            None => format!("{address} did not answer in time"),
            Some(Err(status)) => format!("{address}: {}", status.message()),
            Some(Ok(answer)) => match answer.into_inner().result {
                Some(Wire::Joined(joined)) => {
                    let cluster = convert::cluster_from_bytes(&joined.cluster_id);
                    let cluster = cluster.map_err(|error| Error::WrongPeer {
                        address: address.clone(),
                        reason: error.to_string(),
                    })?;
                    return Ok(Identity {
                        cluster,
                        incarnation: joined.incarnation,
                        node_id: joined.node_id,
                    });
                }
                Some(Wire::Refused(reason)) if !reason.contains("configuration change") => {
                    return Err(Error::Refused { reason });
                }
                Some(Wire::Refused(reason)) => reason,
                Some(Wire::NotLeader(leader)) => {
                    hint = Some(leader.peer_address).filter(|address| !address.is_empty());
                    format!("{address} does not lead")
                }
                None => format!("{address} answered nothing"),
            },
        };
        if hint.is_none() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Err(Error::NoLeader { seconds: settings.propose_limit.as_secs(), reason })
}

/// Has the leader remove a node.
pub(crate) async fn ask_to_leave(store: &RaftStore, keeper: &Keeper, node_id: u64) -> Result<(), Error> {
    use control::leave_response::Result as Wire;
    let deadline = Deadline::after(store.settings.propose_limit);
    let mut reason;
    loop {
        match within(store.settings.call_limit, keeper.leave(node_id)).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(Refused::Because(reason))) => return Err(Error::Refused { reason }),
            Some(Err(Refused::NotLeader)) | None => {}
        }
        let address = store.leader.borrow().address.clone();
        reason = match address {
            None => "no leader is known".to_owned(),
            Some(address) => {
                let cluster_id = store.peers.life();
                let mut client = store.peers.control(&address)?;
                let request = control::LeaveRequest { cluster_id, node_id };
                match within(store.settings.call_limit, client.leave(request)).await {
                    None => format!("{address} did not answer in time"),
                    Some(Err(status)) => format!("{address}: {}", status.message()),
                    Some(Ok(answer)) => match answer.into_inner().result {
                        Some(Wire::Done(_)) => return Ok(()),
                        Some(Wire::Refused(reason)) => return Err(Error::Refused { reason }),
                        _ => format!("{address} does not lead"),
                    },
                }
            }
        };
        if deadline.left().is_zero() {
            return Err(Error::NoLeader { seconds: store.settings.propose_limit.as_secs(), reason });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Starts what a node does by itself.
pub(crate) fn start(
    store: RaftStore,
    raft: Raft,
    keeper: Keeper,
    identity: Identity,
    fault: &Fault,
    stop: CancellationToken,
) {
    let (promoted, voting) = (store, raft);
    let (settler, office) = (keeper.clone(), promoted.leader.clone());
    let stopped = stop.clone();
    fault.spawn("the settler of the membership", async move {
        let settle = async {
            loop {
                tokio::time::sleep(PAUSE * 3).await;
                if office.borrow().leadership.deciding
                    && let Some(Err(reason)) = within(CHANGE_LIMIT, settler.settle()).await
                {
                    tracing::info!(?reason, "a change of the membership is still half done");
                }
            }
        };
        tokio::select! {
            () = settle => {}
            () = stopped.cancelled() => {}
        }
    });
    let stopped = stop.clone();
    fault.spawn("the promotion", async move {
        tokio::select! {
            () = become_voter(&promoted, &voting, &keeper, identity) => {}
            () = stopped.cancelled() => {}
        }
    });
}

/// Starts what keeps the history.
pub(crate) fn keep_history(keeper: HistoryKeeper, janitor: Janitor, fault: &Fault, stop: &CancellationToken) {
    history::start(keeper, fault, stop.clone());
    janitor::start(janitor, fault, stop.clone());
}

/// Stops this node once it hears that the cluster lives on under a later incarnation, and writes it down.
pub(crate) async fn heed_fence(fence: Fence, kv: Arc<dyn Kv>, fault: Fault, stop: CancellationToken) {
    let Some(later) = stop.run_until_cancelled(fence.fenced()).await else { return };
    let remember = move || kv.write(vec![fence::put(later)]).and_then(|()| kv.sync());
    if let Err(error) = blocking(remember).await {
        tracing::error!(%error, "cannot write down that this node is fenced");
    }
    fault.raise(fence.verdict(later).to_string());
}

/// Marks every now and then what is durable. What a lost disk may cost without being noticed is what lies behind the mark.
pub(crate) async fn keep_mark(log: LogWatch, flusher: Flusher, fault: Fault, stop: CancellationToken) {
    let keep = async {
        loop {
            tokio::time::sleep(MARK).await;
            let sync =
                async { if planted::is("mark-before-the-sync") { Ok(()) } else { flusher.sync().await } };
            if let Err(error) = log.mark(sync).await {
                fault.raise(format!("cannot mark what is durable: {error}"));
                return;
            }
        }
    };
    let _stopped = stop.run_until_cancelled(keep).await;
}

/// Asks to be made a voter until it is one. A node that was removed gives up.
async fn become_voter(store: &RaftStore, raft: &Raft, keeper: &Keeper, identity: Identity) {
    use control::promote_response::Result as Wire;
    loop {
        tokio::time::sleep(PAUSE).await;
        let (votes, member) = {
            let metrics = raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            let votes = membership.voter_ids().any(|id| id == identity.node_id);
            (votes, membership.get_node(&identity.node_id).is_some())
        };
        if votes {
            return;
        }
        if !member {
            continue;
        }
        let address = store.leader.borrow().address.clone();
        let Some(address) = address else {
            let _asked = keeper.promote(identity.node_id).await;
            continue;
        };
        let Ok(mut client) = store.peers.control(&address) else { continue };
        let request = control::PromoteRequest { cluster_id: store.peers.life(), node_id: identity.node_id };
        match within(store.settings.call_limit, client.promote(request)).await {
            Some(Ok(answer)) => {
                if let Some(Wire::Refused(reason)) = answer.into_inner().result {
                    tracing::info!(%reason, "not a voter yet");
                }
            }
            Some(Err(status)) => tracing::info!(reason = status.message(), "not a voter yet"),
            None => {}
        }
    }
}

/// Whether this node still belongs to its cluster. One that was removed while it was away hears nothing any more; it
/// asks, so that it does not run for ever and for nothing.
pub(crate) struct Belonging {
    pub store: RaftStore,
    pub raft: Raft,
    pub identity: Identity,
    /// Rises with each message of a leader.
    pub heard: Arc<AtomicU64>,
}

/// What the other members say.
enum Word {
    Removed(String),
    /// Each of them says that this node means someone else.
    Refused(String),
    Nothing,
}

/// Stops this node once it belongs nowhere any more.
pub(crate) async fn watch_belonging(belonging: Belonging, fault: Fault, stop: CancellationToken) {
    if let Some(reason) = stop.run_until_cancelled(belonging.lost()).await {
        fault.raise(reason);
    }
}

impl Belonging {
    /// Returns why this node has to stop.
    async fn lost(&self) -> String {
        let patience = (self.store.settings.election_max * 4).max(Duration::from_secs(2));
        let mut lonely: Option<Deadline> = None;
        let (mut refusals, mut last) = (0u32, 0u64);
        loop {
            tokio::time::sleep(PAUSE * 5).await;
            if !self.is_lonely(&mut last) {
                (lonely, refusals) = (None, 0);
                continue;
            }
            if !lonely.get_or_insert_with(|| Deadline::after(patience)).left().is_zero() {
                continue;
            }
            match self.ask().await {
                Word::Removed(reason) => return reason,
                Word::Refused(reason) if refusals >= REFUSALS => {
                    return format!("no member accepts this node: {reason}");
                }
                Word::Refused(_) => refusals = refusals.saturating_add(1),
                Word::Nothing => refusals = 0,
            }
        }
    }

    /// It neither leads nor has heard a leader since the last look. What openraft takes for the leader may be long gone.
    fn is_lonely(&self, last: &mut u64) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        let silent = std::mem::replace(last, heard) == heard;
        let leads = self.raft.server_metrics().borrow_watched().state.is_leader();
        silent && !leads
    }

    async fn ask(&self) -> Word {
        use control::promote_response::Result as Wire;
        let membership = self.store.applied().membership.membership().clone();
        let (mut refused, mut others) = (None, 0usize);
        let mut refusals = 0usize;
        for (_, member) in membership.nodes().filter(|(id, _)| **id != self.identity.node_id) {
            others = others.saturating_add(1);
            let Ok(mut client) = self.store.peers.control(&member.peer_address) else { continue };
            let request = control::PromoteRequest {
                cluster_id: self.store.peers.life(),
                node_id: self.identity.node_id,
            };
            match within(self.store.settings.call_limit / 4, client.promote(request)).await {
                Some(Ok(answer)) => match answer.into_inner().result {
                    Some(Wire::Refused(reason)) if reason == not_a_member(self.identity.node_id) => {
                        return Word::Removed(reason);
                    }
                    _ => {}
                },
                Some(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {
                    self.store.peers.fence().note(&status);
                    refusals = refusals.saturating_add(1);
                    refused = Some(status.message().to_owned());
                }
                _ => {}
            }
        }
        match refused {
            Some(reason) if refusals == others => Word::Refused(reason),
            _ => Word::Nothing,
        }
    }
}
