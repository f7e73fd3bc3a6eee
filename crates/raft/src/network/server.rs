//! The Raft service: what peers send goes to openraft, if it is meant for this node of this cluster.

use std::cmp::Ordering::{Equal, Greater};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, VoteRequest,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use trireme_rpc::raft;
use trireme_types::planted;

use crate::config::{LogId, Raft, Snapshot, SnapshotMeta, TypeConfig};
use crate::fault::Fault;
use crate::log::store::LogWatch;
use crate::machine::View;
use crate::network::fence::Fence;
use crate::snapshot::file::CHUNK;
use crate::snapshot::{Snapshots, blocking};
use crate::wire;

/// The longest silence within a snapshot.
const PART_LIMIT: Duration = Duration::from_secs(10);

/// The Raft service of one node.
#[derive(Clone)]
pub struct RaftService {
    pub(crate) raft: Raft,
    pub(crate) fence: Fence,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) log: LogWatch,
    pub(crate) fault: Fault,
    /// Rises with each message of a leader.
    pub(crate) heard: Arc<AtomicU64>,
}

impl RaftService {
    fn check(&self, route: Option<raft::Route>) -> Result<u64, Status> {
        let route =
            route.ok_or_else(|| Status::invalid_argument("the request names no cluster and no node"))?;
        self.fence.check(&route.cluster_id)?;
        let own = self.fence.identity().node_id;
        if route.to != own {
            let text = format!("this is node {own}, the request is for node {}", route.to);
            return Err(Status::failed_precondition(text));
        }
        Ok(route.from)
    }
}

impl RaftService {
    /// Stops this node when what the leader sends cannot be true together with what is applied here: openraft takes an
    /// entry that is committed here for the same as the leader's, and the node would stay different for ever.
    fn check_agreement(
        &self,
        request: &AppendEntriesRequest<TypeConfig>,
        acknowledged: Option<LogId>,
    ) -> Result<(), Status> {
        // The vote is read last: it is at least that under which the rest came about.
        let applied = self.view.borrow().log_id;
        let last = self.log.written().last;
        let vote = self.log.written().vote;
        if vote.is_some_and(|vote| !matches!(request.vote.partial_cmp(&vote), Some(Equal | Greater))) {
            return Ok(());
        }
        let found = if last < acknowledged {
            let show = |id: Option<LogId>| id.map_or_else(|| "nothing".to_owned(), |id| id.to_string());
            let (last, acknowledged) = (show(last), show(acknowledged));
            Some(format!("the log ends at {last}, but {acknowledged} was acknowledged to the leader"))
        } else {
            let entries = request.entries.iter().map(|entry| entry.log_id);
            let named = request.prev_log_id.into_iter().chain(entries).chain(request.leader_commit);
            let mut named = named.filter(|id| applied.is_some_and(|applied| id.index <= applied.index));
            named
                .find_map(|theirs| self.contradiction(applied, theirs).transpose())
                .transpose()
                .map_err(|error| Status::internal(error.to_string()))?
        };
        let Some(found) = found else { return Ok(()) };
        let text =
            format!("{found}: this node or the leader has lost what it had; remove it and join it anew");
        self.fault.raise(text.clone());
        Err(Status::data_loss(text))
    }

    /// What is wrong with an entry of the leader at or before the last one applied here.
    fn contradiction(&self, applied: Option<LogId>, theirs: LogId) -> std::io::Result<Option<String>> {
        let ours = match applied {
            Some(applied) if applied.index == theirs.index => Some(applied),
            // Of entries that are purged only the order is known.
            Some(applied) if theirs > applied => Some(applied),
            _ => self.log.id_at(theirs.index)?,
        };
        let differs = ours.filter(|ours| *ours != theirs);
        Ok(differs.map(|ours| format!("the leader has {theirs} where {ours} is applied here")))
    }
}

fn bad(error: std::io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("raft has stopped: {error}"))
}

#[tonic::async_trait]
impl raft::raft_server::Raft for RaftService {
    async fn append(
        &self,
        request: Request<raft::AppendRequest>,
    ) -> Result<Response<raft::AppendResponse>, Status> {
        use raft::append_response::Result as Wire;
        let request = request.into_inner();
        self.check(request.route)?;
        let acknowledged = wire::some_log_id(request.acknowledged).map_err(bad)?;
        let entries = request.entries.into_iter().map(wire::entry_from_wire);
        let request = AppendEntriesRequest {
            vote: wire::vote_from_wire(request.vote).map_err(bad)?,
            prev_log_id: wire::some_log_id(request.previous).map_err(bad)?,
            entries: entries.collect::<Result<_, _>>().map_err(bad)?,
            leader_commit: wire::some_log_id(request.committed).map_err(bad)?,
        };
        self.check_agreement(&request, acknowledged)?;
        self.heard.fetch_add(1, Ordering::Relaxed);
        if planted::is("append-answered-before-it-is-written") && !request.entries.is_empty() {
            let raft = self.raft.clone();
            tokio::spawn(async move { raft.append_entries(request).await });
            return Ok(Response::new(raft::AppendResponse { result: Some(Wire::Success(raft::Empty {})) }));
        }
        let result = match self.raft.append_entries(request).await.map_err(stopped)? {
            AppendEntriesResponse::Success => Wire::Success(raft::Empty {}),
            AppendEntriesResponse::PartialSuccess(matched) => {
                Wire::Partial(raft::Partial { matched: matched.map(wire::log_id_to_wire) })
            }
            AppendEntriesResponse::Conflict => Wire::Conflict(raft::Empty {}),
            AppendEntriesResponse::HigherVote(vote) => Wire::HigherVote(wire::vote_to_wire(&vote)),
        };
        Ok(Response::new(raft::AppendResponse { result: Some(result) }))
    }

