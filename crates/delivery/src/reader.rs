//! A place in the history: what is read next, with the state as it was then.

use trireme_ecs_api::eventbridge::{Emitted, emitted};
use trireme_state::{State, apply_event};
use trireme_types::{Sequence, Timestamp};

use crate::past::{Gone, Past};

/// Events of the history that are read at once.
pub(crate) const BATCH: usize = 256;

/// What one event of the history comes to.
pub(crate) struct Told {
    pub(crate) sequence: Sequence,
    pub(crate) at: Timestamp,
    pub(crate) events: Vec<Emitted>,
}

/// The state at a place in the history.
pub(crate) struct Reader {
    state: State,
    at: Sequence,
}

impl Reader {
    pub(crate) async fn open(past: &dyn Past, at: Sequence) -> Result<Self, Gone> {
        Ok(Self { state: past.state_at(at).await?, at })
    }

    /// Where it stands: the last event that it has read.
    pub(crate) fn at(&self) -> Sequence {
        self.at
    }

    /// Reads on while `more` wants it, and says whether there may be more at once.
    pub(crate) async fn read(
        &mut self,
        past: &dyn Past,
        mut more: impl FnMut(Told) -> bool,
    ) -> Result<bool, Gone> {
        let records = past.records(self.at.next(), BATCH).await?;
        let full = records.len() >= BATCH;
        for record in records {
            let before = self.state.clone();
            apply_event(&mut self.state, record.at, &record.event);
            self.at = record.sequence;
            let events = emitted(&before, &self.state, &record);
            if !more(Told { sequence: record.sequence, at: record.at, events }) {
                return Ok(true);
            }
        }
        Ok(full)
    }
}
