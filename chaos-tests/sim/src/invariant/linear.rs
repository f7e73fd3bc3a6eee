//! I3: what clients saw of each register is what one register would have shown them, in some order that respects who was
//! answered before whom asked. The search is Wing and Gong's, with Lowe's memory of what was tried.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Violation};
use crate::record::{Change, Operation, Record, Seen};

/// Configurations that are tried for one register at most; beyond it the register counts as not judged.
const BUDGET: usize = 300_000;

/// Every register of the record. Gives the number of operations judged.
///
/// # Errors
/// A register whose answers no order explains.
pub fn check(record: &Record) -> Result<usize, Violation> {
    let mut registers: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in record.operations.iter().filter(|operation| !operation.cancelled) {
        registers.entry(&operation.key).or_default().push(operation);
    }
    let mut judged = 0;
    for (key, operations) in registers {
        judged += operations.len();
        register(key, &operations)?;
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

fn register(key: &str, operations: &[&Operation]) -> Check {
    let mut order: Vec<&Operation> = operations.to_vec();
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
            return Ok(());
        }
        furthest = furthest.max(done.iter().map(|word| word.count_ones()).sum());
        // Nothing may take effect after the first answer of what has not.
        let first_end = waiting().filter_map(|index| order[index].ended.map(|(at, _)| at)).min();
        for index in waiting() {
            if first_end.is_some_and(|end| order[index].begun > end) {
                break;
            }
            let Some(next) = effect(order[index], value) else { continue };
            let mut then = done.clone();
            then[index / 64] |= 1 << (index % 64);
            if tried.len() > BUDGET {
                return Ok(());
            }
            if tried.insert((then.clone(), next)) {
                stack.push((then, next));
            }
        }
    }
    let shown: Vec<String> = order.iter().map(|operation| show(operation)).collect();
    let detail =
        format!("register {key}: at most {furthest} of its operations fit:\n  {}", shown.join("\n  "));
    Err(Violation::new("history_is_linearizable", detail))
}

fn show(operation: &Operation) -> String {
    let ended = operation.ended.map_or("unknown".to_owned(), |(at, seen)| format!("{seen:?} at {at}"));
    format!("{} {:?}: {ended}", operation.begun, operation.change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(build: impl FnOnce(&mut Record)) -> bool {
        let mut record = Record::default();
        build(&mut record);
        check(&record).is_ok()
    }

    #[test]
    fn what_one_register_would_show_is_explained() {
        assert!(judge(|record| {
            let create = record.begin("k", Change::Create(1));
            let read = record.begin("k", Change::Read);
            record.end(read, Seen::Absent);
            record.end(create, Seen::Done);
            let lost = record.begin("k", Change::Write(2));
            assert!(lost > 0);
            for seen in [1, 1, 2] {
                let read = record.begin("k", Change::Read);
                record.end(read, Seen::Value(seen));
            }
        }));
    }

    #[test]
    fn a_stale_read_is_not() {
        assert!(!judge(|record| {
            let create = record.begin("k", Change::Create(1));
            record.end(create, Seen::Done);
            let write = record.begin("k", Change::Write(2));
            record.end(write, Seen::Done);
            let read = record.begin("k", Change::Read);
            record.end(read, Seen::Value(1));
        }));
    }

    #[test]
    fn nor_is_a_value_that_comes_back() {
        assert!(!judge(|record| {
            let create = record.begin("k", Change::Create(1));
            record.end(create, Seen::Done);
            record.begin("k", Change::Write(2));
            for seen in [2, 1] {
                let read = record.begin("k", Change::Read);
                record.end(read, Seen::Value(seen));
            }
        }));
    }

    #[test]
    fn nor_a_write_that_was_done_twice() {
        assert!(!judge(|record| {
            let create = record.begin("k", Change::Create(1));
            record.end(create, Seen::Done);
            let first = record.begin("k", Change::Write(2));
            let second = record.begin("k", Change::Write(3));
            record.end(second, Seen::Done);
            for seen in [2, 3, 2] {
                let read = record.begin("k", Change::Read);
                record.end(read, Seen::Value(seen));
            }
            record.end(first, Seen::Done);
        }));
    }
}
