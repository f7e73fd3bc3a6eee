//! What a container wrote, from the runtime to a channel, no faster than it is taken there.

use futures_util::StreamExt;
use tonic::Streaming;
use trireme_rpc::channel::from_agent::Frame;
use trireme_rpc::channel::{LogEnd, LogLine, Logs, ToAgent};

use super::{Asked, FRAME_BYTES, Out, member};
use crate::runtime::inside::{Denied, Line, Lines};

/// Sends the lines that are asked for until their end, or until nobody is interested any more.
pub(super) async fn run(
    asked: &Asked,
    logs: Logs,
    out: &Out,
    inbound: &mut Streaming<ToAgent>,
) -> Result<(), Denied> {
    let member = member(asked, &logs.task_id, logs.container)?;
    let wanted = Lines { follow: logs.follow, since_nanos: logs.since_nanos, tail: logs.tail };
    let mut lines = asked.runtime.lines(&member, wanted).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            // Nothing is said on this way: it ends.
            _ = inbound.message() => return Ok(()),
            () = out.closed() => return Ok(()),
        };
        let Some(line) = line else { break };
        for frame in frames(line?) {
            if out.send(frame).await.is_none() {
                return Ok(());
            }
        }
    }
    let _nobody_reads = out.send(Frame::LogEnd(LogEnd {})).await;
    Ok(())
}

/// A line in frames that are not too long.
fn frames(mut line: Line) -> impl Iterator<Item = Frame> {
    let mut first = true;
    std::iter::from_fn(move || {
        if line.text.is_empty() && !first {
            return None;
        }
        first = false;
        let text = line.text.split_to(line.text.len().min(FRAME_BYTES));
        Some(Frame::LogLine(LogLine { at_nanos: line.at_nanos, stderr: line.stderr, text }))
    })
}
