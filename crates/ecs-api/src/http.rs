//! The endpoint: awsJson1.1 on `POST /`, the operation in the `X-Amz-Target` header; sts's Query protocol on the same port.
//! Every answer carries `x-amzn-requestid`; every error is JSON (XML for sts) with a type that clients know.

use std::io::Read as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use rand::Rng as _;
use trireme_ecs_model::{Operation, TARGET_PREFIX};
use trireme_state::{Actor, Command, Proposal};
use trireme_types::{RequestId, Timestamp};

use crate::admission::{Class, Room};
use crate::clock::Stopwatch;
use crate::error::{Code, Error, Result};
use crate::{Api, AuthMode, auth, companion, local, metrics, monitoring, operation, rest, sts};

/// The largest request body.
pub const BODY_LIMIT: usize = 1024 * 1024;
/// How much of a refused body is read and thrown away.
const DISCARD_LIMIT: usize = 8 * BODY_LIMIT;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_millis(300);
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long nothing of it may come.
const SILENCE: Duration = Duration::from_secs(5);
/// How long an operation may take. Forwarding to a new leader is retried within it.
const OPERATION_TIME: Duration = Duration::from_secs(30);

/// When those who were turned away may come back, for SDKs that ask so exactly.
const RETRY_MILLIS: std::ops::Range<u64> = 300..1_500;

/// The Query protocol's name of an error.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");

const YEAR_10000: u64 = 253_402_300_800_000;

/// ECS's protocol, and that of most services beside it.
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
/// CloudWatch's.
pub(crate) const JSON_1_0: &str = "application/x-amz-json-1.0";
const FORM: &str = "application/x-www-form-urlencoded";

/// The endpoint: ECS and sts on `/`, `GET /healthz`, and without authentication `POST /_trireme/reset`.
pub fn router(api: Api) -> Router {
    Router::new().fallback(handle).with_state(api)
}

/// What is asked, as far as metrics tell calls apart.
struct Answer {
    operation: &'static str,
    protocol: Protocol,
    result: Result<Bytes>,
}

#[derive(Clone, Copy)]
enum Protocol {
    /// With its media type.
    Json(&'static str),
    /// The same, for clients that go by the errors' names of the Query protocol.
    QueryJson(&'static str),
    Query,
    Text,
}

async fn handle(State(api): State<Api>, request: Request) -> Response<Body> {
    let request_id = RequestId::from_bits(rand::rng().random());
    let (parts, body) = request.into_parts();
    let received = receive(&api, &parts, body).await;
    let started = Stopwatch::start();
    let (answer, date) = match received {
        Ok((body, _room)) => caught(dated(api, &parts, &body, request_id), &parts).await,
        Err(error) => (refused(&parts, error), None),
    };
    let code = answer.result.as_ref().map_or_else(|error| error.code.name(), |_| "OK");
    metrics::record(answer.operation, code, started.elapsed());
    if let Err(error) = &answer.result
        && error.code.status() >= 500
    {
        tracing::warn!(operation = answer.operation, %request_id, %error, "request failed");
    }
    respond(answer, request_id, date)
}

/// Answers, and says when. SDKs set their clocks by it before they sign again, so it must be the clock that judges signatures.
async fn dated(api: Api, parts: &Parts, body: &Bytes, request_id: RequestId) -> (Answer, Option<Timestamp>) {
    let clock = Arc::clone(&api.clock);
    let answer = admitted(api, parts, body, request_id).await;
    (answer, Some(clock.now()))
}

/// A panic is a defect of one call: its caller is told so, and the connection and everyone else's calls go on.
async fn caught(
    answer: impl Future<Output = (Answer, Option<Timestamp>)>,
    parts: &Parts,
) -> (Answer, Option<Timestamp>) {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        let error = "Internal error. It is not known whether the request took effect.";
        (refused(parts, Error::server(error)), None)
    })
}

/// An error that comes before, or instead of, the operation's answer.
fn refused(parts: &Parts, error: Error) -> Answer {
    let protocol = if is_query(&parts.headers) { Protocol::Query } else { json_protocol(parts) };
    Answer { operation: named(parts), protocol, result: Err(error) }
}

