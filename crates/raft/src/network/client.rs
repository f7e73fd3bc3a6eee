//! openraft's way to its peers. Every call has a limit, and names the cluster and the node that it is meant for.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::network::v2::RaftNetworkV2;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory};
use tonic::{Code, Response, Status};
use trireme_rpc::raft;

use super::peers::{Lane, Peers};
use super::twice::{self, Again};
use crate::config::{LogId, Settings, Snapshot, TypeConfig, Vote};
use crate::membership::Member;
use crate::snapshot::blocking;
use crate::snapshot::file::{checksum, read_part};
use crate::storage::Blob;
use crate::wire;

type C = TypeConfig;
type Client = raft::raft_client::RaftClient<tonic::transport::Channel>;

/// A follower's disk may be slow; an append gets longer than openraft's hint, which is a heartbeat.
const APPEND_LIMIT: Duration = Duration::from_secs(2);

/// Makes clients for openraft.
#[derive(Clone)]
pub struct Network {
    peers: Peers,
    /// After so long an append that is not answered goes over a second connection too.
    patience: Duration,
    acknowledged: Acknowledged,
}

/// The last entry that each follower has acknowledged, and under which leadership.
type Acknowledged = Arc<Mutex<BTreeMap<u64, (Vote, LogId)>>>;

impl Network {
    /// Clients over these connections.
    pub fn new(peers: Peers, settings: &Settings) -> Self {
        Self { peers, patience: settings.heartbeat_limit, acknowledged: Arc::default() }
    }

    fn client(&self, target: u64, member: &Member, lane: Lane) -> Peer {
        Peer {
            peers: self.peers.clone(),
            acknowledged: Arc::clone(&self.acknowledged),
            patience: self.patience,
            target,
            address: member.peer_address.clone(),
            lane,
            spare_first: AtomicBool::new(false),
        }
    }
}

impl RaftNetworkFactory<C> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, member: &Member) -> Peer {
        self.client(target, member, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, member: &Member) -> Peer {
        self.client(target, member, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: u64, member: &Member) -> Peer {
        self.client(target, member, Lane::Snapshot)
    }
}

/// One peer, over one lane.
pub struct Peer {
    peers: Peers,
    acknowledged: Acknowledged,
    patience: Duration,
    target: u64,
    address: String,
    lane: Lane,
    /// Of the two connections for appends, the spare one was answered last.
    spare_first: AtomicBool,
}

impl Peer {
    /// What this follower has acknowledged under this leadership.
    fn acknowledged(&self, vote: &Vote) -> Option<LogId> {
        let all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&self.target).filter(|(known, _)| known == vote).map(|(_, id)| *id)
    }

    fn note(&self, vote: Vote, id: Option<LogId>) {
        let Some(id) = id else { return };
        let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(self.target).or_insert((vote, id));
        *known = if known.0 == vote { (vote, known.1.max(id)) } else { (vote, id) };
    }

    fn client(&self) -> Result<Client, RPCError<C>> {
        self.client_on(self.lane)
    }

    fn client_on(&self, lane: Lane) -> Result<Client, RPCError<C>> {
        self.peers
            .raft(&self.address, lane)
            .map_err(|error| RPCError::Unreachable(Unreachable::from_string(error)))
    }

    /// Sends an append: one with entries over two connections, if need be, first over the one that was answered last.
    async fn append(&self, message: raft::AppendRequest) -> Result<Response<raft::AppendResponse>, Status> {
        let unreachable = |error: RPCError<C>| Status::unavailable(error.to_string());
        let mut client = self.client().map_err(unreachable)?;
        if self.lane != Lane::Append {
            return client.append(message).await;
        }
        let spare = self.client_on(Lane::Spare).map_err(unreachable)?;
        let spare_first = self.spare_first.load(Ordering::Relaxed);
        let (first, second) = if spare_first { (spare, client) } else { (client, spare) };
        let again = Again { after: self.patience, limit: APPEND_LIMIT };
        let (answer, by_second) = twice::append(first, second, message, again).await;
        self.spare_first.store(spare_first != by_second, Ordering::Relaxed);
        answer
    }

    async fn limited<T>(
        &self,
        action: RPCTypes,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, RPCError<C>> {
        match tokio::time::timeout(limit, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(&status)),
            Err(_) => Err(RPCError::Timeout(Timeout {
                action,
                id: self.peers.route(0).from,
                target: self.target,
                timeout: limit,
            })),
        }
    }

    fn failure(&self, status: &Status) -> RPCError<C> {
        self.peers.fence().note(status);
        if status.code() == Code::FailedPrecondition {
            tracing::warn!(target_node = self.target, address = %self.address, reason = status.message(), "a peer is not who it should be");
        }
        match status.code() {
            Code::Unavailable | Code::FailedPrecondition | Code::Unimplemented => {
                RPCError::Unreachable(Unreachable::from_string(status.message()))
            }
            _ => RPCError::Network(NetworkError::from_string(status.message())),
        }
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<C>,
        option: &RPCOption,
        pre_vote: bool,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        let message = raft::VoteRequest {
            route: Some(self.peers.route(self.target)),
            vote: Some(wire::vote_to_wire(&request.vote)),
            last: request.last_log_id.map(wire::log_id_to_wire),
            leadership_transfer: request.leadership_transfer,
            pre_vote,
        };
        let mut client = self.client()?;
        let answer = self.limited(RPCTypes::Vote, option.soft_ttl(), client.vote(message)).await?;
        let read = || -> io::Result<VoteResponse<C>> {
            Ok(VoteResponse {
                vote: wire::vote_from_wire(answer.vote)?,
                vote_granted: answer.granted,
                last_log_id: wire::some_log_id(answer.last)?,
            })
        };
        read().map_err(|error| unreadable(&error))
    }
}

