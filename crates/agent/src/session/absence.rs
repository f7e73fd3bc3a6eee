//! Going away politely: an agent that is told to stop says for how long, so that its tasks are not replaced meanwhile.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use trireme_rpc::agent as wire;
use trireme_rpc::agent::agent_message::Message as FromAgent;
use trireme_rpc::agent::control_message::Message as ToAgent;

use super::{End, Flush, Sessions, Stream, lost};

/// How long an agent that is to stop tries to say so.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(3);

/// Cancels `over` once an agent that is to stop has had its time to say so.
pub(crate) async fn time_out(shutdown: CancellationToken, over: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(ANNOUNCE_LIMIT).await;
    over.cancel();
}

impl Sessions {
    /// Whether there is something to say before the end: who had no session since its start is not expected.
    fn has_to_announce(&self) -> bool {
        self.config.absence_ms > 0 && self.welcomed
    }

    /// Whether no further session is wanted.
    pub(super) fn is_done(&self) -> bool {
        self.shutdown.is_cancelled() && (!self.has_to_announce() || self.over.is_cancelled())
    }

    /// Returns when no further session is wanted.
    pub(super) async fn done(&self) {
        self.shutdown.cancelled().await;
        if self.has_to_announce() {
            self.over.cancelled().await;
        }
    }

    /// Says what is still to be said, and last that the agent goes. Another session may do it if this one fails.
    pub(super) async fn announce(
        &self,
        stream: &Stream,
        inbound: &mut Streaming<wire::ControlMessage>,
        flush: &mut Flush,
    ) -> End {
        if !self.has_to_announce() {
            return End::Shutdown;
        }
        tokio::select! {
            end = self.say(stream, inbound, flush) => end,
            () = self.over.cancelled() => lost("the absence is not acknowledged in time"),
        }
    }

    async fn say(
        &self,
        stream: &Stream,
        inbound: &mut Streaming<wire::ControlMessage>,
        flush: &mut Flush,
    ) -> End {
        let said = async {
            flush.send(&self.outbox, stream).await?;
            let absence = wire::Absence { epoch: stream.epoch, millis: self.config.absence_ms };
            stream.send(FromAgent::Absence(absence)).await
        };
        if let Err(end) = said.await {
            return end;
        }
        loop {
            let message = match inbound.message().await {
                Err(status) => return lost(status.message()),
                Ok(None) => return lost("the control node closed the stream"),
                Ok(Some(message)) => message.message,
            };
            match message {
                Some(ToAgent::Goodbye(goodbye)) if goodbye.absence_noted => {
                    tracing::info!(millis = self.config.absence_ms, "the control plane knows of the absence");
                    return End::Shutdown;
                }
                Some(ToAgent::Goodbye(goodbye)) => return lost(goodbye.reason),
                Some(ToAgent::StatusAck(ack)) => drop(self.outbox.acknowledge(ack.batch)),
                // What else it says is for the agent's next life.
                _ => {}
            }
        }
    }
}
