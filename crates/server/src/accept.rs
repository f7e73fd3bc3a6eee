//! HTTP connections and their limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// A client that takes longer to send its header is let go.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// Streams at once on an HTTP/2 connection.
const STREAMS: u32 = 128;

/// Accepts connections and answers their requests until `stop`, and for `drain` longer those that are under way.
pub async fn serve<A, F, B>(listener: TcpListener, answer: A, stop: CancellationToken, drain: Duration)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let builder = builder();
    loop {
        let accepted = async {
            let permit = permits.clone().acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let (permit, stream) = match accepted {
            Some((permit, Ok((stream, _)))) => (permit, stream),
            Some((_, Err(error))) => {
                // Out of file descriptors, most likely: others have to finish first.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            None => break,
        };
        // Answers are small; waiting for more to send only delays them.
        let _best_effort = stream.set_nodelay(true);
        let answer = answer.clone();
        let asked = CancellationToken::new();
        let heard = asked.clone();
        let service = service_fn(move |request| {
            heard.cancel();
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                // An error here is the client's: it went away or spoke no HTTP.
                _over = connection => {}
                () = silence(asked) => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    let _in_time = tokio::time::timeout(drain, graceful.shutdown()).await;
}

/// Returns when nothing was asked in time. hyper has a limit for headers only once it knows the protocol, which a silent client does
/// not say.
async fn silence(asked: CancellationToken) {
    if tokio::time::timeout(HEADER_LIMIT, asked.cancelled()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(HEADER_LIMIT)
        .keep_alive_timeout(HEADER_LIMIT);
    builder
}

#[cfg(test)]
mod tests {
    use axum::body::Body as AnyBody;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    /// The clock stands still but where everybody waits for it.
    #[tokio::test(start_paused = true)]
    async fn who_connects_and_asks_nothing_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let answer = |_| async { Response::new(AnyBody::from("ok")) };
        let serving = tokio::spawn(serve(listener, answer, stop.clone(), Duration::ZERO));
        // Nothing, the beginning of HTTP/2's preface, and the beginning of a request.
        for said in ["", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\nhost: a\r\n"] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.write_all(said.as_bytes()).await.unwrap();
            let mut read = Vec::new();
            let ended = tokio::time::timeout(HEADER_LIMIT * 2, connection.read_to_end(&mut read)).await;
            assert!(ended.is_ok(), "after {said:?} the connection stays");
        }
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut read = String::new();
        connection.read_to_string(&mut read).await.unwrap();
        assert!(read.starts_with("HTTP/1.1 200 OK") && read.ends_with("ok"), "{read}");
        stop.cancel();
        serving.await.unwrap();
    }
}
