//! What a container says, as Docker keeps it: frames with the time at which it had each, joined to lines.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::runtime::{Failure, FailureKind, OutputLine};

/// A longer line is given in parts (logs API: PutLogEvents, the longest event).
const LONGEST: usize = 256 * 1024 - 1_024;

/// Sends a container's lines from a time on. With `follow` until it ends or the receiver is gone.
pub(super) async fn read(
    docker: &Docker,
    id: &str,
    since: u64,
    follow: bool,
    lines: &mpsc::Sender<OutputLine>,
) -> Result<(), Failure> {
    // A receiver that is slow makes Docker wait in this answer, and nowhere else: it keeps what the container says in a file of its own.
    let since = i32::try_from(since / 1_000_000_000).unwrap_or(i32::MAX);
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).follow(follow).since(since);
    let mut frames = Box::pin(docker.logs(id, Some(options.build())));
    let mut parts = Parts::default();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| {
            let missing =
                matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. });
            let kind = if missing { FailureKind::CannotInspect } else { FailureKind::Unreachable };
            Failure::new(kind, error.to_string())
        })?;
        if let Some(line) = parts.add(frame)
            && lines.send(line).await.is_err()
        {
            return Ok(());
        }
    }
    for line in parts.finish() {
        if lines.send(line).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Lines that have not ended, one for each way.
#[derive(Debug, Default)]
struct Parts {
    open: [Option<OutputLine>; 2],
}

impl Parts {
    fn add(&mut self, frame: LogOutput) -> Option<OutputLine> {
        let (way, bytes) = match frame {
            LogOutput::StdErr { message } => (1, message),
            LogOutput::StdOut { message } | LogOutput::Console { message } | LogOutput::StdIn { message } => {
                (0, message)
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let (stamp, text) = stamped(&text)?;
        let line = self.open[way].get_or_insert_default();
        let (text, whole) = match text.strip_suffix('\n') {
            Some(text) => (text.strip_suffix('\r').unwrap_or(text), true),
            None => (text, false),
        };
        line.stamps.push(stamp);
        line.text.push_str(text);
        if whole || line.text.len() >= LONGEST { self.open[way].take() } else { None }
    }

    fn finish(self) -> impl Iterator<Item = OutputLine> {
        self.open.into_iter().flatten()
    }
}

/// Docker's time in front of a frame, in nanoseconds, and the rest.
fn stamped(text: &str) -> Option<(u64, &str)> {
    let (time, rest) = text.split_once(' ').unwrap_or((text.trim_end(), "\n"));
    let time: Timestamp = time.parse().ok()?;
    Some((u64::try_from(time.as_nanosecond()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(error: bool, text: &str) -> LogOutput {
        let message = text.to_owned().into_bytes().into();
        if error { LogOutput::StdErr { message } } else { LogOutput::StdOut { message } }
    }

    #[test]
    fn parts_of_a_line_are_joined_and_ways_are_kept_apart() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(frame(false, "1970-01-01T00:00:01.000000005Z one, ")), None);
        let other = parts.add(frame(true, "1970-01-01T00:00:02.000000000Z error\r\n")).unwrap();
        assert_eq!((other.text.as_str(), other.stamps), ("error", vec![2_000_000_000]));
        let whole = parts.add(frame(false, "1970-01-01T00:00:01.000000009Z two\n")).unwrap();
        assert_eq!((whole.text.as_str(), whole.stamps), ("one, two", vec![1_000_000_005, 1_000_000_009]));
        let empty = parts.add(frame(false, "1970-01-01T00:00:03.000000000Z \n")).unwrap();
        assert_eq!(empty.text, "");
        assert_eq!(parts.add(frame(false, "no time\n")), None);
        parts.add(frame(false, "1970-01-01T00:00:04.000000000Z rest"));
        assert_eq!(parts.finish().map(|line| line.text).collect::<Vec<_>>(), ["rest"]);
    }
}
