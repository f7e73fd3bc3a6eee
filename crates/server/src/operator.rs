//! What the operator's verbs ask: the cluster at a glance, one service, the history and how much of it is kept. Answered from what this node has applied.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use trireme_dispatcher::{Heard, HeartbeatTable};
use trireme_raft::RaftStore;
use trireme_raft::node::Node;
use trireme_rpc::channel::FromAgent;
use trireme_rpc::operator::operator_server::Operator;
use trireme_rpc::operator::{
    self, AddSubnetRequest, BackupRequest, ClusterStatusRequest, ClusterStatusResponse, EventRecord,
    EventsRequest, ExecRequest, LogsRequest, LogsResponse, RemoveSubnetRequest, RemoveSubnetResponse,
    RetentionRequest, RetentionResponse, ServiceStatusRequest, ServiceStatusResponse, ServiceSummary,
    ServiceTasks, SetClusterRequest, SetClusterResponse, SetRetentionRequest, SubnetsRequest,
    SubnetsResponse, TaskCount, TopRequest, TopResponse, VerifyRequest, VerifyResponse,
};
use trireme_state::State;
use trireme_state::object::{
    ContainerInstance, InstanceStatus, Service, ServiceStatus, TaskSetStatus, TaskStatus,
};
use trireme_state::store::Store;
use trireme_types::{ContainerInstanceId, Sequence, Timestamp};

use crate::channels::Channels;
use crate::{backup, cluster, exec, logs, record, recovery, retention, subnets, top};

/// Records of one read of the history.
const PART: usize = 256;
/// Records that wait for a slow reader.
const AHEAD: usize = 64;

/// The operator's service on one control node.
#[derive(Clone)]
pub(crate) struct OperatorService {
    pub(crate) node: Node,
    pub(crate) heartbeats: Arc<HeartbeatTable>,
    pub(crate) channels: Channels,
    pub(crate) stop: CancellationToken,
    /// Of this binary.
    pub(crate) version: &'static str,
}

pub(crate) type Heartbeats = BTreeMap<ContainerInstanceId, Heard>;

impl OperatorService {
    fn status(&self) -> (operator::Node, Vec<operator::Member>) {
        let status = self.node.status();
        let (identity, agreement) = (self.node.identity(), self.node.agreement());
        let node = operator::Node {
            id: status.node_id,
            zone: status.zone,
            cluster_uuid: identity.cluster.to_string(),
            role: status.role,
            leader_id: status.leader_id,
            term: status.term,
            applied_index: status.applied_index,
            applied_sequence: status.applied_sequence,
            has_quorum: status.has_quorum,
            deciding: self.node.store().leadership().deciding,
            membership_changing: status.membership_changing,
            disk_free_bytes: status.disk_free_bytes,
            feature_level: status.feature_level,
            incarnation: identity.incarnation,
            agreed_sequence: agreement.sequence.map(Sequence::get),
            state_differs: agreement.differs,
        };
        let members = status.members.into_iter().filter_map(|status| {
            let member = status.member?;
            Some(operator::Member {
                id: member.id,
                zone: member.zone,
                grpc_address: member.peer_address,
                api_address: member.api_address,
                voter: status.voter,
                heard_millis_ago: status.heard_millis_ago,
            })
        });
        (node, members.collect())
    }
}

#[tonic::async_trait]
impl Operator for OperatorService {
    type EventsStream = ReceiverStream<Result<EventRecord, Status>>;
    type ExecStream = ReceiverStream<Result<FromAgent, Status>>;
    type LogsStream = ReceiverStream<Result<LogsResponse, Status>>;
    type BackupStream = Pin<Box<dyn Stream<Item = backup::Sent> + Send>>;

    async fn cluster_status(
        &self,
        _: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        let (node, members) = self.status();
        let status = of_state(&self.node.store().view(), &self.heartbeats.snapshot());
        Ok(Response::new(ClusterStatusResponse { node: Some(node), members, ..status }))
    }

