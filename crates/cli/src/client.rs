//! Asking control nodes, all at once and each with a limit: a dead or hung one costs a second, not the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use trireme_rpc::channel::FromAgent;
use trireme_rpc::operator::operator_client::OperatorClient;
use trireme_rpc::operator::{
    AddSubnetRequest, BackupPart, BackupRequest, ClusterStatusRequest, ClusterStatusResponse, EventRecord,
    EventsRequest, ExecRequest, LogsRequest, LogsResponse, RemoveSubnetRequest, RetentionRequest,
    RetentionResponse, ServiceStatusRequest, ServiceStatusResponse, SetClusterRequest, SetClusterResponse,
    SetRetentionRequest, Subnet, SubnetsRequest, TopRequest, TopResponse, VerifyRequest, VerifyResponse,
};

use crate::Error;
use crate::target::{KnownNode, Target};

const CONNECT_LIMIT: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_millis(1500);
/// A node that does not answer pings for so long is gone.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_LIMIT: Duration = Duration::from_secs(3);
/// A change may have to wait for an election.
const COMMIT_LIMIT: Duration = Duration::from_secs(15);

/// What one node said.
#[derive(Debug)]
pub struct NodeAnswer {
    /// Who was asked.
    pub node: KnownNode,
    /// Its answer, or why there is none.
    pub answer: Result<ClusterStatusResponse, String>,
}

fn endpoint(address: &str) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    Ok(endpoint.connect_timeout(CONNECT_LIMIT))
}

async fn connect(address: &str) -> Result<OperatorClient<Channel>, String> {
    let connecting = endpoint(address)?;
    match tokio::time::timeout(CONNECT_LIMIT, connecting.connect()).await {
        Ok(Ok(channel)) => Ok(OperatorClient::new(channel).max_decoding_message_size(64 << 20)),
        Ok(Err(_)) => Err("no connection".to_owned()),
        Err(_) => Err("no connection in time".to_owned()),
    }
}

