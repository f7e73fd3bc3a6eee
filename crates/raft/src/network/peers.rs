//! Connections to other control nodes. A connection is made when it is first used, and again when it broke.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use trireme_rpc::channel::channels_client::ChannelsClient;
use trireme_rpc::control::control_client::ControlClient;
use trireme_rpc::raft;
use trireme_rpc::raft::raft_client::RaftClient;
use trireme_rpc::tcp;
use trireme_types::ClusterUuid;

use crate::config::Settings;
use crate::error::Error;
use crate::network::fence::Fence;

/// The largest message that a peer may send.
pub(crate) const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What a connection is for. A long append or a snapshot must not keep a heartbeat waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Entries and votes.
    Append,
    /// The same entries again, when the first connection stands still: a link that loses packets rarely stops two at once.
    Spare,
    /// Heartbeats.
    Heartbeat,
    /// Snapshots.
    Snapshot,
    /// Everything that is not Raft: a relay of heartbeats, a read's index. It is never behind a queue of commands.
    Control,
    /// Commands of agents, controllers and operators, on their way to the leader.
    Urgent,
    /// Commands of API callers, on their way to the leader.
    Usual,
}

/// How connections are made; a simulation brings its own.
pub trait Connect: Send + Sync + 'static {
    /// A channel to host:port, for this lane. It need not be connected yet.
    fn connect(&self, address: &str, lane: Lane) -> Result<Channel, tonic::transport::Error>;
}

/// Connections over TCP.
#[derive(Debug, Clone)]
pub struct TcpConnect {
    limit: Duration,
}

impl TcpConnect {
    /// Connections that must stand within the settings' limit.
    pub fn new(settings: &Settings) -> Self {
        Self { limit: settings.connect_limit }
    }
}

/// How a peer is spoken to, over whatever connection.
///
/// # Errors
/// Not an address.
pub fn endpoint(address: &str, limit: Duration) -> Result<Endpoint, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(limit)
        // A peer whose machine is gone answers nothing, not even an error.
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

impl Connect for TcpConnect {
    fn connect(&self, address: &str, _: Lane) -> Result<Channel, tonic::transport::Error> {
        Ok(tcp::connect_lazy(&endpoint(address, self.limit)?))
    }
}

/// The connections of one node.
#[derive(Clone)]
pub struct Peers {
    fence: Fence,
    connect: Arc<dyn Connect>,
    channels: Arc<Mutex<BTreeMap<(String, Lane), Channel>>>,
}

impl Peers {
    /// No connections yet.
    pub fn new(fence: Fence, connect: Arc<dyn Connect>) -> Self {
        Self { fence, connect, channels: Arc::default() }
    }

    /// The cluster to which this node belongs.
    pub fn cluster(&self) -> ClusterUuid {
        self.fence.identity().cluster
    }

    /// The cluster and its incarnation, as every request names them.
    pub fn life(&self) -> Bytes {
        self.fence.life()
    }

    /// What keeps this node's incarnation apart from others.
    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Refuses what is for another cluster, or for another incarnation of this one.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, with both sides named.
    pub fn check(&self, life: &[u8]) -> Result<(), Status> {
        self.fence.check(life)
    }

    /// Notes what a refusal of a peer says of the cluster's incarnation.
    pub fn note(&self, status: &Status) {
        self.fence.note(status);
    }

    fn dial(&self, address: &str, lane: Lane) -> Result<Channel, Error> {
        let dialled = self.connect.connect(address, lane);
        dialled.map_err(|error| Error::WrongPeer { address: address.to_owned(), reason: error.to_string() })
    }

    fn channel(&self, address: &str, lane: Lane) -> Result<Channel, Error> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&(address.to_owned(), lane)) {
            return Ok(channel.clone());
        }
        let channel = self.dial(address, lane)?;
        channels.insert((address.to_owned(), lane), channel.clone());
        Ok(channel)
    }

    pub(crate) fn raft(&self, address: &str, lane: Lane) -> Result<RaftClient<Channel>, Error> {
        let client = RaftClient::new(self.channel(address, lane)?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES))
    }

    /// The control service at `address`.
    ///
    /// # Errors
    /// Not an address.
    pub fn control(&self, address: &str) -> Result<ControlClient<Channel>, Error> {
        self.control_by(address, Lane::Control)
    }

    /// The channels service at `address`, for questions.
    ///
    /// # Errors
    /// Not an address.
    pub fn channels(&self, address: &str) -> Result<ChannelsClient<Channel>, Error> {
        Ok(ChannelsClient::new(self.channel(address, Lane::Control)?))
    }

    /// The channels service at `address`, on a connection of its own: a channel that stands still fills it.
    ///
    /// # Errors
    /// Not an address.
    pub fn channels_apart(&self, address: &str) -> Result<ChannelsClient<Channel>, Error> {
        Ok(ChannelsClient::new(self.dial(address, Lane::Control)?))
    }

    pub(crate) fn control_by(&self, address: &str, lane: Lane) -> Result<ControlClient<Channel>, Error> {
        let client = ControlClient::new(self.channel(address, lane)?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES).max_encoding_message_size(MESSAGE_BYTES))
    }

    pub(crate) fn route(&self, to: u64) -> raft::Route {
        raft::Route { cluster_id: self.life(), from: self.fence.identity().node_id, to }
    }
}
