//! The control service: what control nodes ask of each other beside Raft, and the operator's verbs.

pub(crate) mod history;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::Instant;
use openraft::async_runtime::WatchReceiver;
use tonic::{Request, Response, Status};
use trireme_rpc::{control, convert, log};
use trireme_state::{Command, FeatureLevel, codec};
use trireme_types::{ContainerInstanceId, Sequence, SessionEpoch};

use crate::checkpoint::transfer;
use crate::clock::Clock;
use crate::config::{Raft, Settings};
use crate::decider::Refusal;
use crate::history::History;
use crate::identity::Identity;
use crate::log::store::LogWatch;
use crate::machine::View;
use crate::membership::{Keeper, Member, Refused, heard};
use crate::outflow::STALLED;
use crate::read::Reader;
use crate::store::{RaftStore, within};
use crate::vitals::Vitals;
use crate::wire;
use history::Reading;

/// A heartbeat of an agent that another control node heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayedHeartbeat {
    /// Whose.
    pub instance: ContainerInstanceId,
    /// Under which session.
    pub epoch: SessionEpoch,
    /// How long ago it was heard.
    pub age: Duration,
}

/// Takes what other control nodes relay; the server implements it over its tables.
pub trait RelaySink: Send + Sync + 'static {
    /// Notes heartbeats that `from` heard. Called on the leader only.
    fn heartbeats(&self, from: u64, heartbeats: &[RelayedHeartbeat]);

    /// Notes what tasks use. Called on the leader only.
    fn usage(&self, tasks: &[control::relay_usage_request::Task]);

    /// Notes samples of metrics that another node took.
    fn metrics(&self, relayed: &control::RelayMetricsRequest);

    /// What is kept of metrics: a page of those after one.
    fn copy_metrics(&self, after: Option<&control::Metric>) -> control::CopyMetricsResponse;
}

/// The control service of one node.
#[derive(Clone)]
pub struct ControlService {
    pub(crate) raft: Raft,
    pub(crate) identity: Identity,
    pub(crate) store: RaftStore,
    pub(crate) reader: Reader,
    pub(crate) keeper: Keeper,
    pub(crate) history: Arc<History>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) sink: Arc<std::sync::OnceLock<Arc<dyn RelaySink>>>,
    pub(crate) vitals: Vitals,
    pub(crate) log: LogWatch,
}

impl ControlService {
    fn not_leader(&self) -> control::NotLeader {
        let leader = self.store.leader.borrow();
        control::NotLeader {
            leader: leader.leadership.leader.map_or(0, |id| id.get()),
            peer_address: leader.address.clone().unwrap_or_default(),
        }
    }

    fn check(&self, cluster: &[u8]) -> Result<(), Status> {
        self.store.peers.fence().check(cluster)
    }

    /// What this node knows of itself and the others; it needs no quorum.
    pub fn status(&self) -> control::StatusResponse {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let view: Arc<View> = self.store.applied();
        let membership = metrics.membership_config.membership();
        let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
        let members = membership.nodes().map(|(id, member)| control::MemberStatus {
            member: Some(wire::member_to_wire(*id, member)),
            voter: voters.contains(id),
            heard_millis_ago: heard(&metrics, *id)
                .map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX)),
            matched_index: metrics
                .replication
                .as_ref()
                .and_then(|all| all.get(id).copied().flatten())
                .map(|id| id.index),
        });
        let zone = membership.get_node(&self.identity.node_id).map(|member| member.zone.clone());
        let lease = self.settings.election_max;
        let is_leader = metrics.state.is_leader();
        let last = self.log.written().last;
        let acked = metrics.last_quorum_acked.as_ref().is_some_and(|acked| acked.elapsed() < lease);
        control::StatusResponse {
            node_id: self.identity.node_id,
            zone: zone.unwrap_or_default(),
            cluster_id: convert::cluster_to_bytes(self.identity.cluster),
            incarnation: self.identity.incarnation,
            role: format!("{:?}", metrics.state).to_lowercase(),
            leader_id: metrics.current_leader.unwrap_or(0),
            term: metrics.current_term,
            last_log_index: last.map_or(0, |id| id.index),
            last_log_term: last.map_or(0, |id| id.leader_id.term),
            applied_index: view.index(),
            applied_sequence: view.state.position().sequence.get(),
            members: members.collect(),
            now_millis: self.clock.wall().millis(),
            snapshot_index: metrics.snapshot.map_or(0, |id| id.index),
            has_quorum: is_leader && (acked || voters.len() == 1),
            membership_changing: membership.get_joint_config().len() > 1,
            disk_free_bytes: self.vitals.free(),
            supported_level: self.vitals.supports.get(),
            feature_level: view.state.level().get(),
            state_hashes: self.vitals.hashes.to_wire(),
        }
    }
}