    async fn service_status(
        &self,
        request: Request<ServiceStatusRequest>,
    ) -> Result<Response<ServiceStatusResponse>, Status> {
        let request = request.into_inner();
        // Before the state: a leader that is deposed in between has at worst an older state than it says.
        let (node, _) = self.status();
        let state = self.node.store().view();
        let named = |service: &&Arc<Service>| {
            service.key.name.as_str() == request.name && service.key.cluster.name.as_str() == request.cluster
        };
        // The living one, when an account or region has a deleted one of that name.
        let service =
            state.services().filter(named).min_by_key(|service| service.status != ServiceStatus::Active);
        let tasks = service.map(|service| running_by_instance(&state, service, &self.heartbeats.snapshot()));
        Ok(Response::new(ServiceStatusResponse {
            node: Some(node),
            service: service.map(|service| to_service(&state, service)),
            tasks: tasks.unwrap_or_default(),
        }))
    }

    async fn top(&self, request: Request<TopRequest>) -> Result<Response<TopResponse>, Status> {
        let store = self.node.store();
        let usage = Arc::clone(self.channels.dispatcher.usage());
        let complete = store.leadership().deciding && self.node.status().has_quorum;
        let look = move || top::answer(&store.view(), &usage, complete, &request.into_inner());
        let answer = tokio::task::spawn_blocking(look).await;
        answer.map_err(|error| Status::internal(error.to_string()))?.map(Response::new)
    }