/// The body, and the room that it takes. Calls alone have one: whoever looks whether the node lives needs no room.
async fn receive(api: &Api, parts: &Parts, mut body: Body) -> Result<(Bytes, Room)> {
    let mut room = api.admission.room();
    if !is_call(parts) {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            discard(body).await;
        }
        return Ok((Bytes::new(), room));
    }
    let reading = tokio::time::timeout(BODY_TIME, read_body(&mut room, &mut body)).await;
    match reading.unwrap_or_else(|_| Err(too_slow())) {
        Ok(read) => Ok((read, room)),
        Err(error) => {
            drop(room);
            discard(body).await;
            Err(error)
        }
    }
}

/// Answers once it is the request's turn. Whoever looks whether the node lives needs none.
async fn admitted(api: Api, parts: &Parts, body: &Bytes, request_id: RequestId) -> Answer {
    let _turn = if is_call(parts) {
        let class = if is_query(&parts.headers) { Class::Read } else { Class::of(named(parts)) };
        match api.admission.enter(class).await {
            Ok(turn) => Some(turn),
            Err(error) => return refused(parts, error),
        }
    } else {
        None
    };
    route(api, parts, body, request_id).await
}

async fn route(api: Api, parts: &Parts, body: &Bytes, request_id: RequestId) -> Answer {
    let protocol = json_protocol(parts);
    let json = |operation, result| Answer { operation, protocol, result };
    if matches!(api.auth, AuthMode::Off)
        && let Err(error) = local::check(parts)
    {
        return json("None", Err(error));
    }
    if rest::is_for(parts) {
        let answer = tokio::time::timeout(OPERATION_TIME, rest::answer(api, parts, body, request_id));
        return json(named(parts), Box::pin(answer).await.unwrap_or_else(|_| Err(unfinished())));
    }
    match (&parts.method, parts.uri.path()) {
        (&Method::POST, "/") if is_query(&parts.headers) => {
            let result = Box::pin(sts::answer(&api, parts, body, request_id)).await;
            Answer { operation: "sts", protocol: Protocol::Query, result }
        }
        (&Method::POST, "/") => {
            let operation = named(parts);
            json(operation, Box::pin(call(api, parts, body, request_id)).await)
        }
        (_, "/") => {
            let message = format!("The method is {}; requests are POST.", parts.method);
            json("None", Err(Error::new(Code::unknown_operation(405), message)))
        }
        (&Method::GET | &Method::HEAD, "/healthz") => {
            Answer { operation: "healthz", protocol: Protocol::Text, result: Ok(Bytes::from_static(b"ok\n")) }
        }
        (&Method::POST, "/_trireme/reset") => json("reset", reset(&api, request_id).await),
        (_, path) => {
            let message = format!("There is nothing at {path}; requests go to /.");
            json("None", Err(Error::new(Code::unknown_operation(404), message)))
        }
    }
}

/// An ECS call, or one of a service beside it.
async fn call(api: Api, parts: &Parts, body: &Bytes, request_id: RequestId) -> Result<Bytes> {
    let companion = companion::target(&parts.headers);
    let service =
        companion.as_ref().map_or(trireme_ecs_model::SIGNING_NAME, |(service, _)| service.signing_name);
    let caller = auth::authenticate(&api, parts, body, service).await?;
    let expected = json_type(parts);
    if media_type(&parts.headers) != expected {
        return Err(Error::new(Code::serialization(), format!("The Content-Type must be {expected}.")));
    }
    let body = &unpacked(&parts.headers, body)?;
    let invocation = parts.headers.get("amz-sdk-invocation-id").and_then(|value| value.to_str().ok());
    let invocation = invocation.map(str::to_owned);
    let call = operation::Call { api, caller, request_id, invocation, host: host(parts) };
    let answer = async {
        match companion {
            Some((_, operation)) => operation?.answer(call, body).await,
            None => operation::answer(call, target(&parts.headers)?, body).await,
        }
    };
    tokio::time::timeout(OPERATION_TIME, answer).await.unwrap_or_else(|_| Err(unfinished()))
}

fn unfinished() -> Error {
    let message =
        "The request did not finish in time. It may still take effect; retry it with the same client token.";
    Error::server(message)
}

/// The host and port to which the request was sent. HTTP/2 has it in the address.
fn host(parts: &Parts) -> Option<String> {
    let header = || parts.headers.get(HOST).and_then(|value| value.to_str().ok());
    parts.uri.authority().map(AsRef::as_ref).or_else(header).map(str::to_owned)
}

/// Whether it asks for an operation, of ECS or a service beside it.
fn is_call(parts: &Parts) -> bool {
    (parts.method == Method::POST && parts.uri.path() == "/") || rest::is_for(parts)
}