type Records = Pin<Box<dyn Stream<Item = Result<log::HistoryRecord, Status>> + Send>>;
type Parts = Pin<Box<dyn Stream<Item = Result<control::CheckpointPart, Status>> + Send>>;

#[tonic::async_trait]
impl control::control_server::Control for ControlService {
    async fn propose(
        &self,
        request: Request<control::ProposeRequest>,
    ) -> Result<Response<control::ProposeResponse>, Status> {
        use control::propose_response::Result as Wire;
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let proposal = codec::decode_proposal(&request.proposal)
            .map(Box::new)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        if matches!(proposal.command, Command::RaiseFeatureLevel { .. } | Command::RecordRestore { .. }) {
            // Only the leader's own look at every node, or the operator at a node that is not running, may lead to it.
            return Err(Status::invalid_argument("this is not done on request"));
        }
        let limit = Duration::from_millis(request.limit_millis.into()).min(self.settings.propose_limit);
        let unknown = |reason: &str| Wire::Unknown(control::Unknown { reason: reason.to_owned() });
        let result = match within(limit, self.store.decide_here(proposal)).await {
            Some(Ok(committed)) => Wire::Success(control::Success {
                outcome: codec::encode_outcome(&committed.outcome).into(),
                sequence: committed.sequence.get(),
            }),
            Some(Err(Refusal::Rejected(rejection))) => {
                Wire::Rejection(codec::encode_rejection(&rejection).into())
            }
            Some(Err(Refusal::Unknown(reason))) => unknown(&reason),
            Some(Err(Refusal::NotDeciding)) => Wire::NotLeader(self.not_leader()),
            None => unknown("it was not committed in time"),
        };
        Ok(Response::new(control::ProposeResponse { result: Some(result) }))
    }

    async fn read_index(
        &self,
        request: Request<control::ReadIndexRequest>,
    ) -> Result<Response<control::ReadIndexResponse>, Status> {
        use control::read_index_response::Result as Wire;
        self.check(&request.into_inner().cluster_id)?;
        let leading = self.raft.metrics().borrow_watched().current_leader == Some(self.identity.node_id);
        let result = if leading {
            match self.reader.index().await {
                Ok(index) => Wire::Index(index),
                Err(reason) => Wire::Unknown(control::Unknown { reason }),
            }
        } else {
            Wire::NotLeader(self.not_leader())
        };
        Ok(Response::new(control::ReadIndexResponse { result: Some(result) }))
    }

    async fn status(
        &self,
        _request: Request<control::StatusRequest>,
    ) -> Result<Response<control::StatusResponse>, Status> {
        Ok(Response::new(ControlService::status(self)))
    }

    type HistoryStream = Records;

