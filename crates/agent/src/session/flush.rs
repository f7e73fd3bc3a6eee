//! When what happened to tasks is told.

use std::time::Duration;

use trireme_rpc::agent as wire;
use trireme_rpc::agent::agent_message::Message as FromAgent;

use super::{End, Stream};
use crate::clock::{self, Instant};
use crate::outbox::Outbox;

/// Reports wait no longer than this for company.
const FLUSH: Duration = Duration::from_millis(20);
/// Batches of reports that are not acknowledged.
const BATCHES_IN_FLIGHT: usize = 4;

/// When reports are sent: at once while nothing is under way, else together with what comes within [`FLUSH`].
#[derive(Default)]
pub(super) struct Flush {
    last: Option<Instant>,
    number: u64,
}

impl Flush {
    pub fn due(&self, outbox: &Outbox) -> Option<Instant> {
        if !outbox.has_waiting() {
            return None;
        }
        match outbox.in_flight() {
            0 => Some(clock::now()),
            under_way if under_way < BATCHES_IN_FLIGHT => {
                Some(self.last.map_or_else(clock::now, |last| last + FLUSH))
            }
            _ => None,
        }
    }

    pub async fn send(&mut self, outbox: &Outbox, stream: &Stream) -> Result<(), End> {
        self.number += 1;
        self.last = Some(clock::now());
        let reports = outbox.take(self.number);
        if reports.is_empty() {
            return Ok(());
        }
        let batch = wire::StatusBatch { epoch: stream.epoch, batch: self.number, reports };
        stream.send(FromAgent::Status(batch)).await
    }
}