    async fn events(&self, request: Request<EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        let request = request.into_inner();
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (store, stop) = (self.node.store(), self.stop.clone());
        tokio::spawn(async move {
            let from = (request.from_sequence > 0).then(|| Sequence::new(request.from_sequence));
            tokio::select! {
                () = send_history(&store, from, request.follow, &sender) => {}
                () = stop.cancelled() => {}
                () = sender.closed() => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn retention(&self, _: Request<RetentionRequest>) -> Result<Response<RetentionResponse>, Status> {
        Ok(Response::new(retention::show(&self.node)))
    }

    async fn set_retention(
        &self,
        request: Request<SetRetentionRequest>,
    ) -> Result<Response<RetentionResponse>, Status> {
        retention::set(&self.node, &request.into_inner()).await.map(Response::new)
    }

    async fn set_cluster(
        &self,
        request: Request<SetClusterRequest>,
    ) -> Result<Response<SetClusterResponse>, Status> {
        cluster::set(&self.node, &request.into_inner()).await.map(Response::new)
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let parts = backup::make(&self.node, self.version, request.into_inner())?;
        Ok(Response::new(Box::pin(parts)))
    }

    async fn exec(
        &self,
        request: Request<Streaming<ExecRequest>>,
    ) -> Result<Response<Self::ExecStream>, Status> {
        let frames = Box::pin(exec::run(&self.channels, request)).await?;
        Ok(Response::new(ReceiverStream::new(frames)))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let lines = logs::run(&self.channels, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(lines)))
    }

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        let report = self.node.verify().await.map_err(|error| backup::refusal(&error))?;
        Ok(Response::new(recovery::to_wire(report)))
    }

    async fn subnets(&self, _: Request<SubnetsRequest>) -> Result<Response<SubnetsResponse>, Status> {
        Ok(Response::new(subnets::list(&self.node.store().view())))
    }

    async fn add_subnet(
        &self,
        request: Request<AddSubnetRequest>,
    ) -> Result<Response<operator::Subnet>, Status> {
        subnets::add(&self.node.store(), &request.into_inner()).await.map(Response::new)
    }

    async fn remove_subnet(
        &self,
        request: Request<RemoveSubnetRequest>,
    ) -> Result<Response<RemoveSubnetResponse>, Status> {
        subnets::remove(&self.node.store(), &request.into_inner()).await?;
        Ok(Response::new(RemoveSubnetResponse {}))
    }
}

/// What a state has to say of the cluster. Who was heard is not in it.
pub(crate) fn of_state(state: &State, heartbeats: &Heartbeats) -> ClusterStatusResponse {
    let tasks = state.index().task_counts().map(|(zone, status, count)| TaskCount {
        zone: zone.to_string(),
        status: status.as_str().to_owned(),
        count,
    });
    ClusterStatusResponse {
        node: None,
        members: Vec::new(),
        instances: state.instances().map(|instance| to_instance(state, instance, heartbeats)).collect(),
        tasks: tasks.collect(),
        services: state.services().map(|service| to_service(state, service)).collect(),
    }
}

/// Sends the history until its end, or on and on: from a given record, else from the first that is kept.
async fn send_history(
    store: &RaftStore,
    from: Option<Sequence>,
    follow: bool,
    sender: &mpsc::Sender<Result<EventRecord, Status>>,
) {
    let mut changes = store.watch();
    let mut next = from.unwrap_or(Sequence::new(1));
    let mut open = from.is_none();
    loop {
        let records = match store.records(next, PART).await {
            Ok(records) => records,
            Err(trireme_raft::Error::Trimmed { first, .. }) if open && first > next => {
                next = first;
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, from = next.get(), "cannot read the history for an operator");
                let _reader_gone = sender.send(Err(refusal(&error))).await;
                return;
            }
        };
        open &= records.is_empty();
        for record in &records {
            if sender.send(Ok(record::to_wire(record))).await.is_err() {
                return;
            }
            next = record.sequence.next();
        }
        if records.is_empty() && (!follow || changes.next().await.is_none()) {
            return;
        }
    }
}

/// A reader that is overtaken by the trimming learns so: there is no silent hole.
fn refusal(error: &trireme_raft::Error) -> Status {
    match error {
        trireme_raft::Error::Trimmed { .. } => Status::out_of_range(error.to_string()),
        _ => Status::unavailable(error.to_string()),
    }
}

fn to_instance(state: &State, instance: &ContainerInstance, heartbeats: &Heartbeats) -> operator::Instance {
    let load = state.index().instance_load(instance.id);
    // Under an older epoch it was a session that is over.
    let heard = heartbeats.get(&instance.id).filter(|heard| heard.epoch >= instance.epoch);
    operator::Instance {
        id: instance.id.to_string(),
        cluster: instance.registration.cluster.name.as_str().to_owned(),
        name: instance.registration.name.clone(),
        zone: instance.registration.zone.to_string(),
        active: instance.status == InstanceStatus::Active,
        connected: state.is_present(instance),
        running_tasks: load.running,
        pending_tasks: load.pending,
        absent_until_ms: state.absence(instance.id).map(Timestamp::millis),
        silent_for_ms: heard.map(|heard| u64::try_from(heard.age.as_millis()).unwrap_or(u64::MAX)),
    }
}

pub(crate) fn to_service(state: &State, service: &Service) -> ServiceSummary {
    let load = state.index().service_load(&service.key);
    let counts = load.counts();
    let definition = &service.spec.task_definition;
    let mut desired = service.spec.desired_count;
    let mut deployments = state.listed_deployments(service, &load).count();
    if let Some(sets) = state.task_sets(&service.key) {
        // What all of them are to keep; and one deployment, unless one of them is on its way out.
        let of_sets = sets.sets.iter().map(|set| set.computed_desired_count(service.spec.desired_count));
        desired = of_sets.fold(0, u32::saturating_add);
        let draining = sets.sets.iter().filter(|set| set.status == TaskSetStatus::Draining).count();
        deployments = draining.saturating_add(1);
    }
    ServiceSummary {
        cluster: service.key.cluster.name.as_str().to_owned(),
        name: service.key.name.as_str().to_owned(),
        status: match service.status {
            ServiceStatus::Active => "ACTIVE",
            ServiceStatus::Draining => "DRAINING",
            ServiceStatus::Inactive => "INACTIVE",
        }
        .to_owned(),
        desired,
        running: counts.running,
        pending: counts.pending,
        deployments: u32::try_from(deployments).unwrap_or(u32::MAX),
        task_definition: match definition.is_none() {
            true => "-".to_owned(),
            false => format!("{}:{}", definition.family.as_str(), definition.revision),
        },
    }
}

fn running_by_instance(state: &State, service: &Service, heartbeats: &Heartbeats) -> Vec<ServiceTasks> {
    let mut counts: BTreeMap<ContainerInstanceId, u32> = BTreeMap::new();
    for task in state.tasks_of_service(&service.key) {
        if task.last_status == TaskStatus::Running {
            let count = counts.entry(task.instance).or_default();
            *count = count.saturating_add(1);
        }
    }
    let on = |(id, running)| {
        let instance = state.instance(id).map(|instance| to_instance(state, instance, heartbeats));
        ServiceTasks { instance, running }
    };
    counts.into_iter().map(on).collect()
}