    async fn vote(
        &self,
        request: Request<raft::VoteRequest>,
    ) -> Result<Response<raft::VoteResponse>, Status> {
        let request = request.into_inner();
        self.check(request.route)?;
        let mut ask = VoteRequest::new(
            wire::vote_from_wire(request.vote).map_err(bad)?,
            wire::some_log_id(request.last).map_err(bad)?,
        );
        ask.leadership_transfer = request.leadership_transfer;
        let answer = if request.pre_vote { self.raft.pre_vote(ask).await } else { self.raft.vote(ask).await };
        let answer = answer.map_err(stopped)?;
        Ok(Response::new(raft::VoteResponse {
            vote: Some(wire::vote_to_wire(&answer.vote)),
            granted: answer.vote_granted,
            last: answer.last_log_id.map(wire::log_id_to_wire),
        }))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<raft::SnapshotPart>>,
    ) -> Result<Response<raft::SnapshotResponse>, Status> {
        let mut stream = request.into_inner();
        let Some(raft::snapshot_part::Part::Start(start)) = next_part(&mut stream).await? else {
            return Err(Status::invalid_argument("a snapshot starts with what it covers"));
        };
        let from = self.check(start.route.clone())?;
        tracing::info!(from, bytes = start.length, "receiving a snapshot");
        let vote = wire::vote_from_wire(start.vote).map_err(bad)?;
        let meta = SnapshotMeta {
            last_log_id: wire::some_log_id(start.last).map_err(bad)?,
            last_membership: wire::stored_from_wire(start.membership.clone()).map_err(bad)?,
        };
        let blob = self.receive(&mut stream, &start).await?;
        let (snapshots, received, announced) = (Arc::clone(&self.snapshots), Arc::clone(&blob), meta.clone());
        if let Err(error) = blocking(move || snapshots.admit(&received, &announced)).await {
            tracing::error!(from, %error, "the leader's snapshot is damaged");
            return Err(Status::data_loss(format!("the snapshot is damaged: {error}")));
        }
        let answer = self.raft.install_full_snapshot(vote, Snapshot { meta, snapshot: blob }).await;
        let answer = answer.map_err(stopped)?;
        Ok(Response::new(raft::SnapshotResponse { vote: Some(wire::vote_to_wire(&answer.vote)) }))
    }

    async fn transfer_leader(
        &self,
        request: Request<raft::TransferRequest>,
    ) -> Result<Response<raft::TransferResponse>, Status> {
        let request = request.into_inner();
        self.check(request.route)?;
        let ask = TransferLeaderRequest::new(
            wire::vote_from_wire(request.from_leader).map_err(bad)?,
            request.to,
            wire::some_log_id(request.last).map_err(bad)?,
        );
        let answer = self.raft.handle_transfer_leader(ask).await.map_err(stopped)?;
        Ok(Response::new(match answer {
            Ok(()) => raft::TransferResponse { accepted: true, ..Default::default() },
            Err(error) => refused_transfer(&error),
        }))
    }
}

fn refused_transfer(error: &TransferLeaderError<crate::config::TypeConfig>) -> raft::TransferResponse {
    let reason = error.to_string();
    match error {
        TransferLeaderError::VoteChanged { actual, .. } => raft::TransferResponse {
            reason,
            vote_changed: true,
            actual_vote: Some(wire::vote_to_wire(actual)),
            ..Default::default()
        },
        TransferLeaderError::LogNotFlushed { actual, .. } => raft::TransferResponse {
            reason,
            actual_log: actual.map(wire::log_id_to_wire),
            ..Default::default()
        },
    }
}

impl RaftService {
    /// Writes the file that follows into a temporary one, and checks that it came whole.
    async fn receive(
        &self,
        stream: &mut Streaming<raft::SnapshotPart>,
        start: &raft::SnapshotStart,
    ) -> Result<crate::storage::Blob, Status> {
        let failed = |error: std::io::Error| Status::internal(format!("cannot store the snapshot: {error}"));
        let mut writer = self.snapshots.receive().map_err(failed)?;
        let mut length = 0u64;
        let mut sum = 0u32;
        while let Some(part) = next_part(stream).await? {
            let raft::snapshot_part::Part::Chunk(bytes) = part else {
                return Err(Status::invalid_argument("a snapshot starts only once"));
            };
            length = length.saturating_add(bytes.len() as u64);
            if bytes.len() > CHUNK || length > start.length {
                return Err(Status::invalid_argument("the snapshot is longer than announced"));
            }
            sum = crc32c::crc32c_append(sum, &bytes);
            let write = move || writer.write(&bytes).map(|()| writer);
            writer = blocking(write).await.map_err(failed)?;
        }
        if length != start.length || sum != start.crc32c {
            return Err(Status::data_loss("the snapshot did not come whole"));
        }
        blocking(move || writer.finish()).await.map_err(failed)
    }
}

async fn next_part(
    stream: &mut Streaming<raft::SnapshotPart>,
) -> Result<Option<raft::snapshot_part::Part>, Status> {
    let part = tokio::time::timeout(PART_LIMIT, stream.message()).await;
    let part = part.map_err(|_| Status::deadline_exceeded("the snapshot stopped coming"))??;
    Ok(part.and_then(|part| part.part))
}
