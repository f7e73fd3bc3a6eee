//! The ECS API at the front door.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::Semaphore;

use super::nodes::{Node, Nodes, client};

/// A request's body; a control node refuses more too.
const BODY_LIMIT: usize = 1 << 20;
/// How much of a larger body is read and thrown away.
const DISCARD_LIMIT: usize = 8 * BODY_LIMIT;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_millis(300);
/// An answer's body. The longest lists of ECS are far below it.
const ANSWER_LIMIT: usize = 64 << 20;
/// For the client to send its body.
const UPLOAD_LIMIT: Duration = Duration::from_secs(10);
/// For one request, over all nodes. Control nodes keep its idempotency key for longer.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// For one try at a node that is up. A node without a leader looks for one that long.
const TRY_LIMIT: Duration = Duration::from_secs(10);
/// For one try at a node that seems down, when no other is left.
const LAST_RESORT_LIMIT: Duration = Duration::from_secs(1);
/// Between two rounds over all nodes.
const PAUSE: Duration = Duration::from_millis(50);
/// Requests at once.
const REQUESTS: usize = 512;

/// Constant over an SDK's retries of one call; not part of what it signs.
const INVOCATION_ID: HeaderName = HeaderName::from_static("amz-sdk-invocation-id");
/// What concerns one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Forwards requests to control nodes.
#[derive(Clone)]
pub struct Forwarder {
    nodes: Nodes,
    client: Client<HttpConnector, Full<Bytes>>,
    permits: Arc<Semaphore>,
}

impl Forwarder {
    pub fn new(nodes: Nodes) -> Self {
        Self { nodes, client: client(false), permits: Arc::new(Semaphore::new(REQUESTS)) }
    }

    /// Answers one request.
    pub async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(_permit) = self.permits.try_acquire() else {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "ServerException", "The front door is busy.");
        };
        let (mut parts, body) = request.into_parts();
        let body = match tokio::time::timeout(UPLOAD_LIMIT, read_body(body)).await {
            Ok(Ok(Some(body))) => body,
            Ok(Ok(None)) => {
                let text = format!("The request's body is larger than {BODY_LIMIT} bytes.");
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLargeException", &text);
            }
            Ok(Err(error)) => {
                let text = format!("The request's body broke off: {error}.");
                return refusal(StatusCode::BAD_REQUEST, "SerializationException", &text);
            }
            Err(_) => {
                let text = "The request's body did not arrive in time.";
                return refusal(StatusCode::REQUEST_TIMEOUT, "RequestTimeoutException", text);
            }
        };
        strip(&mut parts.headers);
        if !parts.headers.contains_key(INVOCATION_ID) {
            parts.headers.insert(INVOCATION_ID, new_uuid());
        }
        self.forward(&parts, &body).await
    }

    async fn forward(&self, parts: &http::request::Parts, body: &Bytes) -> Response<Full<Bytes>> {
        let until = Instant::now() + REQUEST_LIMIT;
        loop {
            for node in self.nodes.in_order() {
                match self.try_node(&node, parts, body).await {
                    Ok(response) => return response,
                    Err(reason) => tracing::debug!(node = node.api, reason, "a try at a control node failed"),
                }
                if Instant::now() > until {
                    let text = "No control node answers. Try again.";
                    return refusal(StatusCode::SERVICE_UNAVAILABLE, "ServerException", text);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn try_node(
        &self,
        node: &Node,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Result<Response<Full<Bytes>>, String> {
        let limit = if node.is_up() { TRY_LIMIT } else { LAST_RESORT_LIMIT };
        tokio::select! {
            answer = self.send(node, parts, body) => answer,
            () = node.went_down() => Err("it does not answer any more".to_owned()),
            () = tokio::time::sleep(limit) => Err("no answer in time".to_owned()),
        }
    }

    async fn send(
        &self,
        node: &Node,
        parts: &http::request::Parts,
        body: &Bytes,
    ) -> Result<Response<Full<Bytes>>, String> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri: Uri = format!("http://{}{path}", node.api).parse().map_err(|_| "bad path".to_owned())?;
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri;
        // The client signed the host that it knows: the front door's. It is passed on as it came.
        *request.headers_mut() = parts.headers.clone();
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (mut parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|error| error.to_string())?;
        strip(&mut parts.headers);
        Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
    }
}

/// A whole body; `None` when it is too large. Some of what is too much is read and thrown away, so that its sender gets to read
/// the answer.
async fn read_body(mut body: Incoming) -> Result<Option<Bytes>, hyper::Error> {
    let mut read = BytesMut::new();
    let mut length = body.size_hint().lower();
    while length <= BODY_LIMIT as u64 {
        let Some(frame) = body.frame().await else { return Ok(Some(read.freeze())) };
        let Ok(data) = frame?.into_data() else { continue };
        length = length.max((read.len() + data.len()) as u64);
        read.extend_from_slice(&data);
    }
    let _in_time = tokio::time::timeout(DISCARD_TIME, discard(body)).await;
    Ok(None)
}

async fn discard(mut body: Incoming) {
    let mut seen = 0;
    while seen < DISCARD_LIMIT
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// Removes what concerns one connection only, and the length, which is known anew.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::EXPECT);
}

/// A version 4 UUID, as the SDKs send.
fn new_uuid() -> HeaderValue {
    let bits: u128 = rand::random();
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let text = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    // Digits, letters and hyphens are allowed in every header.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

/// An error in ECS's form: this is no control node, but clients do not know that.
fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serde_json::json!({ "__type": kind, "message": message }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/x-amz-json-1.1");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert("x-amzn-requestid", new_uuid());
    if let Ok(kind) = HeaderValue::try_from(kind) {
        headers.insert("x-amzn-errortype", kind);
    }
    response
}