/// The operation's name, for metrics and doors.
fn named(parts: &Parts) -> &'static str {
    if let Some(name) = rest::named(parts) {
        return name;
    }
    match companion::target(&parts.headers) {
        Some((_, operation)) => operation.map_or("None", companion::Operation::name),
        None => target(&parts.headers).ok().map_or("None", Operation::name),
    }
}

fn target(headers: &HeaderMap) -> Result<Operation> {
    let unknown = |message: String| Error::new(Code::unknown_operation(400), message);
    let target = headers
        .get("x-amz-target")
        .ok_or_else(|| unknown(format!("The header X-Amz-Target must be {TARGET_PREFIX}.OPERATION.")))?;
    let target = target.to_str().unwrap_or_default();
    Operation::from_target(target)
        .ok_or_else(|| unknown(format!("The operation {} is not known.", target.escape_debug())))
}

/// Drops what a test suite made (development only).
async fn reset(api: &Api, request_id: RequestId) -> Result<Bytes> {
    if !matches!(api.auth, AuthMode::Off) {
        return Err(Error::access_denied("Only a cluster without authentication can be reset."));
    }
    let proposal = Proposal { actor: Actor::Operator, request_id, key: None, command: Command::Reset };
    let proposed = api.store.propose(proposal).await;
    proposed.map_err(|error| Error::server(format!("The reset failed: {error}.")))?;
    Ok(Bytes::from_static(b"{}"))
}

/// The protocol of the service that is asked.
fn json_type(parts: &Parts) -> &'static str {
    if rest::is_for(parts) {
        return rest::JSON;
    }
    companion::target(&parts.headers).map_or(JSON, |(service, _)| service.content_type)
}

fn json_protocol(parts: &Parts) -> Protocol {
    let media_type = json_type(parts);
    if media_type == JSON_1_0 && parts.headers.contains_key("x-amzn-query-mode") {
        return Protocol::QueryJson(media_type);
    }
    Protocol::Json(media_type)
}

