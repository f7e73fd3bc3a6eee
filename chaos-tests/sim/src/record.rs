//! What clients asked for and what they were told, in the order in which it happened. The checkers read it.

use std::collections::BTreeMap;
use std::time::Duration;

use trireme_testkit::linear::{Change, History, Operation, Seen};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Operations on registers.
    pub operations: History,
    /// Acknowledged new clusters.
    pub clusters: Vec<String>,
    /// Acknowledged tasks by their client token.
    pub tasks: BTreeMap<String, String>,
    /// Events that were applied anywhere at the last look.
    pub applied: u64,
    /// When a node ended by itself, the last time, and how many events were applied anywhere while it was down.
    pub over: Option<(Duration, u64)>,
    /// For each operation, how many events were applied when it began.
    since: Vec<u64>,
    fresh: Vec<usize>,
}

impl Record {
    /// An operation begins.
    pub fn begin(&mut self, key: &str, change: Change) -> usize {
        self.since.push(self.applied);
        self.operations.begin(key, change)
    }

    /// It is answered.
    pub fn end(&mut self, operation: usize, seen: Seen) {
        self.operations.end(operation, seen);
        self.fresh.push(operation);
    }

    /// Answers that no state explains yet are looked at again.
    pub fn put_back(&mut self, operation: usize) {
        self.fresh.push(operation);
    }

    /// Answers that were not explained yet.
    pub fn fresh(&self) -> &[usize] {
        &self.fresh
    }

    /// Operations that were answered, or put back, since this was asked last.
    pub fn take_fresh(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.fresh)
    }

    /// An operation, and how many events were applied when it began.
    pub fn operation(&self, operation: usize) -> (&Operation, u64) {
        (self.operations.operation(operation), self.since[operation])
    }
}
