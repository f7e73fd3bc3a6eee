//! Docker's API on a Unix socket: one request a connection.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Asks, and gives the status and the body; the text says why there is none.
///
/// # Errors
/// Nobody answers in time.
pub async fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
    limit: Duration,
) -> Result<(u16, Value), String> {
    timeout(limit, exchange(socket, method, path, body)).await.map_err(|_| "no answer in time".to_owned())?
}

async fn exchange(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<(u16, Value), String> {
    let text = body.map(Value::to_string).unwrap_or_default();
    let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
    // HTTP 1.0: the answer ends with the connection.
    let request = format!(
        "{method} /v1.41{path} HTTP/1.0\r\nHost: docker\r\n{kind}Content-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let mut stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer broke off")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("no status")?;
    Ok((status, serde_json::from_str(body.trim()).unwrap_or(Value::Null)))
}

/// A filter of lists, as a query.
pub fn filter(value: &Value) -> String {
    let text = value.to_string();
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    format!("?filters={}", escaped.collect::<String>())
}