    async fn history(&self, request: Request<control::HistoryRequest>) -> Result<Response<Records>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let reading = Reading {
            history: Arc::clone(&self.history),
            view: self.store.watch_applied(),
            next: request.from_sequence.max(1),
            left: if request.limit == 0 { u64::MAX } else { request.limit },
            follow: request.follow,
        };
        Ok(Response::new(Box::pin(reading.stream())))
    }

    type CheckpointStream = Parts;

    async fn checkpoint(
        &self,
        request: Request<control::CheckpointRequest>,
    ) -> Result<Response<Parts>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let (start, last) = (self.history.extent().start.sequence, Sequence::new(request.last));
        let parts = transfer::send(Arc::clone(&self.store.checkpoints), start, last, STALLED).await?;
        Ok(Response::new(Box::pin(parts)))
    }

    async fn join(
        &self,
        request: Request<control::JoinRequest>,
    ) -> Result<Response<control::JoinResponse>, Status> {
        use control::join_response::Result as Wire;
        let request = request.into_inner();
        if !request.cluster_id.is_empty() {
            self.check(&request.cluster_id)?;
        }
        let member = Member {
            zone: request.zone,
            peer_address: request.peer_address,
            api_address: request.api_address,
            token: request.token,
        };
        let supported = FeatureLevel::new(request.supported_level);
        let result = match within(self.settings.call_limit, self.keeper.join(member, supported)).await {
            Some(Ok(node_id)) => Wire::Joined(control::Joined {
                cluster_id: convert::cluster_to_bytes(self.identity.cluster),
                incarnation: self.identity.incarnation,
                node_id,
            }),
            Some(Err(Refused::NotLeader)) => Wire::NotLeader(self.not_leader()),
            Some(Err(Refused::Because(reason))) => Wire::Refused(reason),
            None => return Err(Status::deadline_exceeded("the cluster did not commit it in time")),
        };
        Ok(Response::new(control::JoinResponse { result: Some(result) }))
    }

    async fn promote(
        &self,
        request: Request<control::PromoteRequest>,
    ) -> Result<Response<control::PromoteResponse>, Status> {
        use control::promote_response::Result as Wire;
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let result = match within(self.settings.call_limit, self.keeper.promote(request.node_id)).await {
            Some(Ok(())) => Wire::Done(control::Done {}),
            Some(Err(Refused::NotLeader)) => Wire::NotLeader(self.not_leader()),
            Some(Err(Refused::Because(reason))) => Wire::Refused(reason),
            None => return Err(Status::deadline_exceeded("the cluster did not commit it in time")),
        };
        Ok(Response::new(control::PromoteResponse { result: Some(result) }))
    }

    async fn leave(
        &self,
        request: Request<control::LeaveRequest>,
    ) -> Result<Response<control::LeaveResponse>, Status> {
        use control::leave_response::Result as Wire;
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let result = match within(self.settings.call_limit, self.keeper.leave(request.node_id)).await {
            Some(Ok(())) => Wire::Done(control::Done {}),
            Some(Err(Refused::NotLeader)) => Wire::NotLeader(self.not_leader()),
            Some(Err(Refused::Because(reason))) => Wire::Refused(reason),
            None => return Err(Status::deadline_exceeded("the cluster did not commit it in time")),
        };
        Ok(Response::new(control::LeaveResponse { result: Some(result) }))
    }

    async fn handover(
        &self,
        request: Request<control::HandoverRequest>,
    ) -> Result<Response<control::HandoverResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let to = (request.to != 0).then_some(request.to);
        let leader = match self.keeper.handover(to).await {
            Ok(leader) => leader,
            Err(Refused::NotLeader) => self.not_leader().leader,
            Err(Refused::Because(reason)) => return Err(Status::failed_precondition(reason)),
        };
        Ok(Response::new(control::HandoverResponse { leader }))
    }

    async fn relay_heartbeats(
        &self,
        request: Request<control::RelayHeartbeatsRequest>,
    ) -> Result<Response<control::RelayHeartbeatsResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let deciding = self.store.leader.borrow().leadership.deciding;
        let Some(sink) = self.sink.get().filter(|_| deciding) else {
            return Ok(Response::new(control::RelayHeartbeatsResponse { accepted: false }));
        };
        let heartbeats: Result<Vec<_>, Status> = request.heartbeats.iter().map(relayed).collect();
        sink.heartbeats(request.from, &heartbeats?);
        Ok(Response::new(control::RelayHeartbeatsResponse { accepted: true }))
    }

    async fn relay_usage(
        &self,
        request: Request<control::RelayUsageRequest>,
    ) -> Result<Response<control::RelayUsageResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let deciding = self.store.leader.borrow().leadership.deciding;
        let sink = self.sink.get().filter(|_| deciding);
        if let Some(sink) = sink {
            sink.usage(&request.tasks);
        }
        Ok(Response::new(control::RelayUsageResponse { accepted: sink.is_some() }))
    }

    async fn relay_metrics(
        &self,
        request: Request<control::RelayMetricsRequest>,
    ) -> Result<Response<control::RelayMetricsResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let sink = self.sink.get();
        if let Some(sink) = sink {
            sink.metrics(&request);
        }
        Ok(Response::new(control::RelayMetricsResponse { accepted: sink.is_some() }))
    }

    async fn copy_metrics(
        &self,
        request: Request<control::CopyMetricsRequest>,
    ) -> Result<Response<control::CopyMetricsResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.cluster_id)?;
        let sink = self.sink.get().ok_or_else(|| Status::unavailable("this node keeps no metrics yet"))?;
        Ok(Response::new(sink.copy_metrics(request.after.as_ref())))
    }
}

fn relayed(heartbeat: &control::relay_heartbeats_request::Heartbeat) -> Result<RelayedHeartbeat, Status> {
    let instance = heartbeat.container_instance_id.parse();
    Ok(RelayedHeartbeat {
        instance: instance
            .map_err(|error: trireme_types::IdError| Status::invalid_argument(error.to_string()))?,
        epoch: SessionEpoch::new(heartbeat.epoch),
        age: Duration::from_millis(heartbeat.age_ms.into()),
    })
}
