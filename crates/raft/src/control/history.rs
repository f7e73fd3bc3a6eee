//! Reading the history for another node or an operator, and following it.

use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tonic::{Code, Status};
use trireme_rpc::log;
use trireme_types::Sequence;

use crate::error::Error;
use crate::history::{History, Part};
use crate::machine::View;
use crate::snapshot::blocking;

/// Records that one read of a followed history takes at most.
const PART: usize = 512;
/// Where an answer of what is no longer kept says what is.
const FIRST_KEPT: &str = "trireme-history-first";

/// Says that records are no longer kept, and which are.
fn no_longer_kept(asked: Sequence, first: Sequence) -> Status {
    let mut status = Status::out_of_range(Error::Trimmed { asked, first }.to_string());
    status.metadata_mut().insert(FIRST_KEPT, first.get().into());
    status
}

/// The first kept record, if the status says that others are not kept any more.
pub(crate) fn first_kept(status: &Status) -> Option<Sequence> {
    let first = (status.code() == Code::OutOfRange).then(|| status.metadata().get(FIRST_KEPT))??;
    first.to_str().ok()?.parse().ok().map(Sequence::new)
}

/// A reader of the history that may wait for more.
pub(crate) struct Reading {
    pub history: Arc<History>,
    pub view: watch::Receiver<Arc<View>>,
    pub next: u64,
    pub left: u64,
    pub follow: bool,
}

impl Reading {
    /// The records one by one. What is missing is an error, never a hole.
    pub(crate) fn stream(self) -> impl Stream<Item = Result<log::HistoryRecord, Status>> + Send {
        let parts = stream::unfold(Some(self), |reading| async {
            let mut reading = reading?;
            match reading.part().await {
                Ok(Some(records)) => Some((Ok(records), Some(reading))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        parts.flat_map(|part| match part {
            Ok(records) => stream::iter(records.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(status) => stream::iter(vec![Err(status)]),
        })
    }

    /// The next records; `None` at the end.
    async fn part(&mut self) -> Result<Option<Vec<log::HistoryRecord>>, Status> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            // Only what is applied is shown: the history holds it before watchers see it.
            let applied = self.view.borrow_and_update().state.position();
            let limit = self.left.min(PART as u64);
            let limit = usize::try_from(limit).unwrap_or(PART);
            if self.next <= applied.sequence.get() {
                let (history, next) = (Arc::clone(&self.history), Sequence::new(self.next));
                let part = blocking(move || history.read(next, limit, applied)).await;
                let records = match part.map_err(|error| Status::data_loss(error.to_string()))? {
                    Part::Records(records) => records,
                    Part::Trimmed { first } => return Err(no_longer_kept(next, first)),
                    Part::Elsewhere => {
                        return Err(Status::unavailable(format!("record {} is not on this node", self.next)));
                    }
                };
                if let Some(last) = records.last() {
                    self.next = last.sequence.saturating_add(1);
                    self.left = self.left.saturating_sub(records.len() as u64);
                    return Ok(Some(records));
                }
            }
            if !self.follow || self.view.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}
