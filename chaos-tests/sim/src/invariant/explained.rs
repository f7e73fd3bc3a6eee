//! I3, sharper: each answer, refusals among them, is what the applied state said at some moment between the call and the answer.
//! An answer that no order of the clients' calls contradicts may still show what is not committed yet, and may never be.

use std::time::Duration;

use trireme_state::State;
use trireme_state::object::{ClusterKey, ServiceKey};
use trireme_testkit::linear::{Change, Operation, Seen};
use trireme_types::{ClusterName, Scope, ServiceName};

use super::truth::Truth;
use super::{Check, hold};
use crate::record::Record;
use crate::shared::Shared;

/// A node that has left may have answered so long ago: messages may wait on their way.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Whether an answer that nothing explains may wait.
///
/// What a node has applied in the last millisecond before it ended by itself was not seen. So while one is down that ended so, an
/// answer that nothing explains waits: all that was committed is applied elsewhere in the end. It goes on waiting when that node is
/// up again, until somebody has applied more, and for a while longer: the next leader is perhaps not elected yet. At the end nothing
/// may wait ([`check_last`]).
pub fn may_wait(shared: &Shared, record: &mut Record, truth: &Truth, now: Duration) -> bool {
    let last = shared.controls.borrow().iter().filter_map(|host| host.over.get()).max();
    if let Some(last) = last.filter(|last| record.over.is_none_or(|(over, _)| over <= *last)) {
        record.over = Some((last, truth.length()));
    }
    unseen(shared, now) || record.over.is_some_and(|over| is_recent(over, truth, now))
}

/// What was answered since the last look.
///
/// # Errors
/// An answer that no state explains, where none may wait.
pub fn check(record: &mut Record, truth: &Truth, may_wait: bool) -> Check {
    record.applied = truth.length();
    for number in record.take_fresh() {
        if !is_explained(record, truth, number) {
            hold("answers_are_explained", may_wait, || describe(record, truth, number))?;
            record.put_back(number);
        }
    }
    Ok(())
}

/// At the end, when everything has healed: no answer may wait any more.
///
/// # Errors
/// An answer that no state explains.
pub fn check_last(record: &Record, truth: &Truth) -> Check {
    let open = record.fresh().iter().find(|number| !is_explained(record, truth, **number));
    hold("answers_are_explained", open.is_none(), || {
        open.map_or_else(String::new, |number| describe(record, truth, *number))
    })
}

fn is_explained(record: &Record, truth: &Truth, number: usize) -> bool {
    let (operation, since) = record.operation(number);
    truth.states_since(since).any(|state| explains(state, operation))
}

fn describe(record: &Record, truth: &Truth, number: usize) -> String {
    let (operation, since) = record.operation(number);
    format!("{operation:?}: by no state from event {since} to {}", truth.length())
}

fn is_recent((over, length): (Duration, u64), truth: &Truth, now: Duration) -> bool {
    truth.length() == length || now.saturating_sub(over) < LAST_WORDS
}

fn unseen(shared: &Shared, now: Duration) -> bool {
    let left = shared.left.borrow();
    shared.controls.borrow().iter().any(|host| {
        let recent = |over: Duration| now.saturating_sub(over) < LAST_WORDS;
        host.over.get().is_some_and(|over| !left.contains(&host.number) || recent(over))
    })
}

fn explains(state: &State, operation: &Operation) -> bool {
    let Some((_, seen)) = operation.ended else { return true };
    let value = value(state, &operation.key);
    match (operation.change, seen) {
        (Change::Create(new) | Change::Write(new), Seen::Done) => value == Some(new),
        (Change::Delete, _) | (_, Seen::Absent) => value.is_none(),
        (_, Seen::Done | Seen::Exists) => value.is_some(),
        (_, Seen::Value(read)) => value == Some(read),
    }
}

/// A register's value: a cluster's tag, a service's tag, or how many tasks it wants.
fn value(state: &State, register: &str) -> Option<u64> {
    let scope = Scope::development();
    let (name, field) = register.split_once('/').unwrap_or((register, ""));
    let cluster = |name: &str| Some(ClusterKey { scope: scope.clone(), name: ClusterName::new(name).ok()? });
    let tags = match field {
        "" => &state.active_cluster(&cluster(name)?)?.tags,
        _ => {
            let key = ServiceKey { cluster: cluster("default")?, name: ServiceName::new(name).ok()? };
            let service = state.service(&key)?;
            if field == "count" {
                return Some(service.spec.desired_count.into());
            }
            &service.tags
        }
    };
    Some(tags.get("v").and_then(|value| value.parse().ok()).unwrap_or(0))
}
