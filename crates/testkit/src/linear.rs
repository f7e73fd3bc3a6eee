//! Whether what clients saw of registers is linearizable: what they saw of each is what one register would have shown them, in
//! some order that respects who was answered before whom asked. The search is Wing and Gong's, with Lowe's memory of what was
//! tried.

use std::collections::{BTreeMap, BTreeSet};

/// Configurations that are tried for one register at most.
const BUDGET: usize = 300_000;

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
    /// When it was answered, and how; `None` while nobody knows.
    pub ended: Option<(u64, Seen)>,
    /// It had no effect and says nothing.
    pub cancelled: bool,
}

/// What clients asked for and what they were told, in the order in which it happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    operations: Vec<Operation>,
    steps: u64,
    values: u64,
}

impl History {
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
        let operation = Operation { key: key.to_owned(), change, begun, ended: None, cancelled: false };
        self.operations.push(operation);
        self.operations.len() - 1
    }

    /// It is answered.
    pub fn end(&mut self, operation: usize, seen: Seen) {
        let now = self.step();
        self.operations[operation].ended = Some((now, seen));
    }

    /// It never happened.
    pub fn cancel(&mut self, operation: usize) {
        self.operations[operation].cancelled = true;
    }

    /// One operation, by what [`History::begin`] gave for it.
    pub fn operation(&self, operation: usize) -> &Operation {
        &self.operations[operation]
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.operations.iter().filter(|one| one.ended.is_some()).count()
    }
}

/// What a history came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Operations of registers that are explained.
    pub operations: usize,
    /// Operations of registers of which the search gave up.
    pub open: usize,
}

/// A register whose answers no order explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained {
    /// The register.
    pub key: String,
    /// The most of its operations that fit together.
    pub furthest: u32,
    /// All of them, a line each.
    pub operations: Vec<String>,
}

impl std::fmt::Display for Unexplained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, shown) = (&self.key, self.operations.join("\n  "));
        write!(f, "register {key}: at most {} of its operations fit:\n  {shown}", self.furthest)
    }
}

/// Judges every register.
///
/// # Errors
/// A register whose answers no order explains.
pub fn check(history: &History) -> Result<Judged, Unexplained> {
    let mut registers: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| !operation.cancelled) {
        registers.entry(&operation.key).or_default().push(operation);
    }
    let mut judged = Judged::default();
    for (key, operations) in registers {
        match register(key, &operations)? {
            true => judged.operations += operations.len(),
            false => judged.open += operations.len(),
        }
    }
    Ok(judged)
}

/// What an operation that takes effect on `value` leaves; `None` when it cannot have been answered so.
fn effect(operation: &Operation, value: Option<u64>) -> Option<Option<u64>> {
    let seen = operation.ended.map(|(_, seen)| seen);
    match (operation.change, seen, value) {
        (Change::Create(new), Some(Seen::Done) | None, None) => Some(Some(new)),
        (Change::Create(_), Some(Seen::Exists), Some(value)) => Some(Some(value)),
        (Change::Ensure(new), Some(Seen::Done) | None, None) => Some(Some(new)),
        (Change::Ensure(_), Some(Seen::Done) | None, Some(value)) => Some(Some(value)),
        // Removed twice is removed; one that never was is not found.
        (Change::Delete, _, None) | (Change::Delete, Some(Seen::Done) | None, Some(_)) => Some(None),
        (Change::Write(new), Some(Seen::Done) | None, Some(_)) => Some(Some(new)),
        (Change::Write(_), Some(Seen::Absent), None) => Some(None),
        (Change::Read, Some(Seen::Absent), None) => Some(None),
        (Change::Read, Some(Seen::Value(read)), Some(value)) if read == value => Some(Some(value)),
        // Nobody knows what came of it: then it was refused.
        (Change::Create(_), None, Some(value)) => Some(Some(value)),
        (Change::Write(_), None, None) => Some(None),
        _ => None,
    }
}

/// A write of which nobody knows, and whose value nobody saw, explains nothing and hinders nothing: it may be left out.
fn matters(operation: &Operation, operations: &[&Operation]) -> bool {
    match (operation.change, operation.ended) {
        (Change::Write(value), None) => {
            operations.iter().any(|other| other.ended.is_some_and(|(_, seen)| seen == Seen::Value(value)))
        }
        _ => true,
    }
}

