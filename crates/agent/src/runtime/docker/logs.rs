//! What Docker keeps of what a container wrote.

use bollard::container::LogOutput;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;

use super::exec::denied;
use super::{DockerRuntime, labels};
use crate::runtime::inside::{BoxStream, Denied, Line, Lines, Member};

/// The drivers whose logs Docker can read.
const READABLE: [&str; 3] = ["json-file", "journald", "local"];
const NANOS: u64 = 1_000_000_000;

/// A container of ours, by its task and name.
pub(super) async fn inspect(
    runtime: &DockerRuntime,
    member: &Member,
) -> Result<ContainerInspectResponse, Denied> {
    let name = format!("trireme-{}-{}", member.task, member.container);
    let gone = || Denied::because(format!("there is no container {} any more", member.container));
    match runtime.inspect(&name).await {
        Ok(known) => {
            let labels = known.config.as_ref().and_then(|config| config.labels.as_ref());
            if labels.is_some_and(|labels| labels::is_of(labels, member)) { Ok(known) } else { Err(gone()) }
        }
        Err(outcome) if outcome.is_not_found() => Err(gone()),
        Err(outcome) => Err(denied(member, outcome)),
    }
}

/// Reads lines, as fast as they are taken.
pub(super) async fn lines(
    runtime: &DockerRuntime,
    member: &Member,
    wanted: Lines,
) -> Result<BoxStream<Result<Line, Denied>>, Denied> {
    let known = inspect(runtime, member).await?;
    let driver = known.host_config.and_then(|host| host.log_config).and_then(|config| config.typ);
    let driver = driver.unwrap_or_default();
    if !READABLE.contains(&driver.as_str()) {
        return Err(Denied::because(format!(
            "container {} logs to {driver}, from which nothing can be read here",
            member.container
        )));
    }
    let tail = wanted.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    // Docker knows seconds only; what is too early is left out below.
    let since = i32::try_from(wanted.since_nanos / NANOS).unwrap_or(i32::MAX);
    let options = LogsOptionsBuilder::default()
        .follow(wanted.follow)
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(since)
        .tail(&tail)
        .build();
    let id = known.id.unwrap_or_default();
    let lines = runtime.docker.logs(&id, Some(options));
    Ok(Box::pin(lines.filter_map(move |output| {
        let line = match output {
            Ok(output) => line(output).filter(|line| line.at_nanos >= wanted.since_nanos).map(Ok),
            Err(error) => Some(Err(Denied::because(format!("Docker's log broke off: {error}")))),
        };
        std::future::ready(line)
    })))
}

/// What Docker sends of a line: its moment, a space, and the line.
fn line(output: LogOutput) -> Option<Line> {
    let (stderr, mut bytes): (bool, Bytes) = match output {
        LogOutput::StdErr { message } => (true, message),
        LogOutput::StdOut { message } | LogOutput::Console { message } => (false, message),
        LogOutput::StdIn { .. } => return None,
    };
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let at_nanos = nanos(std::str::from_utf8(&bytes[..space]).ok()?)?;
    let text = bytes.split_off(space + 1);
    Some(Line { at_nanos, stderr, text })
}

/// Docker's moments have nine digits after the point.
fn nanos(text: &str) -> Option<u64> {
    let at: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(at.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_bytes_and_its_moment() {
        let message = Bytes::from_static(b"2026-11-28T20:47:00.000000123Z  two  spaces \xff\n");
        let line = super::line(LogOutput::StdErr { message }).unwrap();
        assert_eq!((line.at_nanos % NANOS, line.stderr), (123, true));
        assert_eq!(line.text.as_ref(), b" two  spaces \xff\n");
    }

    #[test]
    fn what_has_no_moment_is_no_line() {
        for text in ["", "nospace", "yesterday it rained\n"] {
            assert_eq!(super::line(LogOutput::StdOut { message: Bytes::from(text) }), None);
        }
    }
}
