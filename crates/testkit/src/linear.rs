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

/// Values that nobody saw are all the same.
const UNSEEN: u64 = u64::MAX;

/// The operations in the order in which they began, without what explains nothing; values that nobody saw are [`UNSEEN`].
fn relevant(operations: &[&Operation]) -> Vec<Operation> {
    let saw = |operation: &&Operation| match operation.ended {
        Some((_, Seen::Value(value))) => Some(value),
        _ => None,
    };
    let seen: BTreeSet<u64> = operations.iter().filter_map(saw).collect();
    let told = |value: u64| if seen.contains(&value) { value } else { UNSEEN };
    let mut order: Vec<Operation> = operations
        .iter()
        .filter(|operation| matters(operation, operations))
        .map(|operation| Operation {
            change: match operation.change {
                Change::Create(value) => Change::Create(told(value)),
                Change::Ensure(value) => Change::Ensure(told(value)),
                Change::Write(value) => Change::Write(told(value)),
                other => other,
            },
            ..(*operation).clone()
        })
        .collect();
    order.sort_by_key(|operation| operation.begun);
    order
}

/// Whether its answers are explained; `false` when the search gave up.
fn register(key: &str, operations: &[&Operation]) -> Result<bool, Unexplained> {
    let order = relevant(operations);
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
        let mut unknown: Vec<Change> = Vec::new();
        for index in waiting() {
            if first_end.is_some_and(|end| order[index].begun > end) {
                break;
            }
            let Some(next) = effect(&order[index], value) else { continue };
            if order[index].ended.is_none() {
                // What nobody knows may as well not have happened when it changes nothing; and of those that do the same, the one
                // that began first stands for all: the others can still come later.
                if next == value || unknown.contains(&order[index].change) {
                    continue;
                }
                unknown.push(order[index].change);
            }
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
    let mut all = operations.to_vec();
    all.sort_by_key(|operation| operation.begun);
    let operations = all.into_iter().map(show).collect();
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

    #[test]
    fn many_of_which_nobody_knows_are_judged_all_the_same() {
        let mut history = History::default();
        for _ in 0..40 {
            let value = history.value();
            history.begin("k", Change::Create(value));
            history.begin("k", Change::Delete);
            let read = history.begin("k", Change::Read);
            history.end(read, Seen::Absent);
        }
        let value = history.value();
        let create = history.begin("k", Change::Create(value));
        history.end(create, Seen::Exists);
        assert_eq!(check(&history).unwrap().open, 0);
    }

    /// Every order is tried, nothing is left out.
    fn by_force(operations: &[Operation], done: &mut Vec<usize>, value: Option<u64>) -> bool {
        let waiting: Vec<usize> = (0..operations.len()).filter(|index| !done.contains(index)).collect();
        if waiting.iter().all(|index| operations[*index].ended.is_none()) {
            return true;
        }
        let first_end = waiting.iter().filter_map(|index| operations[*index].ended.map(|(at, _)| at)).min();
        waiting.into_iter().any(|index| {
            if first_end.is_some_and(|end| operations[index].begun > end) {
                return false;
            }
            let Some(next) = effect(&operations[index], value) else { return false };
            done.push(index);
            let fits = by_force(operations, done, next);
            done.pop();
            fits
        })
    }

    /// Up to seven operations, some of them at the same time, some never answered; the answers are chance.
    fn any_history(random: &mut u64) -> History {
        let mut draw = |below: u64| {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*random >> 33) % below
        };
        let mut history = History::default();
        let mut open = Vec::new();
        for _ in 0..2 + draw(6) {
            let value = 1 + draw(3);
            let change = match draw(6) {
                0 | 1 => Change::Create(value),
                2 => Change::Ensure(value),
                3 => Change::Delete,
                4 => Change::Write(value),
                _ => Change::Read,
            };
            open.push((history.begin("k", change), change));
            while !open.is_empty() && draw(2) == 0 {
                let at = usize::try_from(draw(open.len() as u64)).unwrap();
                let (operation, change) = open.remove(at);
                let seen = match (change, draw(3)) {
                    (Change::Read, 0) | (Change::Write(_), 0) => Seen::Absent,
                    (Change::Read, read) => Seen::Value(read),
                    (Change::Create(_), 0) => Seen::Exists,
                    _ => Seen::Done,
                };
                history.end(operation, seen);
            }
        }
        history
    }

    #[test]
    fn what_is_left_out_of_the_search_changes_no_judgement() {
        let (mut random, mut linear) = (7, 0);
        const HISTORIES: usize = 20_000;
        for _ in 0..HISTORIES {
            let history = any_history(&mut random);
            let expected = by_force(&history.operations, &mut Vec::new(), None);
            assert_eq!(check(&history).is_ok(), expected, "{:#?}", history.operations);
            linear += usize::from(expected);
        }
        assert!(linear > HISTORIES / 10 && linear < HISTORIES * 9 / 10, "{linear} of {HISTORIES}");
    }
}
