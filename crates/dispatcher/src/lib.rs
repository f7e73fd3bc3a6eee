//! A control node's side of the agents: their sessions, heartbeats, assignments and status reports. It runs on every
//! control node, leader or not; whatever changes the state goes through the store.
//!
//! - An agent's heartbeats live in memory ([`heartbeat`]), on the node that hears them and, relayed, on the leader.
//! - Assignments come from this node's own applied state ([`assignment`]): a full set first, then differences. One shared
//!   watcher finds the instances whose tasks changed and wakes their sessions ([`watcher`]).
//! - Status reports become commands in batches ([`status`]), acknowledged once they are committed.
//! - A session whose epoch is over is closed ([`session`]). The agent opens a new one.
//! - What tasks ask their agent, and it does not know, it asks beside the session ([`question`]).
//!
//! - What an operator wants of one agent goes through a channel of its own, which the agent opens when it is asked ([`channel`]).
//! - What too many agents want at once waits, within bounds; the rest is sent away to come again ([`opening`]).
//!
//! Reading order: [`Dispatcher`] · [`session`] · [`opening`] · [`later`] · [`heartbeat`] · [`watcher`] · [`assignment`] · [`image_pin`] · [`status`] · [`channel`] ·
//! [`question`] · [`usage`].

mod assignment;
pub mod channel;
mod clock;
mod convert;
mod error;
pub mod heartbeat;
mod image_pin;
mod later;
mod opening;
mod question;
mod session;
mod status;
pub mod usage;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use trireme_rpc::agent::agents_server::{Agents, AgentsServer};
use trireme_rpc::agent::{
    AgentMessage, ChannelMessage, ControlMessage, ProtectionRequest, ProtectionResponse, TagsResponse,
    TaskQuestion,
};
use trireme_rpc::channel::{Purpose, ToAgent};
use trireme_state::store::Store;
use trireme_types::{ClusterUuid, ContainerInstanceId, RequestId, SessionEpoch};

pub use channel::{Broken, FromChannel, ToChannel, Unreachable};
pub use error::Error;
pub use heartbeat::{Heard, HeartbeatTable, HeartbeatTransport, RelayedHeartbeat, relay};

/// The longest message to an agent: a full set of assignments of large tasks.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// The longest message of an agent. Its batches of reports are a good deal shorter.
const AGENT_MESSAGE_BYTES: usize = 4 << 20;
/// Messages to one agent that wait for it to read.
const OUTBOUND_MESSAGES: usize = 16;

/// What a control node must know to serve agents.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// The control plane's identity. Agents of another one are refused.
    pub cluster_uuid: ClusterUuid,
    /// Its incarnation. Agents that have seen a higher one are refused.
    pub incarnation: u64,
    /// How often agents send heartbeats.
    pub heartbeat_interval: Duration,
    /// A session that says nothing for so long is closed.
    pub idle_limit: Duration,
    /// How long the relay of heartbeats to the leader may fail before sessions are closed, so that their agents try
    /// another control node while there is time.
    pub relay_patience: Duration,
    /// Status commands that may be under way at once, over all sessions.
    pub status_in_flight: usize,
    /// Sessions that this node takes.
    pub max_sessions: usize,
    /// Sessions that are opened at once.
    pub opening: usize,
    /// Agents that wait for their turn to open one. More are sent away, to come again soon.
    pub opening_waiting: usize,
    /// Bytes of reports, of all sessions, that wait to be proposed.
    pub report_bytes: usize,
    /// Where the control nodes listen (`host:port`): agents are told, and told again when they are others.
    pub control_nodes: watch::Receiver<Vec<String>>,
    /// Told of incarnations above `incarnation` that most of this cluster's agents have seen: the control node is to stop.
    pub later_incarnation: watch::Sender<u64>,
}

impl DispatcherConfig {
    /// The usual limits for a control plane.
    pub fn new(cluster_uuid: ClusterUuid) -> Self {
        Self {
            cluster_uuid,
            incarnation: 1,
            heartbeat_interval: Duration::from_secs(1),
            idle_limit: Duration::from_secs(6),
            relay_patience: Duration::from_secs(3),
            status_in_flight: 64,
            max_sessions: 10_000,
            opening: 64,
            opening_waiting: 2_048,
            report_bytes: 64 << 20,
            control_nodes: watch::channel(Vec::new()).1,
            later_incarnation: watch::channel(0).0,
        }
    }
}

/// What all sessions of a node share.
struct Shared {
    /// Where sessions live: thousands of them must not keep what shares threads with the listener waiting, which is Raft.
    runtime: Handle,
    store: Arc<dyn Store>,
    heartbeats: Arc<HeartbeatTable>,
    config: DispatcherConfig,
    sessions: watcher::Sessions,
    status_permits: Semaphore,
    session_permits: Arc<Semaphore>,
    openings: opening::Turns,
    report_bytes: Arc<Semaphore>,
    closing: CancellationToken,
    later: later::Later,
    channels: channel::Channels,
    usage: Arc<usage::UsageTable>,
}

