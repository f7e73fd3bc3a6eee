//! The server: connections and their limits, who may ask what, and the other agents' questions.

use std::convert::Infallible;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use governor::{DefaultKeyedRateLimiter, Quota};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::neighbours::{Neighbours, SOURCE};
use super::{REQUESTS, source};
use crate::control::ControlPlane;
use crate::runtime::{Inspection, Runtime};
use crate::task::step::Record;
use crate::worker::{Inbox, Input};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 256;
/// Who takes longer to send a request is let go.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
const BODY_BYTES: usize = 16 << 10;
/// ECS_TASK_METADATA_RPS_LIMIT of ECS's agent: questions a second from one address, and how many may come at once.
const RATE: u32 = 40;
const BURST: u32 = 60;
/// Addresses that are remembered before those that ask no more are forgotten.
const SOURCES: usize = 4_096;
/// For the worker to say what it knows.
const WORKER_LIMIT: Duration = Duration::from_secs(2);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Container,
    Task { tags: bool },
    ContainerStats,
    TaskStats,
    Protection,
}

impl Asked {
    /// What a path asks, and of which container.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        Some(match parts[..] {
            ["v4", name] => (Self::Container, name),
            ["v4", name, "task"] => (Self::Task { tags: false }, name),
            ["v4", name, "taskWithTags"] => (Self::Task { tags: true }, name),
            ["v4", name, "stats"] => (Self::ContainerStats, name),
            ["v4", name, "task", "stats"] => (Self::TaskStats, name),
            ["api", name, "task-protection", "v1", "state"] => (Self::Protection, name),
            _ => return None,
        })
    }
}

/// An answer, and what is counted.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
    result: &'static str,
}

impl Answer {
    /// An answer as JSON.
    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => {
                let result = if status.is_server_error() { "failed" } else { "answered" };
                Self { status, body: body.into(), result }
            }
            Err(error) => Self::failed(&format!("cannot be written: {error}")),
        }
    }

    /// ECS's agent says what is wrong as a JSON text.
    fn text(status: StatusCode, result: &'static str, text: &str) -> Self {
        Self { status, body: serde_json::Value::from(text).to_string().into(), result }
    }

    pub(super) fn failed(reason: &str) -> Self {
        Self::text(StatusCode::INTERNAL_SERVER_ERROR, "failed", reason)
    }

    fn unknown() -> Self {
        Self::text(StatusCode::NOT_FOUND, "unknown", "no container of a task here has this metadata URI")
    }
}

/// What answers.
pub(super) struct Server {
    pub(super) runtime: Arc<dyn Runtime>,
    worker: Inbox,
    pub(super) control: ControlPlane,
    neighbours: Neighbours,
    pub(super) zone: String,
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

impl Server {
    pub(super) fn new(
        runtime: Arc<dyn Runtime>,
        worker: Inbox,
        control: ControlPlane,
        neighbours: Neighbours,
        zone: String,
    ) -> Self {
        let at_least_one = |number| NonZero::new(number).unwrap_or(NonZero::<u32>::MIN);
        let quota = Quota::per_second(at_least_one(RATE)).allow_burst(at_least_one(BURST));
        Self { runtime, worker, control, neighbours, zone, limiter: DefaultKeyedRateLimiter::keyed(quota) }
    }

