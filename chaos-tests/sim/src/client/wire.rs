//! One request to one node, through the door of the service that it is for.

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::control::API;
use crate::net::Stream;
use crate::trace;

/// An operation of a service.
#[derive(Debug, Clone)]
pub struct Operation {
    method: Method,
    path: String,
    /// What the target header says, of services that have one.
    target: Option<String>,
    /// Its protocol.
    media_type: &'static str,
}

const JSON: &str = "application/json";
const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

impl Operation {
    fn targeted(service: &str, name: &str) -> Self {
        let target = Some(format!("{service}.{name}"));
        Self { method: Method::POST, path: "/".to_owned(), target, media_type: JSON_1_1 }
    }

    /// Of ECS.
    pub fn ecs(name: &str) -> Self {
        Self::targeted("AmazonEC2ContainerServiceV20141113", name)
    }

    /// Of Application Auto Scaling.
    pub fn scaling(name: &str) -> Self {
        Self::targeted("AnyScaleFrontendService", name)
    }

    /// Of CloudWatch.
    pub fn monitoring(name: &str) -> Self {
        Self { media_type: JSON_1_0, ..Self::targeted("GraniteServiceVersion20100801", name) }
    }

    /// Of EventBridge.
    pub fn events(name: &str) -> Self {
        Self::targeted("AWSEvents", name)
    }

    /// Of EventBridge Scheduler, which tells its operations apart by method and path.
    pub fn scheduler(method: Method, path: String) -> Self {
        Self { method, path, target: None, media_type: JSON }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            Some(target) => f.write_str(target.rsplit('.').next().unwrap_or_default()),
            None => write!(f, "{} {}", self.method, self.path),
        }
    }
}

/// What came of one request.
pub enum Reply {
    /// It was done; the answer.
    Ok(Value),
    /// Refused for good, with the error's name.
    Refused(String),
    /// It may have had an effect.
    Unknown,
    /// It was never sent.
    NotSent,
}

/// One request to one node.
pub async fn request(node: &str, operation: &Operation, body: &Value, invocation: &str) -> Reply {
    let Ok(stream) = Stream::connect(&format!("{node}:{API}")).await else { return Reply::NotSent };
    let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
        return Reply::NotSent;
    };
    let connection = tokio::spawn(connection);
    let mut request = http::Request::builder()
        .method(operation.method.clone())
        .uri(&operation.path)
        .header("host", "localhost")
        .header("content-type", operation.media_type);
    if let Some(target) = &operation.target {
        request = request.header("x-amz-target", target);
    }
    let request =
        request.header("amz-sdk-invocation-id", invocation).body(Full::new(Bytes::from(body.to_string())));
    let Ok(request) = request else { return Reply::NotSent };
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let status = response.status();
        let bytes = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice::<Value>(&bytes).unwrap_or_default()))
    };
    let answer = answer.await;
    connection.abort();
    match answer {
        None => Reply::Unknown,
        Some((status, value)) if status.is_success() => Reply::Ok(value),
        Some((status, value)) if status.is_client_error() => {
            let said = value.get("message").or(value.get("Message")).and_then(Value::as_str);
            trace::line(format_args!("{node} refuses {operation}: {}", said.unwrap_or_default()));
            Reply::Refused(value["__type"].as_str().unwrap_or_default().to_owned())
        }
        Some(_) => Reply::Unknown,
    }
}
