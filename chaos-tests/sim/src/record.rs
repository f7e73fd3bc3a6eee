//! What clients asked for and what they were told, in the order in which it happened. The checkers read it.

use std::collections::BTreeMap;

/// What an operation asks of one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Makes it, with a value; refused when it is there.
    Create(u64),
    /// Makes it, with a value; done without a change when it is there.
    Ensure(u64),
    /// Removes it.
    Delete,
    /// Sets it; refused when it is not there.
    Write(u64),
    /// Reads it.
    Read,
}

/// What the client saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was done.
    Done,
    /// The value that was read.
    Value(u64),
    /// There is no such register.
    Absent,
    /// There is one already.
    Exists,
}

/// One operation on one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The register.
    pub key: String,
    /// What was asked.
    pub change: Change,
    /// When it began, in steps of the record.
    pub begun: u64,
    /// Events that were applied when it began.
    pub since: u64,
    /// When it was answered, and how; `None` while nobody knows.
    pub ended: Option<(u64, Seen)>,
    /// It had no effect and says nothing.
    pub cancelled: bool,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Operations on registers.
    pub operations: Vec<Operation>,
    /// Acknowledged new clusters.
    pub clusters: Vec<String>,
    /// Acknowledged tasks by their client token.
    pub tasks: BTreeMap<String, String>,
    /// Events that were applied anywhere at the last look.
    pub applied: u64,
    fresh: Vec<usize>,
    steps: u64,
    values: u64,
}

impl Record {
    fn step(&mut self) -> u64 {
        self.steps += 1;
        self.steps
    }

    /// A value that no other operation writes.
    pub fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    /// An operation begins.
    pub fn begin(&mut self, key: &str, change: Change) -> usize {
        let begun = self.step();
        let (key, since) = (key.to_owned(), self.applied);
        let operation = Operation { key, change, begun, since, ended: None, cancelled: false };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// It is answered.
    pub fn end(&mut self, operation: usize, seen: Seen) {
        let now = self.step();
        self.operations[operation].ended = Some((now, seen));
        self.fresh.push(operation);
    }

    /// It never happened.
    pub fn cancel(&mut self, operation: usize) {
        self.operations[operation].cancelled = true;
    }

    /// Operations that were answered since this was asked last.
    pub fn take_fresh(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.fresh)
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.operations.iter().filter(|one| one.ended.is_some()).count()
    }
}
