//! Requests that no SDK would send.

use std::time::{Duration, SystemTime};

use aws_sdk_ecs::config::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::server::{KEY, SECRET, Server};

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// Status, error type and message.
    pub fn error(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(self.headers["x-amzn-errortype"], text("__type"));
        assert!(self.headers.contains_key("x-amzn-requestid"));
        (self.status, text("__type"), text("message"))
    }
}

pub async fn send(request: Request<Body>) -> Answer {
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// How a request is signed.
#[derive(Clone)]
pub struct Signing {
    pub key: String,
    pub secret: String,
    pub service: String,
    pub region: String,
    pub at: SystemTime,
}

impl Default for Signing {
    fn default() -> Self {
        Self {
            key: KEY.to_owned(),
            secret: SECRET.to_owned(),
            service: "ecs".to_owned(),
            region: "us-east-1".to_owned(),
            at: SystemTime::now(),
        }
    }
}

impl Signing {
    pub fn ago(age: Duration) -> Self {
        Self { at: SystemTime::now() - age, ..Self::default() }
    }
}

/// A `POST /` with these headers, signed.
pub fn signed(
    server: &Server,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
    signing: &Signing,
) -> Request<Body> {
    signed_to(server, ("POST", "/"), headers, body, signing)
}

/// The same, with another method and path.
pub fn signed_to(
    server: &Server,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
    signing: &Signing,
) -> Request<Body> {
    let (body, url) = (body.into(), format!("{}{path}", server.url()));
    let mut request = Request::builder().method(method).uri(&url).header("host", server.addr.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).unwrap();
    let identity = Credentials::from_keys(&signing.key, &signing.secret, None).into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&signing.region)
        .name(&signing.service)
        .time(signing.at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let all: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let all = all.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new(method, &url, all, SignableBody::Bytes(&body)).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.map(|()| Body::from(body))
}

/// A signed call of one operation.
pub async fn call(server: &Server, operation: &str, body: &str) -> Answer {
    call_with(server, operation, body, &[]).await
}

/// The same, with more headers.
pub async fn call_with(server: &Server, operation: &str, body: &str, more: &[(&str, &str)]) -> Answer {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
    send(signed(server, &[&headers, more].concat(), body, &Signing::default())).await
}
