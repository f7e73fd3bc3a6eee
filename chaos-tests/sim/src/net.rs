//! The simulated network under hyper and tonic: turmoil's streams, with every byte in the trace.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;
use trireme_agent::dial::Dial;
use trireme_agent::runtime::BoxFuture;
use trireme_raft::network::peers::{Connect, Lane, endpoint};
use trireme_rpc::gather::Gather;
use trireme_rpc::tcp;
use turmoil::net::{TcpListener, TcpStream};

use crate::trace;

/// A connection whose bytes are in the trace.
pub struct Stream {
    inner: TcpStream,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Stream {
    /// Wraps turmoil's.
    ///
    /// # Errors
    /// It is closed already.
    pub fn new(inner: TcpStream) -> io::Result<Self> {
        let (local, peer) = (inner.local_addr()?, inner.peer_addr()?);
        Ok(Self { inner, local, peer })
    }

    /// Connects to host:port.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect(address: &str) -> io::Result<Self> {
        Self::new(TcpStream::connect(address).await?)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            trace::wire(self.local, self.peer, &bytes[..*count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Connected for Stream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

/// Connections that come to `port` of this host.
///
/// # Errors
/// The port is taken.
pub async fn incoming(
    port: u16,
) -> io::Result<impl futures_util::Stream<Item = io::Result<Stream>> + Send + 'static> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    Ok(futures_util::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await;
        Some((accepted.and_then(|(stream, _)| Stream::new(stream)), listener))
    }))
}

/// As over TCP: what is ready goes together, and a failure says that nothing was sent.
async fn to_uri(uri: Uri) -> io::Result<TokioIo<Gather<Stream>>> {
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(80));
    let stream = Stream::connect(&format!("{host}:{port}")).await;
    let stream = stream.map_err(|error| tcp::not_connected(&uri, &error))?;
    Ok(TokioIo::new(Gather::new(stream)))
}

/// Between control nodes.
#[derive(Debug, Clone, Copy)]
pub struct SimConnect {
    /// The limit for a connection.
    pub limit: Duration,
}

impl Connect for SimConnect {
    fn connect(&self, address: &str, _: Lane) -> Result<Channel, Error> {
        Ok(endpoint(address, self.limit)?.connect_with_connector_lazy(service_fn(to_uri)))
    }
}

/// From agents to control nodes.
#[derive(Debug, Clone, Copy)]
pub struct SimDial;

impl Dial for SimDial {
    fn dial(&self, endpoint: Endpoint) -> BoxFuture<'_, Result<Channel, Error>> {
        Box::pin(async move { endpoint.connect_with_connector(service_fn(to_uri)).await })
    }
}