/// Calls a node within the limit.
async fn limited<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, String> {
    match tokio::time::timeout(ANSWER_LIMIT, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// One node's view of the cluster.
pub async fn cluster_status(address: &str) -> Result<ClusterStatusResponse, String> {
    let mut client = connect(address).await?;
    limited(client.cluster_status(ClusterStatusRequest {})).await
}

/// One node's view of a service.
pub async fn service_status(
    address: &str,
    cluster: &str,
    name: &str,
) -> Result<ServiceStatusResponse, String> {
    let mut client = connect(address).await?;
    let request = ServiceStatusRequest { cluster: cluster.to_owned(), name: name.to_owned() };
    limited(client.service_status(request)).await
}

/// A stream of the history from `from` on, from one node.
pub async fn events(address: &str, from: u64, follow: bool) -> Result<tonic::Streaming<EventRecord>, String> {
    let mut client = connect(address).await?;
    limited(client.events(EventsRequest { from_sequence: from, follow })).await
}

/// How much of the history is kept, as one node knows it.
pub async fn retention(address: &str) -> Result<RetentionResponse, String> {
    let mut client = connect(address).await?;
    limited(client.retention(RetentionRequest {})).await
}

/// Sets how much of the history is kept, through one node. The inner error is a refusal, which every node would repeat.
pub async fn set_retention(
    address: &str,
    request: SetRetentionRequest,
) -> Result<Result<RetentionResponse, String>, String> {
    let mut client = connect(address).await?;
    committed(client.set_retention(request)).await
}

/// The subnets that one node knows of.
pub async fn subnets(address: &str) -> Result<Vec<Subnet>, String> {
    let mut client = connect(address).await?;
    limited(client.subnets(SubnetsRequest {})).await.map(|response| response.subnets)
}

/// Adds a subnet, through one node. The inner error is a refusal, which every node would repeat.
pub async fn add_subnet(address: &str, request: AddSubnetRequest) -> Result<Result<Subnet, String>, String> {
    let mut client = connect(address).await?;
    committed(client.add_subnet(request)).await
}

/// Removes a subnet, through one node. The inner error is a refusal, which every node would repeat.
pub async fn remove_subnet(address: &str, id: &str) -> Result<Result<(), String>, String> {
    let mut client = connect(address).await?;
    let removed = committed(client.remove_subnet(RemoveSubnetRequest { id: id.to_owned() })).await?;
    Ok(removed.map(|_| ()))
}

/// Waits for a change to be committed. The inner error is a refusal.
async fn committed<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<Result<T, String>, String> {
    match tokio::time::timeout(COMMIT_LIMIT, call).await {
        Ok(Ok(response)) => Ok(Ok(response.into_inner())),
        Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
            Ok(Err(status.message().to_owned()))
        }
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("not committed in time".to_owned()),
    }
}

/// Sets something of an ECS cluster, through one node. The inner error is a refusal, which every node would repeat.
pub async fn set_cluster(
    address: &str,
    request: SetClusterRequest,
) -> Result<Result<SetClusterResponse, String>, String> {
    let mut client = connect(address).await?;
    committed(client.set_cluster(request)).await
}

/// Asks the leader, who knows most, else any other node that answers, until one does. A refusal is an answer.
pub async fn leader_first<T, F>(target: &Target, ask: impl Fn(String) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Result<T, String>, String>>,
{
    let mut tried = Tried::default();
    for address in leader_then_others(target).await? {
        match ask(address.clone()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(reason)) => return Err(Error::Refused { reason }),
            Err(reason) => tried.note(&address, Failure::Here(reason))?,
        }
    }
    Err(tried.unreachable())
}

/// The addresses of the nodes that answer, the leader's first.
///
/// # Errors
/// None does.
pub async fn leader_then_others(target: &Target) -> Result<Vec<String>, Error> {
    let answers = ask_all(target).await;
    let leading = leader(&answers).map(|(answer, _)| answer.node.address.clone());
    let answering = answers.iter().filter(|answer| answer.answer.is_ok());
    let others = answering.map(|answer| answer.node.address.clone());
    let others = others.filter(|address| leading.as_ref() != Some(address));
    let addresses: Vec<String> = leading.iter().cloned().chain(others).collect();
    if addresses.is_empty() { Err(unreachable(&answers)) } else { Ok(addresses) }
}

/// What is reserved and used, as one node knows it. The inner error is a refusal, which every node would repeat.
pub async fn top(address: &str, request: TopRequest) -> Result<Result<TopResponse, String>, String> {
    let mut client = connect(address).await?;
    match tokio::time::timeout(ANSWER_LIMIT, client.top(request)).await {
        Ok(Ok(response)) => Ok(Ok(response.into_inner())),
        Ok(Err(status)) => match Failure::from(status) {
            Failure::Everywhere(reason) => Ok(Err(reason)),
            Failure::Here(reason) => Err(reason),
        },
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// A connection to a node, for a while.
///
/// # Errors
/// None comes about in time.
pub async fn channel(address: &str) -> Result<Channel, Failure> {
    let connecting = endpoint(address).map_err(Failure::Here)?;
    match tokio::time::timeout(CONNECT_LIMIT, connecting.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        _ => Err(Failure::Here("no connection".to_owned())),
    }
}

/// A backup from one node, part by part.
pub async fn backup(address: &str, without_history: bool) -> Result<tonic::Streaming<BackupPart>, String> {
    let mut client = connect(address).await?;
    limited(client.backup(BackupRequest { without_history })).await
}

/// Has one node verify what it keeps.
pub async fn verify(address: &str, limit: Duration) -> Result<VerifyResponse, String> {
    let mut client = connect(address).await?;
    match tokio::time::timeout(limit, client.verify(VerifyRequest {})).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err("it did not end in time".to_owned()),
    }
}

/// Why a node did not begin what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// Another one may.
    Here(String),
    /// Every node would say so.
    Everywhere(String),
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound | Code::InvalidArgument | Code::FailedPrecondition => Self::Everywhere(message),
            Code::Unimplemented => Self::Here(format!("an older version: {message}")),
            _ => Self::Here(message),
        }
    }
}

/// What came of the nodes that were tried.
#[derive(Debug, Default)]
pub struct Tried(Vec<String>);

impl Tried {
    /// Notes a failure.
    ///
    /// # Errors
    /// No other node need be tried.
    pub fn note(&mut self, address: &str, failure: Failure) -> Result<(), Error> {
        match failure {
            Failure::Here(reason) => {
                self.0.push(format!("{address}: {reason}"));
                Ok(())
            }
            Failure::Everywhere(reason) => Err(Error::Refused { reason }),
        }
    }

