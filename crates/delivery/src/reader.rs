//! A place in the history: what is read next, with the state as it was then.

use std::sync::Arc;

use trireme_ecs_api::eventbridge::{Emitted, emitted};
use trireme_state::limits::EVENTS_PER_COMMAND;
use trireme_state::store::Record;
use trireme_state::{State, apply_event};
use trireme_types::{Sequence, Timestamp};

use crate::past::{Gone, Past};

/// Events of the history that are read at once: an entry is read whole.
const BATCH: usize = EVENTS_PER_COMMAND + 24;

/// One event of the history.
pub(crate) struct Told<'a> {
    pub(crate) sequence: Sequence,
    pub(crate) at: Timestamp,
    /// What it comes to on the event bus.
    pub(crate) events: Vec<Emitted>,
    /// The state after it.
    pub(crate) state: &'a State,
}

/// The state at a place in the history. A clone is O(1).
#[derive(Clone)]
pub(crate) struct Reader {
    state: State,
    at: Sequence,
    /// What was read from the disk and not read on from yet.
    ahead: Arc<[Record]>,
}

impl Reader {
    /// At an event of the history; `now` is a state that may be the one.
    pub(crate) async fn open(past: &dyn Past, at: Sequence, now: &State) -> Result<Self, Gone> {
        let state = if now.position().sequence == at { now.clone() } else { past.state_at(at).await? };
        Ok(Self { state, at, ahead: Arc::default() })
    }

    /// Where it stands: the last event that it has read.
    pub(crate) fn at(&self) -> Sequence {
        self.at
    }

    /// Reads on, up to `head`, while `more` takes what there is, one event after the other. An event that is not taken is read again.
    pub(crate) async fn read(
        &mut self,
        past: &dyn Past,
        head: Sequence,
        mut more: impl FnMut(&Told<'_>) -> bool,
    ) -> Result<(), Gone> {
        let next = self.at.next();
        let follows = self.ahead.first().is_some_and(|record| record.sequence == next);
        if !follows || is_cut(&self.ahead, head) && self.ahead.chunk_by(same_entry).nth(1).is_none() {
            let mut records = past.records(next, BATCH).await?;
            records.retain(|record| record.sequence <= head);
            self.ahead = records.into();
        }
        let ahead = self.ahead.clone();
        let cut = is_cut(&ahead, head);
        let mut entries = ahead.chunk_by(same_entry).peekable();
        let mut read = false;
        while let Some(entry) = entries.next() {
            // The last entry of what was read may go on behind it.
            if cut && read && entries.peek().is_none() || !self.read_entry(entry, &mut more) {
                break;
            }
            read = true;
        }
        self.ahead = ahead.iter().filter(|record| record.sequence > self.at).cloned().collect();
        Ok(())
    }

    /// The events of one entry. What one of them says of an object may stand in the next: where a new task was launched, say.
    fn read_entry(&mut self, entry: &[Record], more: &mut impl FnMut(&Told<'_>) -> bool) -> bool {
        let mut whole = self.state.clone();
        entry.iter().for_each(|record| apply_event(&mut whole, record.at, &record.event));
        for record in entry {
            let mut after = self.state.clone();
            apply_event(&mut after, record.at, &record.event);
            let events = emitted(&self.state, &after, &whole, record);
            let told = Told { sequence: record.sequence, at: record.at, events, state: &after };
            if !more(&told) {
                return false;
            }
            self.state = after;
            self.at = record.sequence;
        }
        true
    }
}

/// Whether more has happened than was read.
fn is_cut(records: &[Record], head: Sequence) -> bool {
    records.last().is_none_or(|record| record.sequence < head)
}

/// Events of one command: nothing else has its request id.
fn same_entry(one: &Record, next: &Record) -> bool {
    (one.at, one.request_id) == (next.at, next.request_id)
}
