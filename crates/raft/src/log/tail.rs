//! The newest entries in memory: followers that keep up and the state machine read them here, not from disk.

use std::collections::VecDeque;
use std::ops::Range;

use openraft::EntryPayload;

use crate::config::LogEntry;

const ENTRIES: usize = 4096;
const BYTES: usize = 16 * 1024 * 1024;

/// The end of the log, without gaps; it may be empty.
#[derive(Default)]
pub(super) struct Tail {
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

pub(super) fn size(entry: &LogEntry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(batch) => batch.encoded().len(),
        EntryPayload::Blank => 0,
        EntryPayload::Membership(membership) => 128 * membership.nodes().count(),
    };
    payload.saturating_add(64)
}

impl Tail {
    pub(super) fn push(&mut self, entry: LogEntry) {
        let follows = self
            .entries
            .back()
            .is_none_or(|last| last.log_id.index.checked_add(1) == Some(entry.log_id.index));
        if !follows {
            self.clear();
        }
        self.bytes = self.bytes.saturating_add(size(&entry));
        self.entries.push_back(entry);
        while self.entries.len() > ENTRIES || (self.bytes > BYTES && self.entries.len() > 1) {
            self.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Forgets the entries at and after `index`.
    pub(super) fn cut_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|last| last.log_id.index >= index) {
            if let Some(last) = self.entries.pop_back() {
                self.bytes = self.bytes.saturating_sub(size(&last));
            }
        }
    }

    /// Forgets the entries up to and with `index`.
    pub(super) fn cut_to(&mut self, index: u64) {
        while self.entries.front().is_some_and(|first| first.log_id.index <= index) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(size(&first));
        }
    }

    /// The entries of a range, if all that the log has of it is here.
    pub(super) fn get(&self, range: Range<u64>, limit: usize) -> Option<Vec<LogEntry>> {
        let first = self.entries.front()?.log_id.index;
        if range.start < first {
            return None;
        }
        let skip = usize::try_from(range.start.saturating_sub(first)).ok()?;
        let mut found = Vec::new();
        let mut bytes = 0usize;
        for entry in self.entries.iter().skip(skip) {
            if entry.log_id.index >= range.end || (bytes > limit && !found.is_empty()) {
                break;
            }
            bytes = bytes.saturating_add(size(entry));
            found.push(entry.clone());
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LeaderId, LogId};

    fn entry(index: u64) -> LogEntry {
        LogEntry {
            log_id: LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index },
            payload: EntryPayload::Blank,
        }
    }

    fn indexes(entries: Option<Vec<LogEntry>>) -> Option<Vec<u64>> {
        entries.map(|entries| entries.iter().map(|entry| entry.log_id.index).collect())
    }

    #[test]
    fn it_answers_only_what_it_holds_whole() {
        let mut tail = Tail::default();
        assert_eq!(indexes(tail.get(1..3, usize::MAX)), None);
        (5..10).for_each(|index| tail.push(entry(index)));
        assert_eq!(indexes(tail.get(4..7, usize::MAX)), None);
        assert_eq!(indexes(tail.get(5..7, usize::MAX)), Some(vec![5, 6]));
        assert_eq!(indexes(tail.get(8..20, usize::MAX)), Some(vec![8, 9]));
        assert_eq!(indexes(tail.get(5..20, 1)), Some(vec![5]));
    }

    #[test]
    fn a_cut_log_goes_on_without_a_gap() {
        let mut tail = Tail::default();
        (5..10).for_each(|index| tail.push(entry(index)));
        tail.cut_from(8);
        tail.cut_to(5);
        tail.push(entry(8));
        assert_eq!(indexes(tail.get(6..20, usize::MAX)), Some(vec![6, 7, 8]));
        tail.push(entry(20));
        assert_eq!(indexes(tail.get(6..20, usize::MAX)), None);
    }
}
