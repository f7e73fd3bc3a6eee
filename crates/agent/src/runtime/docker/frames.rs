//! What a container wrote, as Docker keeps it: frames, each with the moment at which Docker had it.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

const NANOS: u64 = 1_000_000_000;

/// A line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// When Docker had it, in nanoseconds since 1970.
    pub(super) at_nanos: u64,
    /// It was written to the standard error.
    pub(super) stderr: bool,
    /// What was written, as it was written.
    pub(super) text: Bytes,
}

/// Reads a container's frames from a time on, as fast as they are taken; the last `tail` of them, or all. With `follow` until it ends. Docker
/// knows seconds only: some may be earlier.
pub(super) fn read(
    docker: &Docker,
    id: &str,
    since_nanos: u64,
    follow: bool,
    tail: Option<u32>,
) -> impl Stream<Item = Result<Frame, Error>> + use<> {
    let tail = tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string());
    let options = LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(follow)
        .since(i32::try_from(since_nanos / NANOS).unwrap_or(i32::MAX))
        .tail(&tail)
        .build();
    let frames = docker.logs(id, Some(options));
    frames.filter_map(|output| std::future::ready(output.map(frame).transpose()))
}

/// What Docker sends of one: its moment, a space, and what was written.
fn frame(output: LogOutput) -> Option<Frame> {
    let (stderr, mut bytes) = match output {
        LogOutput::StdErr { message } => (true, message),
        LogOutput::StdOut { message } | LogOutput::Console { message } => (false, message),
        LogOutput::StdIn { .. } => return None,
    };
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let at: jiff::Timestamp = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let text = bytes.split_off(space + 1);
    Some(Frame { at_nanos: u64::try_from(at.as_nanosecond()).ok()?, stderr, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_keeps_its_bytes_and_its_moment() {
        let message = Bytes::from_static(b"2026-11-28T20:47:00.000000123Z  two  spaces \xff\n");
        let frame = super::frame(LogOutput::StdErr { message }).unwrap();
        assert_eq!((frame.at_nanos % NANOS, frame.stderr), (123, true));
        assert_eq!(frame.text.as_ref(), b" two  spaces \xff\n");
    }

    #[test]
    fn what_has_no_moment_is_none() {
        for text in ["", "nospace", "yesterday it rained\n"] {
            assert_eq!(super::frame(LogOutput::StdOut { message: Bytes::from(text) }), None);
        }
    }
}
