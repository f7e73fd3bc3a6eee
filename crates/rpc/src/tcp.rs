//! The sockets under gRPC, of whoever connects and of whoever accepts.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::service_fn;

use crate::gather::Gather;

/// How often a connection between control nodes is asked for within its limit.
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
    outwaits(endpoint).connect_with_connector_lazy(service_fn(move |uri| dial(uri, limit, ATTEMPTS)))
}

/// A channel that is connected, within the endpoint's limit. Asked for once: those who come by the thousand are patient.
///
/// # Errors
/// There is no connection in time.
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    let limit = endpoint.get_connect_timeout();
    outwaits(endpoint).connect_with_connector(service_fn(move |uri| dial(uri, limit, 1))).await
}

/// The limit is kept in [`dial`], which says what it is that was too slow.
fn outwaits(endpoint: &Endpoint) -> Endpoint {
    match endpoint.get_connect_timeout() {
        Some(limit) => endpoint.clone().connect_timeout(limit * 2),
        None => endpoint.clone(),
    }
}

async fn dial(uri: Uri, limit: Option<Duration>, attempts: u32) -> io::Result<TokioIo<Gather<TcpStream>>> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let stream = reach(&uri, deadline, attempts).await.and_then(|stream| prepare(&stream).map(|()| stream));
    stream.map(|stream| TokioIo::new(Gather::new(stream))).map_err(|error| not_connected(&uri, &error))
}

/// A failure before which nothing was sent, as [`NOT_CONNECTED`] says.
pub fn not_connected(uri: &Uri, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{NOT_CONNECTED} to {uri}: {error}"))
}

/// Tries each address of a name in turn, for its share of the time: the first may be that of a machine that is gone.
async fn reach(uri: &Uri, deadline: Option<Instant>, attempts: u32) -> io::Result<TcpStream> {
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
        match within(deadline, sharing, ask_again(|| TcpStream::connect(address), limit, attempts)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks again for a connection that is not answered, and takes the first that stands. The system asks again only after a second: over a
/// link that loses three packets of ten every other connection would take as long.
async fn ask_again<T, F: Future<Output = io::Result<T>>>(
    mut ask: impl FnMut() -> F,
    limit: Option<Duration>,
    attempts: u32,
) -> io::Result<T> {
    let Some(limit) = limit else { return ask().await };
    let pause = limit / attempts.max(1);
    let mut asked = 1;
    let mut waiting = FuturesUnordered::from_iter([ask()]);
    loop {
        tokio::select! {
            Some(answer) = waiting.next() => match answer {
                // A refusal is the other side's answer; any other failure may be this attempt's own.
                Err(error) if error.kind() != io::ErrorKind::ConnectionRefused && !waiting.is_empty() => {
                    tracing::debug!(%error, "one of several attempts to connect failed");
                }
                answer => return answer,
            },
            () = tokio::time::sleep(pause), if asked < attempts => {
                asked += 1;
                waiting.push(ask());
            }
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
            let (dialled, accepted) = tokio::join!(dial(uri, None, 1), listener.accept());
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

    /// What the attempts come to, in turn; `None` is not answered. Gives the answer and how many attempts there were.
    async fn ask(answers: &[Option<io::Result<u32>>]) -> (io::Result<u32>, usize) {
        let asked = std::cell::Cell::new(0);
        let attempt = || {
            let answer = answers.get(asked.replace(asked.get() + 1)).and_then(Option::as_ref);
            let answer = answer.map(|answer| answer.as_ref().copied().map_err(|error| error.kind().into()));
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let answer = ask_again(attempt, Some(Duration::from_millis(40)), 4).await;
        (answer, asked.get())
    }

    #[tokio::test]
    async fn a_connection_that_is_not_answered_is_asked_for_again() {
        let failed = |kind: io::ErrorKind| Some(Err(io::Error::from(kind)));
        let (answer, asked) = ask(&[None, Some(Ok(2))]).await;
        assert_eq!((answer.unwrap(), asked), (2, 2));
        let (answer, asked) = ask(&[None, failed(io::ErrorKind::AddrNotAvailable), Some(Ok(3))]).await;
        assert_eq!((answer.unwrap(), asked), (3, 3), "the first might have stood yet");
        let (answer, asked) = ask(&[failed(io::ErrorKind::ConnectionRefused)]).await;
        assert_eq!((answer.unwrap_err().kind(), asked), (io::ErrorKind::ConnectionRefused, 1));
        let (answer, asked) = ask(&[failed(io::ErrorKind::NetworkUnreachable)]).await;
        assert_eq!((answer.unwrap_err().kind(), asked), (io::ErrorKind::NetworkUnreachable, 1));
        let never = tokio::time::timeout(Duration::from_millis(200), ask(&[])).await;
        assert!(never.is_err(), "whoever asks has a limit of its own");
    }

    #[tokio::test]
    async fn an_address_without_a_port_is_an_error_that_says_so() {
        let error = dial(Uri::from_static("http://localhost"), None, 1).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("names no host and port"), "{error}");
    }
}
