//! I3, sharper: each answer, refusals among them, is what the applied state said at some moment between the call and the answer.
//! An answer that no order of the clients' calls contradicts may still show what is not committed yet, and may never be.

use trireme_state::State;
use trireme_state::object::{ClusterKey, ServiceKey};
use trireme_testkit::linear::{Change, Operation, Seen};
use trireme_types::{ClusterName, Scope, ServiceName};

use super::truth::Truth;
use super::{Check, hold};
use crate::record::Record;
use crate::shared::Shared;

/// What was answered since the last look.
///
/// # Errors
/// An answer that no state explains.
pub fn check(shared: &Shared, record: &mut Record, truth: &Truth) -> Check {
    let fresh = record.take_fresh();
    record.applied = truth.length();
    // What a node has applied in the last millisecond before it ended by itself was not seen.
    if shared.controls.borrow().iter().any(|host| host.over.get()) {
        return Ok(());
    }
    for operation in fresh {
        let (operation, since) = record.operation(operation);
        let mut states = truth.states_since(since);
        hold("answers_are_explained", states.any(|state| explains(state, operation)), || {
            format!("{operation:?}: by no state from event {} to {}", since, truth.length())
        })?;
    }
    Ok(())
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
