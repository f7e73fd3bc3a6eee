//! The sockets under gRPC, of whoever connects and of whoever accepts.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error, Uri};
use tower::service_fn;

/// Prepares a socket for small messages that are waited for: none waits for more to come, and what got lost is sent again after
/// the same pause each time. With the usual pauses, which double, a link that loses three packets of ten stands still for longer
/// than an election takes.
///
/// # Errors
/// The system does not take an option.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_thin_linear_timeouts(true)?;
    Ok(())
}

/// A channel that connects when it is first used, and again when the connection broke.
pub fn connect_lazy(endpoint: &Endpoint) -> Channel {
    endpoint.connect_with_connector_lazy(service_fn(dial))
}

/// A channel that is connected, within the endpoint's limit.
///
/// # Errors
/// There is no connection in time.
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    endpoint.connect_with_connector(service_fn(dial)).await
}

async fn dial(uri: Uri) -> io::Result<TokioIo<TcpStream>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("{uri} names no host and port"));
    let host = uri.host().ok_or_else(invalid)?;
    let port = uri.port_u16().ok_or_else(invalid)?;
    // An IPv6 address stands in brackets.
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    prepare(&stream)?;
    Ok(TokioIo::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_send_again_without_doubling_the_pause() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = tokio::net::TcpListener::bind(address).await else { continue };
            let uri: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
            let (dialled, accepted) = tokio::join!(dial(uri), listener.accept());
            let (dialled, accepted) = (dialled.unwrap().into_inner(), accepted.unwrap().0);
            prepare(&accepted).unwrap();
            for stream in [&dialled, &accepted] {
                assert!(stream.nodelay().unwrap());
                #[cfg(target_os = "linux")]
                assert!(socket2::SockRef::from(stream).tcp_thin_linear_timeouts().unwrap());
            }
        }
    }

    #[tokio::test]
    async fn an_address_without_a_port_is_an_error_that_says_so() {
        let error = dial(Uri::from_static("http://localhost")).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("names no host and port"), "{error}");
    }
}
