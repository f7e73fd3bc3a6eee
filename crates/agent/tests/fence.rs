//! An agent and a control node that is behind the times.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use common::{LIMIT, Running};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use trireme_agent::AgentConfig;
use trireme_agent::runtime::fake::FakeRuntime;
use trireme_rpc::agent::agents_server::{Agents, AgentsServer};
use trireme_rpc::agent::control_message::Message;
use trireme_rpc::agent::{
    AgentMessage, AssignedTask, Assignments, ChannelMessage, Container, ControlMessage, ProtectionRequest,
    ProtectionResponse, TagsResponse, TaskQuestion, Welcome,
};
use trireme_rpc::channel::ToAgent;
use trireme_testkit::wait_for;

/// Sends the script's assignments to whoever comes, under epoch 5, and reports when a session ends.
struct Scripted {
    script: Vec<Assignments>,
    ended: mpsc::Sender<()>,
}

#[tonic::async_trait]
impl Agents for Scripted {
    type SessionStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (out, receiver) = mpsc::channel(16);
        let (script, ended) = (self.script.clone(), self.ended.clone());
        tokio::spawn(async move {
            let mut inbound = request.into_inner();
            let welcome = Message::Welcome(Welcome {
                container_instance_id: format!("{:032x}", 1),
                cluster_uuid: "c".into(),
                epoch: 5,
                heartbeat_interval_ms: 1_000,
                incarnation: 2,
            });
            let messages = std::iter::once(welcome).chain(script.into_iter().map(Message::Assignments));
            for message in messages {
                let _ = out.send(Ok(ControlMessage { message: Some(message) })).await;
            }
            while let Ok(Some(_)) = inbound.message().await {}
            let _ = ended.send(()).await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type ChannelStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn channel(
        &self,
        _: Request<Streaming<ChannelMessage>>,
    ) -> Result<Response<Self::ChannelStream>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn tags(&self, _: Request<TaskQuestion>) -> Result<Response<TagsResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn protection(
        &self,
        _: Request<ProtectionRequest>,
    ) -> Result<Response<ProtectionResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}

fn assignments(sequence: u64, epoch: u64, full: bool, task: u128) -> Assignments {
    let task = AssignedTask {
        task_id: format!("{task:032x}"),
        desired_running: true,
        network_mode: "bridge".into(),
        containers: vec![Container { name: "app".into(), essential: true, ..Container::default() }],
        ..AssignedTask::default()
    };
    let cluster_uuid = "c".into();
    let (tasks, removed, incarnation) = (vec![task], Vec::new(), 2);
    Assignments { cluster_uuid, sequence, epoch, full, tasks, removed, incarnation }
}

async fn serve(script: Vec<Assignments>) -> (String, mpsc::Receiver<()>) {
    let (ended, ends) = mpsc::channel(16);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server =
        tonic::transport::Server::builder().add_service(AgentsServer::new(Scripted { script, ended }));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (address, ends)
}

#[tokio::test]
async fn a_stale_control_node_revives_nothing() {
    let stale = [
        assignments(9, 5, true, 2),
        assignments(10, 4, true, 2),
        Assignments { cluster_uuid: "other".into(), ..assignments(11, 5, true, 2) },
        Assignments { incarnation: 1, ..assignments(11, 5, true, 2) },
    ];
    for stale in stale {
        let (endpoint, mut ends) = serve(vec![assignments(10, 5, true, 1), stale]).await;
        let runtime = FakeRuntime::default();
        let config = AgentConfig { endpoints: vec![endpoint], ..AgentConfig::default() };
        let config = AgentConfig { runtime: trireme_agent::RuntimeConfig::fake(), ..config };
        let _agent = Running::with(config, Arc::new(runtime.clone()));
        tokio::time::timeout(LIMIT, ends.recv()).await.expect("the agent leaves").unwrap();
        wait_for("the first task", LIMIT, || async {
            if runtime.starts() == 1 { Ok(()) } else { Err(runtime.starts().to_string()) }
        })
        .await;
        assert_eq!(runtime.containers(), 1, "the stale set neither started nor stopped anything");
    }
}

#[tokio::test]
async fn a_dead_control_node_is_left_for_another() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let (endpoint, _ends) = serve(vec![assignments(1, 5, true, 1)]).await;
    let runtime = FakeRuntime::default();
    let config = AgentConfig {
        endpoints: vec![nowhere, endpoint],
        runtime: trireme_agent::RuntimeConfig::fake(),
        ..AgentConfig::default()
    };
    let _agent = Running::with(config, Arc::new(runtime.clone()));
    wait_for("the task", LIMIT, || async {
        if runtime.starts() == 1 { Ok(()) } else { Err("nothing was started".to_owned()) }
    })
    .await;
}
