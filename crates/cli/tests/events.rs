//! `trireme events` before control nodes whose streams break.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use trireme_cli::events::{EventsArgs, run};
use trireme_cli::target::TargetArgs;
use trireme_rpc::channel::FromAgent;
use trireme_rpc::operator::operator_server::{Operator, OperatorServer};
use trireme_rpc::operator::{
    AddSubnetRequest, BackupPart, BackupRequest, ClusterStatusRequest, ClusterStatusResponse, EventRecord,
    EventsRequest, ExecRequest, LogsRequest, LogsResponse, Member, Node, RemoveSubnetRequest,
    RemoveSubnetResponse, RetentionRequest, RetentionResponse, ServiceStatusRequest, ServiceStatusResponse,
    SetClusterRequest, SetClusterResponse, SetRetentionRequest, Subnet, SubnetsRequest, SubnetsResponse,
    TopRequest, TopResponse, VerifyRequest, VerifyResponse,
};

/// A control node that sends `records` and then breaks off, if it is told to.
#[derive(Clone)]
struct FakeNode {
    id: u64,
    records: u64,
    breaks: Option<&'static str>,
    members: Vec<Member>,
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl Operator for FakeNode {
    type EventsStream = ReceiverStream<Result<EventRecord, Status>>;
    type BackupStream = ReceiverStream<Result<BackupPart, Status>>;
    type ExecStream = ReceiverStream<Result<FromAgent, Status>>;
    type LogsStream = ReceiverStream<Result<LogsResponse, Status>>;

    async fn exec(&self, _: Request<Streaming<ExecRequest>>) -> Result<Response<Self::ExecStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn logs(&self, _: Request<LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn backup(&self, _: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn top(&self, _: Request<TopRequest>) -> Result<Response<TopResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn verify(&self, _: Request<VerifyRequest>) -> Result<Response<VerifyResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn cluster_status(
        &self,
        _: Request<ClusterStatusRequest>,
    ) -> Result<Response<ClusterStatusResponse>, Status> {
        // The one with the lowest id has applied the most, so it is asked first.
        let node = Node { id: self.id, applied_sequence: 100 - self.id, ..Node::default() };
        let members = self.members.clone();
        Ok(Response::new(ClusterStatusResponse { node: Some(node), members, ..Default::default() }))
    }

    async fn service_status(
        &self,
        _: Request<ServiceStatusRequest>,
    ) -> Result<Response<ServiceStatusResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn retention(&self, _: Request<RetentionRequest>) -> Result<Response<RetentionResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn set_retention(
        &self,
        _: Request<SetRetentionRequest>,
    ) -> Result<Response<RetentionResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn set_cluster(
        &self,
        _: Request<SetClusterRequest>,
    ) -> Result<Response<SetClusterResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn subnets(&self, _: Request<SubnetsRequest>) -> Result<Response<SubnetsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn add_subnet(&self, _: Request<AddSubnetRequest>) -> Result<Response<Subnet>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn remove_subnet(
        &self,
        _: Request<RemoveSubnetRequest>,
    ) -> Result<Response<RemoveSubnetResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn events(&self, request: Request<EventsRequest>) -> Result<Response<Self::EventsStream>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        for sequence in request.into_inner().from_sequence.max(1)..=self.records {
            sender.try_send(Ok(EventRecord { sequence, ..EventRecord::default() })).unwrap();
        }
        if let Some(reason) = self.breaks {
            sender.try_send(Err(broken(reason))).unwrap();
        }
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// A node says the same of what it no longer keeps as a real one does.
fn broken(reason: &'static str) -> Status {
    if reason.contains("no longer kept") { Status::out_of_range(reason) } else { Status::unavailable(reason) }
}

/// Nodes that know of each other; the address of the first, and how often each was asked for events.
async fn nodes(kinds: &[(u64, Option<&'static str>)]) -> (SocketAddr, Vec<Arc<AtomicUsize>>) {
    let mut listeners = Vec::new();
    for _ in kinds {
        listeners.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<SocketAddr> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    let member = |(id, address): (u64, &SocketAddr)| Member {
        id,
        grpc_address: address.to_string(),
        ..Member::default()
    };
    let members: Vec<Member> = (1..).zip(&addresses).map(member).collect();
    let mut asked = Vec::new();
    for ((id, listener), (records, breaks)) in (1..).zip(listeners).zip(kinds) {
        let counter = Arc::new(AtomicUsize::new(0));
        asked.push(counter.clone());
        let members = members.clone();
        let node = FakeNode { id, records: *records, breaks: *breaks, members, asked: counter };
        let server = tonic::transport::Server::builder().add_service(OperatorServer::new(node));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    }
    (addresses[0], asked)
}

fn arguments(address: SocketAddr) -> EventsArgs {
    let target = TargetArgs { data: "unused".into(), endpoint: Some(address.to_string()) };
    EventsArgs { target, follow: false, since: None, json: true }
}

#[tokio::test]
async fn a_node_that_breaks_off_is_replaced_by_another() {
    let (address, asked) = nodes(&[(2, Some("history: a record is damaged")), (5, None)]).await;
    run(&arguments(address)).await.unwrap();
    let asked: Vec<usize> = asked.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(asked, [1, 1]);
}

#[tokio::test]
async fn when_all_break_off_the_error_has_what_each_said() {
    let (address, asked) = nodes(&[(0, Some("record 7 is damaged")), (0, Some("the disk is gone"))]).await;
    let error = run(&arguments(address)).await.unwrap_err().to_string();
    assert!(error.contains("record 7 is damaged") && error.contains("the disk is gone"), "{error}");
    assert!(asked.iter().all(|count| count.load(Ordering::Relaxed) == 1), "each is tried once");
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_at_once_with_where_the_history_begins() {
    let gone = "event 8 is no longer kept: the history begins at 901";
    let (address, asked) = nodes(&[(0, Some(gone)), (9, None)]).await;
    let arguments = EventsArgs { since: Some(7), follow: true, ..arguments(address) };
    let error = run(&arguments).await.unwrap_err().to_string();
    assert!(error.contains("begins at 901"), "{error}");
    let asked: Vec<usize> = asked.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert_eq!(asked, [1, 0], "another node is not asked for what nobody keeps");
}
