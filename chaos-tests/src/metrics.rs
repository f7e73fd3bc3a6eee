//! `/metrics` as Prometheus reads it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The metrics that a process serves at this address.
pub fn read(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    ensure!(!head.to_ascii_lowercase().contains("transfer-encoding"), "the length is not known: {head}");
    Ok(body.to_owned())
}

/// Lets Prometheus's own checker judge them; `None` when it is not installed.
pub fn check(metrics: &str) -> Option<Result<()>> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let judged = (|| {
        child.stdin.take().context("no input")?.write_all(metrics.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.is_empty(), "promtool: {said}");
        Ok(())
    })();
    Some(judged)
}

/// Whether a sample of this name has all these labels.
pub fn has(metrics: &str, name: &str, labels: &[&str]) -> bool {
    metrics.lines().any(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ', '_']));
        rest.is_some_and(|rest| labels.iter().all(|label| rest.contains(&format!("{label}=\""))))
    })
}

/// The sum of a metric's samples, whatever their labels; 0 when there is none.
pub fn sum(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.sum()
}