fn unreadable(error: &io::Error) -> RPCError<C> {
    RPCError::Network(NetworkError::new(error))
}

impl RaftNetworkV2<C> for Peer {
    type SnapshotData = Blob;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        let message = raft::AppendRequest {
            route: Some(self.peers.route(self.target)),
            vote: Some(wire::vote_to_wire(&request.vote)),
            previous: request.prev_log_id.map(wire::log_id_to_wire),
            entries: request.entries.iter().map(wire::entry_to_wire).collect(),
            committed: request.leader_commit.map(wire::log_id_to_wire),
            acknowledged: self.acknowledged(&request.vote).map(wire::log_id_to_wire),
        };
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let limit = match self.lane {
            Lane::Append => option.soft_ttl().max(APPEND_LIMIT),
            _ => option.soft_ttl(),
        };
        let answer = self.limited(RPCTypes::AppendEntries, limit, self.append(message)).await?;
        let answer = append_result(answer).map_err(|error| unreadable(&error))?;
        match &answer {
            AppendEntriesResponse::Success => self.note(request.vote, last),
            AppendEntriesResponse::PartialSuccess(matched) => self.note(request.vote, *matched),
            _ => {}
        }
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        self.ask_vote(request, &option, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<C>,
        option: RPCOption,
    ) -> Result<VoteResponse<C>, RPCError<C>> {
        self.ask_vote(request, &option, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let unread = |error: io::Error| StreamingError::Network(NetworkError::new(&error));
        let (blob, source) = (Arc::clone(&snapshot.snapshot), snapshot.snapshot);
        let start = raft::SnapshotStart {
            route: Some(self.peers.route(self.target)),
            vote: Some(wire::vote_to_wire(&vote)),
            last: snapshot.meta.last_log_id.map(wire::log_id_to_wire),
            membership: Some(wire::stored_to_wire(&snapshot.meta.last_membership)),
            length: blob.length(),
            crc32c: blocking(move || checksum(&source, 0)).await.map_err(unread)?,
        };
        let mut client = self.client()?;
        let sending =
            self.limited(RPCTypes::InstallSnapshot, option.soft_ttl(), client.snapshot(parts(start, blob)));
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = sending => answer?,
        };
        Ok(SnapshotResponse::new(wire::vote_from_wire(answer.vote).map_err(unread)?))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, RPCError<C>> {
        let message = raft::TransferRequest {
            route: Some(self.peers.route(self.target)),
            from_leader: Some(wire::vote_to_wire(request.from_leader())),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(wire::log_id_to_wire),
        };
        let mut client = self.client()?;
        let limit = option.soft_ttl();
        let answer = self.limited(RPCTypes::TransferLeader, limit, client.transfer_leader(message)).await?;
        if answer.accepted {
            return Ok(Ok(()));
        }
        let read = || -> io::Result<TransferLeaderError<C>> {
            if answer.vote_changed {
                let actual = wire::vote_from_wire(answer.actual_vote)?;
                return Ok(TransferLeaderError::VoteChanged { expected: *request.from_leader(), actual });
            }
            let actual = wire::some_log_id(answer.actual_log)?;
            Ok(TransferLeaderError::LogNotFlushed { expected: request.last_log_id().copied(), actual })
        };
        read().map(Err).map_err(|error| unreadable(&error))
    }
}

fn append_result(answer: raft::AppendResponse) -> io::Result<AppendEntriesResponse<C>> {
    use raft::append_response::Result as Wire;
    match answer.result {
        Some(Wire::Success(_)) => Ok(AppendEntriesResponse::Success),
        Some(Wire::Partial(partial)) => {
            Ok(AppendEntriesResponse::PartialSuccess(wire::some_log_id(partial.matched)?))
        }
        Some(Wire::Conflict(_)) => Ok(AppendEntriesResponse::Conflict),
        Some(Wire::HigherVote(vote)) => {
            Ok(AppendEntriesResponse::HigherVote(wire::vote_from_wire(Some(vote))?))
        }
        None => Err(crate::error::corrupt("an append was answered with nothing")),
    }
}

/// The parts of a snapshot file. A failing read ends the stream early; the receiver then misses its length.
fn parts(
    start: raft::SnapshotStart,
    blob: Blob,
) -> impl futures_util::Stream<Item = raft::SnapshotPart> + Send {
    use raft::snapshot_part::Part;
    let first = raft::SnapshotPart { part: Some(Part::Start(start)) };
    let rest = stream::unfold(0u64, move |offset| {
        let blob = Arc::clone(&blob);
        async move {
            if offset >= blob.length() {
                return None;
            }
            let bytes = blocking(move || read_part(&blob, offset)).await.ok()?;
            let next = offset.saturating_add(bytes.len() as u64);
            Some((raft::SnapshotPart { part: Some(Part::Chunk(bytes)) }, next))
        }
    });
    futures_util::StreamExt::chain(stream::iter([first]), rest)
}
