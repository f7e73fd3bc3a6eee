//! How control nodes are reached: over TCP, or as a simulation does it.

use tonic::transport::{Channel, Endpoint, Error};
use trireme_rpc::tcp;

use crate::runtime::BoxFuture;

/// Connects to control nodes.
pub trait Dial: Send + Sync + 'static {
    /// A connection to `endpoint`, with the limits that are set there.
    fn dial(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Channel, Error>>;
}

/// Over TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Channel, Error>> {
        Box::pin(async move { tcp::connect(&endpoint).await })
    }
}