    /// No node did it.
    pub fn unreachable(self) -> Error {
        Error::Unreachable { tried: self.0.join(", ") }
    }
}

/// The nodes that answer, those of the target first.
///
/// # Errors
/// None does.
pub async fn every_node(target: &Target) -> Result<Vec<KnownNode>, Error> {
    let answers = ask_all(target).await;
    let answering = answers.iter().filter(|answer| answer.answer.is_ok());
    let nodes: Vec<KnownNode> = answering.map(|answer| answer.node.clone()).collect();
    if nodes.is_empty() { Err(unreachable(&answers)) } else { Ok(nodes) }
}

/// A connection for a stream that lasts: a node that does not answer pings is gone.
async fn connect_for_long(address: &str) -> Result<OperatorClient<Channel>, Failure> {
    let connecting = endpoint(address).map_err(Failure::Here)?;
    let connecting = connecting
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT)
        .keep_alive_while_idle(true);
    match tokio::time::timeout(CONNECT_LIMIT, connecting.connect()).await {
        Ok(Ok(channel)) => Ok(OperatorClient::new(channel)),
        _ => Err(Failure::Here("no connection".to_owned())),
    }
}

/// Begins a stream within the limit.
async fn begun<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(COMMIT_LIMIT, call).await {
        Ok(response) => Ok(response?.into_inner()),
        Err(_) => Err(Failure::Here("not begun in time".to_owned())),
    }
}

/// Has one node run a command. The first request says which.
pub async fn exec(
    address: &str,
    requests: tokio::sync::mpsc::Receiver<ExecRequest>,
) -> Result<tonic::Streaming<FromAgent>, Failure> {
    let mut client = connect_for_long(address).await?;
    begun(client.exec(ReceiverStream::new(requests))).await
}

/// What containers wrote, by way of one node.
pub async fn logs(address: &str, request: LogsRequest) -> Result<tonic::Streaming<LogsResponse>, Failure> {
    let mut client = connect_for_long(address).await?;
    begun(client.logs(request)).await
}

/// Asks every node of the target, then every node that the answers name.
pub async fn ask_all(target: &Target) -> Vec<NodeAnswer> {
    let mut answers = ask(target.nodes.clone()).await;
    let asked: BTreeSet<&str> = target.nodes.iter().map(|node| node.address.as_str()).collect();
    // One that was asked through a front door has an address of its own as well.
    let answered: BTreeSet<u64> = answers.iter().filter_map(|answer| answer.id()).collect();
    let mut others = std::collections::BTreeMap::new();
    for member in answers.iter().filter_map(|answer| answer.answer.as_ref().ok()).flat_map(|a| &a.members) {
        if !asked.contains(member.grpc_address.as_str()) && !answered.contains(&member.id) {
            let node = KnownNode { address: member.grpc_address.clone(), zone: Some(member.zone.clone()) };
            others.insert(member.id, node);
        }
    }
    answers.extend(ask(others.into_values().collect()).await);
    answers
}

async fn ask(nodes: Vec<KnownNode>) -> Vec<NodeAnswer> {
    join_all(nodes.into_iter().map(|node| async move {
        let answer = cluster_status(&node.address).await;
        NodeAnswer { node, answer }
    }))
    .await
}

impl NodeAnswer {
    /// The id of the node that answered.
    pub fn id(&self) -> Option<u64> {
        self.answer.as_ref().ok()?.node.as_ref().map(|node| node.id)
    }
}

/// The address of the node that leads with a quorum, and its answer.
pub fn leader(answers: &[NodeAnswer]) -> Option<(&NodeAnswer, &ClusterStatusResponse)> {
    let leading = answers.iter().filter_map(|answer| {
        let response = answer.answer.as_ref().ok()?;
        let node = response.node.as_ref()?;
        (node.role == "leader" && node.has_quorum).then_some((node.term, answer, response))
    });
    // A leader that was cut off may still believe in itself; the higher term is right.
    leading.max_by_key(|(term, ..)| *term).map(|(_, answer, response)| (answer, response))
}

/// Nobody answered: what was tried.
pub fn unreachable(answers: &[NodeAnswer]) -> Error {
    let tried = answers.iter().map(|answer| {
        let result = answer.answer.as_ref().err().map_or("answered", String::as_str);
        format!("{}: {result}", answer.node.address)
    });
    Error::Unreachable { tried: tried.collect::<Vec<_>>().join(", ") }
}