/// Whether its answers are explained; `false` when the search gave up.
fn register(key: &str, operations: &[&Operation]) -> Result<bool, Unexplained> {
    let mut order: Vec<&Operation> =
        operations.iter().copied().filter(|operation| matters(operation, operations)).collect();
    order.sort_by_key(|operation| operation.begun);
    let words = order.len().div_ceil(64);
    let mut tried: BTreeSet<(Vec<u64>, Option<u64>)> = BTreeSet::new();
    let mut stack = vec![(vec![0_u64; words], None::<u64>)];
    let mut furthest = 0;
    while let Some((done, value)) = stack.pop() {
        let is_done = |index: usize| done[index / 64] >> (index % 64) & 1 == 1;
        let open = |index: &usize| !is_done(*index);
        let waiting = || (0..order.len()).filter(open);
        // All that was answered is explained; what nobody knows need not have happened.
        if waiting().all(|index| order[index].ended.is_none()) {
            return Ok(true);
        }
        furthest = furthest.max(done.iter().map(|word| word.count_ones()).sum());
        // Nothing may take effect after the first answer of what has not.
        let first_end = waiting().filter_map(|index| order[index].ended.map(|(at, _)| at)).min();
        let first = stack.len();
        for index in waiting() {
            if first_end.is_some_and(|end| order[index].begun > end) {
                break;
            }
            let Some(next) = effect(order[index], value) else { continue };
            let mut then = done.clone();
            then[index / 64] |= 1 << (index % 64);
            if tried.len() > BUDGET {
                return Ok(false);
            }
            if tried.insert((then.clone(), next)) {
                // What was answered is tried before what nobody knows.
                let at = if order[index].ended.is_some() { stack.len() } else { first };
                stack.insert(at, (then, next));
            }
        }
    }
    let operations = order.iter().map(|operation| show(operation)).collect();
    Err(Unexplained { key: key.to_owned(), furthest, operations })
}

fn show(operation: &Operation) -> String {
    let ended = operation.ended.map_or("unknown".to_owned(), |(at, seen)| format!("{seen:?} at {at}"));
    format!("{} {:?}: {ended}", operation.begun, operation.change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(build: impl FnOnce(&mut History)) -> bool {
        let mut history = History::default();
        build(&mut history);
        check(&history).is_ok()
    }

    #[test]
    fn what_one_register_would_show_is_explained() {
        assert!(judge(|history| {
            let create = history.begin("k", Change::Create(1));
            let read = history.begin("k", Change::Read);
            history.end(read, Seen::Absent);
            history.end(create, Seen::Done);
            let lost = history.begin("k", Change::Write(2));
            assert!(lost > 0);
            for seen in [1, 1, 2] {
                let read = history.begin("k", Change::Read);
                history.end(read, Seen::Value(seen));
            }
        }));
    }

    #[test]
    fn a_stale_read_is_not() {
        assert!(!judge(|history| {
            let create = history.begin("k", Change::Create(1));
            history.end(create, Seen::Done);
            let write = history.begin("k", Change::Write(2));
            history.end(write, Seen::Done);
            let read = history.begin("k", Change::Read);
            history.end(read, Seen::Value(1));
        }));
    }

    #[test]
    fn nor_is_a_value_that_comes_back() {
        assert!(!judge(|history| {
            let create = history.begin("k", Change::Create(1));
            history.end(create, Seen::Done);
            history.begin("k", Change::Write(2));
            for seen in [2, 1] {
                let read = history.begin("k", Change::Read);
                history.end(read, Seen::Value(seen));
            }
        }));
    }

    #[test]
    fn nor_a_write_that_was_done_twice() {
        assert!(!judge(|history| {
            let create = history.begin("k", Change::Create(1));
            history.end(create, Seen::Done);
            let first = history.begin("k", Change::Write(2));
            let second = history.begin("k", Change::Write(3));
            history.end(second, Seen::Done);
            for seen in [2, 3, 2] {
                let read = history.begin("k", Change::Read);
                history.end(read, Seen::Value(seen));
            }
            history.end(first, Seen::Done);
        }));
    }
}