/// The body as it was before it was compressed. The same limit holds for that.
fn unpacked(headers: &HeaderMap, body: &Bytes) -> Result<Bytes> {
    let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    match encoding.trim() {
        "identity" | "aws-chunked" => Ok(body.clone()),
        "gzip" => {
            let mut read = Vec::new();
            let mut unpacking = flate2::read::GzDecoder::new(&body[..]).take(BODY_LIMIT as u64 + 1);
            let length = unpacking.read_to_end(&mut read).map_err(|error| {
                Error::new(Code::serialization(), format!("The request's body is not gzip: {error}."))
            })?;
            if length > BODY_LIMIT { Err(too_large()) } else { Ok(read.into()) }
        }
        other => {
            let message = format!("The Content-Encoding {} is not supported.", other.escape_debug());
            Err(Error::new(Code::serialization(), message))
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_query(headers: &HeaderMap) -> bool {
    media_type(headers) == FORM && !headers.contains_key("x-amz-target")
}

/// Reads all of it. What came finds room before more is asked for.
async fn read_body(room: &mut Room, body: &mut Body) -> Result<Bytes> {
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let mut read = BytesMut::new();
    while let Some(frame) = tokio::time::timeout(SILENCE, body.frame()).await.map_err(|_| too_slow())? {
        let frame = frame.map_err(|error| {
            Error::new(Code::serialization(), format!("The request's body broke off: {error}."))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let length = read.len() + data.len();
        if length > BODY_LIMIT {
            return Err(too_large());
        }
        room.hold(length).await?;
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

/// Reads and throws away, for a while: whoever still sends when the connection ends may not get to read the answer.
async fn discard(mut body: Body) {
    let reading = async {
        let mut seen = 0;
        while seen < DISCARD_LIMIT
            && let Some(Ok(frame)) = body.frame().await
        {
            seen += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whether all of it came or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}

fn too_large() -> Error {
    let code = Code::Common("RequestEntityTooLargeException", 413);
    Error::new(code, format!("The request's body is larger than {BODY_LIMIT} bytes."))
}

fn too_slow() -> Error {
    let code = Code::Common("RequestTimeoutException", 408);
    Error::new(code, "The request's body did not arrive in time.")
}

fn respond(answer: Answer, request_id: RequestId, date: Option<Timestamp>) -> Response<Body> {
    let id = request_id.to_string();
    let throttled = answer.result.as_ref().is_err_and(Error::is_throttled);
    let (status, body, error) = match answer.result {
        Ok(body) => (200, body, None),
        Err(error) => {
            let body = match answer.protocol {
                Protocol::Query => sts::error_body(&error, &id),
                Protocol::Json(media_type) | Protocol::QueryJson(media_type) => {
                    error_body(&error, media_type)
                }
                Protocol::Text => error_body(&error, JSON),
            };
            let status = match answer.protocol {
                Protocol::Query | Protocol::Json(rest::JSON) => error.code.query_status(),
                Protocol::Json(_) | Protocol::QueryJson(_) | Protocol::Text => error.code.status(),
            };
            (status, body, Some(error.code.name()))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = match answer.protocol {
        Protocol::Json(media_type) | Protocol::QueryJson(media_type) => media_type,
        Protocol::Query => "text/xml",
        Protocol::Text => "text/plain",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // A date has four digits for the year.
    let date = date.map(Timestamp::millis).filter(|millis| *millis < YEAR_10000);
    let date = date.map(|millis| httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(millis)));
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
        headers.insert(DATE, date);
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(name) = error {
        headers.insert("x-amzn-errortype", HeaderValue::from_static(name));
        if let Protocol::QueryJson(_) = answer.protocol {
            let fault = if status < 500 { "Sender" } else { "Receiver" };
            let value = format!("{};{fault}", monitoring::query_code(name));
            headers.extend(HeaderValue::from_str(&value).ok().map(|value| (QUERY_ERROR, value)));
        }
    }
    if throttled {
        // Not all at the same moment.
        let millis = rand::rng().random_range(RETRY_MILLIS);
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        headers.insert("x-amz-retry-after", HeaderValue::from(millis));
    }
    response
}

fn error_body(error: &Error, media_type: &str) -> Bytes {
    let message = if media_type == rest::JSON { "Message" } else { "message" };
    let mut body = serde_json::json!({ "__type": error.code.name(), message: error.message });
    if !error.resource_ids.is_empty() {
        body["resourceIds"] = error.resource_ids.clone().into();
    }
    Bytes::from(body.to_string())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use futures_util::stream;

    use super::*;
    use crate::{Admission, Limits};

    /// A body of so many pieces with a pause before each.
    fn pieces(count: usize, pause: Duration) -> Body {
        let pieces = stream::iter(0..count).then(move |_| async move {
            let _over = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            Ok::<_, std::io::Error>(vec![b'a'; 1024])
        });
        Body::from_stream(pieces)
    }

    async fn read(admission: &Admission, body: Body) -> std::result::Result<usize, u16> {
        let store = trireme_state::store::LocalStore::new([1; 32], Timestamp::from_millis(0));
        let api = Api {
            store: Arc::new(store),
            auth: AuthMode::Off,
            sealing_key: Arc::new(trireme_iam::SealingKey::from_bytes([7; 32])),
            clock: Arc::new(crate::SystemClock),
            admission: admission.clone(),
            logs: Arc::new(crate::logs::NoNodes),
            monitoring: trireme_monitoring::Monitoring::default(),
        };
        let (parts, body) = http::Request::post("/").body(body).unwrap().into_parts();
        receive(&api, &parts, body).await.map(|(read, _room)| read.len()).map_err(|error| error.code.status())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_ended_and_gives_its_room_back() {
        let admission =
            Admission::new(Limits { body_bytes: 16 * 1024, beginning_bytes: 0, ..Limits::default() });
        let began = tokio::time::Instant::now();
        assert_eq!(read(&admission, pieces(1, SILENCE * 2)).await, Err(408), "nothing came");
        assert!(began.elapsed() <= SILENCE + DISCARD_TIME);
        let began = tokio::time::Instant::now();
        assert_eq!(read(&admission, pieces(16, SILENCE / 4)).await, Err(408), "drop by drop");
        assert!(began.elapsed() <= BODY_TIME + DISCARD_TIME);
        assert_eq!(read(&admission, pieces(16, BODY_TIME / 20)).await, Ok(16 * 1024));
        assert_eq!(
            read(&admission, pieces(17, Duration::ZERO)).await,
            Err(429),
            "more than there is room for"
        );
        assert_eq!(read(&admission, pieces(16, Duration::ZERO)).await, Ok(16 * 1024));
    }
}
