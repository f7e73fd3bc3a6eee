//! The operator's verbs at the front door. Nothing else passes: Raft and agents talk to control nodes directly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Either, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::Semaphore;

use super::nodes::{Node, Nodes, client};

/// What may be asked here.
const OPERATOR: &str = "/trireme.operator.v1.Operator/";
/// A request's body: one message.
const BODY_LIMIT: usize = 64 << 10;
const UPLOAD_LIMIT: Duration = Duration::from_secs(5);
/// Until an answer begins. A stream may then go on for ever.
const TRY_LIMIT: Duration = Duration::from_secs(5);
/// Requests and streams at once.
const REQUESTS: usize = 256;

/// gRPC's status codes, as far as they are answered here.
const INVALID_ARGUMENT: &str = "3";
const RESOURCE_EXHAUSTED: &str = "8";
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

/// Forwards the operator's verbs to control nodes.
#[derive(Clone)]
pub struct Forwarder {
    nodes: Nodes,
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Arc<Semaphore>,
}

impl Forwarder {
    pub fn new(nodes: Nodes) -> Self {
        Self { nodes, client: client(true), permits: Arc::new(Semaphore::new(REQUESTS)) }
    }

    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Answer {
        if !request.uri().path().starts_with(OPERATOR) {
            return refusal(UNIMPLEMENTED, "the front door serves the operator's verbs only");
        }
        let Ok(_permit) = self.permits.try_acquire() else {
            return refusal(RESOURCE_EXHAUSTED, "the front door is busy");
        };
        let (parts, body) = request.into_parts();
        let reading = Limited::new(body, BODY_LIMIT).collect();
        let Ok(Ok(body)) = tokio::time::timeout(UPLOAD_LIMIT, reading).await else {
            return refusal(INVALID_ARGUMENT, "the request is too large or did not arrive");
        };
        let body = body.to_bytes();
        for node in self.nodes.in_order() {
            let answer = tokio::select! {
                answer = self.send(&node, &parts, &body) => answer,
                () = node.went_down() => continue,
                () = tokio::time::sleep(TRY_LIMIT) => continue,
            };
            if let Some(answer) = answer {
                return answer;
            }
        }
        refusal(UNAVAILABLE, "no control node answers")
    }

    async fn send(&self, node: &Node, parts: &http::request::Parts, body: &Bytes) -> Option<Answer> {
        let uri: Uri = format!("http://{}{}", node.grpc, parts.uri.path()).parse().ok()?;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = parts.headers.clone();
        request.headers_mut().remove(header::HOST);
        request.headers_mut().remove(header::CONTENT_LENGTH);
        let response = self.client.request(request).await.ok()?;
        Some(response.map(Either::Left))
    }
}

/// A gRPC answer without a message.
fn refusal(code: &'static str, message: &'static str) -> Answer {
    let mut response = Response::new(Either::Right(Empty::new()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static(code));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    response
}