    /// Answers until `shutdown`.
    pub(super) async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: &CancellationToken) {
        let others = match self.neighbours.listen() {
            Ok(others) => Some(others),
            Err(error) => {
                tracing::warn!(%error, "other agents of this machine cannot ask for this one's containers");
                None
            }
        };
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let from_others = async {
                match &others {
                    Some(others) => others.accept().await,
                    None => std::future::pending().await,
                }
            };
            let server = Arc::clone(self);
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        tokio::spawn(async move {
                            connection(stream, |request| Arc::clone(&server).hear(request, peer.ip())).await;
                            drop(permit);
                        });
                    }
                    Err(error) => refused(&error).await,
                },
                accepted = from_others => match accepted {
                    Ok((stream, _)) => {
                        tokio::spawn(async move {
                            connection(stream, |request| Arc::clone(&server).hear_another(request)).await;
                            drop(permit);
                        });
                    }
                    Err(error) => refused(&error).await,
                },
                () = shutdown.cancelled() => break,
            }
        }
    }

    /// A container asks.
    async fn hear(self: Arc<Self>, request: Request<Incoming>, source: IpAddr) -> Response<Full<Bytes>> {
        let source = source.to_canonical();
        if self.limiter.len() > SOURCES {
            self.limiter.retain_recent();
        }
        if self.limiter.check_key(&source).is_err() {
            let text = format!("more than {RATE} requests a second; come again later");
            return respond(Answer::text(StatusCode::TOO_MANY_REQUESTS, "limited", &text));
        }
        let request = match whole(request).await {
            Ok(request) => request,
            Err(answer) => return respond(answer),
        };
        if let Some(answer) = self.answer(&request, source).await {
            return respond(answer);
        }
        match self.neighbours.ask(&request, source).await {
            Some(response) => response.map(Full::new),
            None => respond(Answer::unknown()),
        }
    }

    /// Another agent asks for one of its containers.
    async fn hear_another(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let source = request.headers().get(SOURCE).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(source) = source else { return respond(Answer::unknown()) };
        let answer = match whole(request).await {
            Ok(request) => self.answer(&request, source).await.unwrap_or_else(Answer::unknown),
            Err(answer) => answer,
        };
        respond(answer)
    }

    /// `None`: it is not one of this agent's containers.
    async fn answer(&self, request: &Request<Bytes>, source: IpAddr) -> Option<Answer> {
        let Some((asked, name)) = Asked::of(request.uri().path()) else {
            let text = "there are /v4/…, /v4/…/task, /v4/…/taskWithTags, /v4/…/stats, /v4/…/task/stats and \
                        /api/…/task-protection/v1/state";
            return Some(Answer::text(StatusCode::NOT_FOUND, "unknown", text));
        };
        let allowed =
            if asked == Asked::Protection { &[Method::GET, Method::PUT][..] } else { &[Method::GET] };
        if !allowed.contains(request.method()) {
            return Some(Answer::text(
                StatusCode::METHOD_NOT_ALLOWED,
                "refused",
                "this method is not for this path",
            ));
        }
        let record = self.record(name).await?;
        let containers = self.look(&record).await;
        if !source::is_of_task(source, &record.spec, &containers) {
            tracing::warn!(%source, task = record.spec.task_id, "metadata of another task were asked for");
            let text = "this address is not one of the task's";
            return Some(Answer::text(StatusCode::FORBIDDEN, "refused", text));
        }
        Some(self.tell(asked, &record, &containers, request).await)
    }

    async fn record(&self, name: &str) -> Option<Record> {
        let (answer, told) = oneshot::channel();
        self.worker.send(Input::Record { name: name.to_owned(), answer }).await.ok()?;
        tokio::time::timeout(WORKER_LIMIT, told).await.ok()?.ok()?
    }

    /// The task's containers as far as they are there, in its definition's order.
    async fn look(&self, record: &Record) -> Vec<Inspection> {
        let looks = record.members.iter().map(|member| async {
            let id = member.id()?;
            self.runtime.look(id).await.ok()
        });
        let found = futures_util::future::join_all(looks).await;
        found.into_iter().map(Option::unwrap_or_default).collect()
    }
}

async fn refused(error: &std::io::Error) {
    // Out of file descriptors, most likely: others have to finish first.
    tracing::warn!(%error, "cannot accept a connection for metadata");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Serves one connection.
async fn connection<S, A, F>(stream: S, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answering = answer(request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let mut builder = http1::Builder::new();
    // Whoever has said all may stop sending before the answer comes.
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT).half_close(true);
    // An error here is the client's: it went away or spoke no HTTP.
    let _over = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// A request with its body.
async fn whole(request: Request<Incoming>) -> Result<Request<Bytes>, Answer> {
    let (parts, body) = request.into_parts();
    let body = tokio::time::timeout(HEADER_LIMIT, Limited::new(body, BODY_BYTES).collect()).await;
    match body {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.to_bytes())),
        _ => Err(Answer::text(StatusCode::BAD_REQUEST, "refused", "the body is too large or does not come")),
    }
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    metrics::counter!(REQUESTS, "result" => answer.result).increment(1);
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_ecs_s() {
        assert_eq!(Asked::of("/v4/a-1"), Some((Asked::Container, "a-1")));
        assert_eq!(Asked::of("/v4/a-1/"), Some((Asked::Container, "a-1")));
        assert_eq!(Asked::of("/v4/a-1/taskWithTags"), Some((Asked::Task { tags: true }, "a-1")));
        assert_eq!(Asked::of("/api/a-1/task-protection/v1/state"), Some((Asked::Protection, "a-1")));
        assert_eq!(Asked::of("/v4/a-1/tasks"), None);
        assert_eq!(Asked::of("/"), None);
    }
}
