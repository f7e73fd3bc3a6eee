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
        let service = service_fn(move |request| {
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // An error here is the client's: it went away or spoke no HTTP.
            let _over = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    let _in_time = tokio::time::timeout(drain, graceful.shutdown()).await;
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
