//! What a container says, for its log stream: frames joined to lines.

use bollard::Docker;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::frames::{self, Frame};
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
    let mut frames = Box::pin(frames::read(docker, id, since, follow, None));
    let mut parts = Parts::default();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| {
            let missing =
                matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. });
            let kind = if missing { FailureKind::CannotInspect } else { FailureKind::Unreachable };
            Failure::new(kind, error.to_string())
        })?;
        if let Some(line) = parts.add(&frame)
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
    fn add(&mut self, frame: &Frame) -> Option<OutputLine> {
        let way = usize::from(frame.stderr);
        let line = self.open[way].get_or_insert_default();
        let text = String::from_utf8_lossy(&frame.text);
        let (text, whole) = match text.strip_suffix('\n') {
            Some(text) => (text.strip_suffix('\r').unwrap_or(text), true),
            None => (&*text, false),
        };
        line.stamps.push(frame.at_nanos);
        line.text.push_str(text);
        if whole || line.text.len() >= LONGEST { self.open[way].take() } else { None }
    }

    fn finish(self) -> impl Iterator<Item = OutputLine> {
        self.open.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stderr: bool, at_nanos: u64, text: &str) -> Frame {
        Frame { at_nanos, stderr, text: text.to_owned().into_bytes().into() }
    }

    #[test]
    fn parts_of_a_line_are_joined_and_ways_are_kept_apart() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(&frame(false, 5, "one, ")), None);
        let other = parts.add(&frame(true, 7, "error\r\n")).unwrap();
        assert_eq!((other.text.as_str(), other.stamps), ("error", vec![7]));
        let whole = parts.add(&frame(false, 9, "two\n")).unwrap();
        assert_eq!((whole.text.as_str(), whole.stamps), ("one, two", vec![5, 9]));
        let empty = parts.add(&frame(false, 10, "\n")).unwrap();
        assert_eq!(empty.text, "");
        parts.add(&frame(false, 11, "rest"));
        assert_eq!(parts.finish().map(|line| line.text).collect::<Vec<_>>(), ["rest"]);
    }
}