/// Serves agents on one control node. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
}

impl Dispatcher {
    /// A dispatcher over `store`. It serves nobody until [`Dispatcher::service`] is mounted and [`Dispatcher::run`] runs. Its sessions
    /// live on the runtime on which this is called, whichever serves their connections.
    pub fn new(store: Arc<dyn Store>, heartbeats: Arc<HeartbeatTable>, config: DispatcherConfig) -> Self {
        describe_metrics();
        let shared = Shared {
            runtime: Handle::current(),
            store,
            heartbeats,
            sessions: watcher::Sessions::default(),
            status_permits: Semaphore::new(config.status_in_flight),
            session_permits: Arc::new(Semaphore::new(config.max_sessions)),
            openings: opening::Turns::new(config.opening, config.opening_waiting),
            report_bytes: Arc::new(Semaphore::new(config.report_bytes.min(Semaphore::MAX_PERMITS))),
            closing: CancellationToken::new(),
            later: later::Later::default(),
            channels: channel::Channels::default(),
            usage: Arc::default(),
            config,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The gRPC service, to be mounted on the node's server.
    pub fn service(&self) -> AgentsServer<Self> {
        AgentsServer::new(self.clone())
            .max_decoding_message_size(AGENT_MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }

    /// The epoch of an instance's session with this node, if there is one.
    pub fn session_of(&self, instance: ContainerInstanceId) -> Option<SessionEpoch> {
        channel::held(&self.shared, instance)
    }

    /// Opens a channel to an instance whose session this node has.
    ///
    /// # Errors
    /// There is none, there are too many channels, or the agent does not open it.
    pub async fn open(
        &self,
        instance: ContainerInstanceId,
        purpose: Purpose,
    ) -> Result<(ToChannel, FromChannel), Unreachable> {
        channel::open(&self.shared, instance, purpose).await
    }

    /// What tasks really use: those of this node's sessions, and on the leader all.
    pub fn usage(&self) -> &Arc<usage::UsageTable> {
        &self.shared.usage
    }

    /// Watches the state for the sessions until `shutdown`, then says goodbye to every agent.
    pub async fn run(self, shutdown: CancellationToken) {
        watcher::run(&self.shared, &shutdown).await;
        self.shared.closing.cancel();
    }
}

#[tonic::async_trait]
impl Agents for Dispatcher {
    type SessionStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if self.shared.closing.is_cancelled() {
            return Err(Status::unavailable("this control node is going away"));
        }
        let permit = Arc::clone(&self.shared.session_permits).try_acquire_owned().map_err(|_| {
            count_shed("sessions");
            Status::resource_exhausted("this control node has as many sessions as it takes")
        })?;
        let (sender, receiver) = mpsc::channel(OUTBOUND_MESSAGES);
        let shared = Arc::clone(&self.shared);
        self.shared.runtime.spawn(async move {
            session::serve(shared, request.into_inner(), sender).await;
            drop(permit);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn tags(&self, request: Request<TaskQuestion>) -> Result<Response<TagsResponse>, Status> {
        question::tags(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn protection(
        &self,
        request: Request<ProtectionRequest>,
    ) -> Result<Response<ProtectionResponse>, Status> {
        question::protection(&self.shared, request.into_inner()).await.map(Response::new)
    }

    type ChannelStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn channel(
        &self,
        request: Request<Streaming<ChannelMessage>>,
    ) -> Result<Response<Self::ChannelStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        channel::arrive(&self.shared, request.into_inner(), sender).await?;
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn request_id() -> RequestId {
    RequestId::from_bits(rand::random())
}

/// Counts something of an agent that was turned away because there was too much of it.
fn count_shed(what: &'static str) {
    metrics::counter!("trireme_agent_shed_total", "what" => what).increment(1);
}

fn describe_metrics() {
    usage::describe_metrics();
    metrics::describe_counter!(
        "trireme_agent_shed_total",
        "What agents were turned away with, to come again: sessions (as many as the node takes), openings (too many at once), \
         reports (too many bytes, or batches, at once)"
    );
    metrics::describe_counter!(
        "trireme_channels_total",
        "Channels to agents that were to be opened by this control node, by result"
    );
    metrics::describe_gauge!("trireme_agent_sessions", "Agents that have a session with this control node");
    metrics::describe_counter!(
        "trireme_status_reports_total",
        "Task reports of agents, by what came of them"
    );
    metrics::describe_counter!(
        "trireme_heartbeat_relays_total",
        "Batches of heartbeats relayed to the leader, by result"
    );
}
