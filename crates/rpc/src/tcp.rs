//! The sockets under gRPC, of whoever connects and of whoever accepts.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::service_fn;

use crate::gather::Gather;

/// How often a connection is asked for within its limit.
const ATTEMPTS: u32 = 4;

/// How the message of every failure begins before which nothing was sent.
pub const NOT_CONNECTED: &str = "not connected";

/// Prepares a socket for small messages that are waited for: none waits for more to come, and what got lost is sent again after
/// the same pause each time. With the usual pauses, which double, a link that loses three packets of ten stands still for longer
/// than an election takes.
///
/// # Errors
/// The socket is no more. A system that has no such pauses is well without them.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_thin_linear_timeouts(true) {
        tracing::debug!(%error, "the system doubles its pauses");
    }
    Ok(())
}

/// A channel that connects when it is first used, and again when the connection broke.
pub fn connect_lazy(endpoint: &Endpoint) -> Channel {
    let limit = endpoint.get_connect_timeout();
    outwaits(endpoint).connect_with_connector_lazy(service_fn(move |uri| dial(uri, limit)))
}

/// A channel that is connected, within the endpoint's limit.
///
/// # Errors
/// There is no connection in time.
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    let limit = endpoint.get_connect_timeout();
    outwaits(endpoint).connect_with_connector(service_fn(move |uri| dial(uri, limit))).await
}

/// The limit is kept in [`dial`], which says what it is that was too slow.
fn outwaits(endpoint: &Endpoint) -> Endpoint {
    match endpoint.get_connect_timeout() {
        Some(limit) => endpoint.clone().connect_timeout(limit * 2),
        None => endpoint.clone(),
    }
}

async fn dial(uri: Uri, limit: Option<Duration>) -> io::Result<TokioIo<Gather<TcpStream>>> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let stream = reach(&uri, deadline).await.and_then(|stream| prepare(&stream).map(|()| stream));
    stream.map(|stream| TokioIo::new(Gather::new(stream))).map_err(|error| not_connected(&uri, &error))
}

/// A failure before which nothing was sent, as [`NOT_CONNECTED`] says.
pub fn not_connected(uri: &Uri, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{NOT_CONNECTED} to {uri}: {error}"))
}

/// Tries each address of a name in turn, for its share of the time: the first may be that of a machine that is gone.
async fn reach(uri: &Uri, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "it names no host and port");
    let host = uri.host().ok_or_else(invalid)?;
    let port = uri.port_u16().ok_or_else(invalid)?;
    // An IPv6 address stands in brackets.
    let looked_up = tokio::net::lookup_host((host.trim_matches(['[', ']']), port));
    let mut addresses: Vec<_> = within(deadline, 1, looked_up).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    addresses.reverse();
    while let Some(address) = addresses.pop() {
        let sharing = addresses.len() + 1;
        let limit = deadline.map(|deadline| share(deadline, sharing));
        match within(deadline, sharing, dial_again(address, limit)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks again for a connection that is not answered, and takes the first that stands. The system asks again only after a second: over a
/// link that loses three packets of ten every other connection would take as long.
async fn dial_again(address: SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
    let Some(limit) = limit else { return TcpStream::connect(address).await };
    let pause = limit / ATTEMPTS;
    let mut attempts = FuturesUnordered::from_iter([TcpStream::connect(address)]);
    loop {
        let more = attempts.len() < ATTEMPTS as usize;
        tokio::select! {
            // A refusal is an answer too.
            Some(answered) = attempts.next() => return answered,
            () = tokio::time::sleep(pause), if more => attempts.push(TcpStream::connect(address)),
        }
    }
}

/// The time that is left, for each of so many that share it.
fn share(deadline: Instant, sharing: usize) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left / u32::try_from(sharing).unwrap_or(u32::MAX)
}

/// Waits for one of so many that share what is left of the time.
async fn within<T>(
    deadline: Option<Instant>,
    sharing: usize,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(deadline) = deadline else { return work.await };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    tokio::time::timeout(share(deadline, sharing), work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_send_again_without_doubling_the_pause() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else { continue };
            let uri: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let (dialled, accepted) = tokio::join!(dial(uri, None), listener.accept());
            let (dialled, accepted) = (dialled.unwrap().into_inner(), accepted.unwrap().0);
            prepare(&accepted).unwrap();
            for stream in [dialled.get_ref(), &accepted] {
                assert!(stream.nodelay().unwrap());
                #[cfg(target_os = "linux")]
                assert!(socket2::SockRef::from(stream).tcp_thin_linear_timeouts().unwrap());
            }
        }
    }

    /// Whether a call that failed was sent decides about its repetition.
    #[tokio::test]
    async fn a_caller_is_told_that_nothing_was_sent() {
        use crate::control::{StatusRequest, control_client::ControlClient};
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{closed}")).unwrap();
        for endpoint in [endpoint.clone(), endpoint.connect_timeout(Duration::from_secs(5))] {
            let mut client = ControlClient::new(connect_lazy(&endpoint));
            let status = client.status(StatusRequest {}).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unavailable);
            assert!(status.message().starts_with(NOT_CONNECTED), "{}", status.message());
        }
    }

    #[tokio::test]
    async fn what_does_not_answer_is_given_up_in_time() {
        let slow = within::<()>(Some(Instant::now() + Duration::from_millis(50)), 2, std::future::pending());
        assert_eq!(slow.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_address_without_a_port_is_an_error_that_says_so() {
        let error = dial(Uri::from_static("http://localhost"), None).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("names no host and port"), "{error}");
    }
}
