//! What is remembered of API writes, and for how long: a client token as long as what it made, any other key between one and two
//! minutes, so that no repeat within the time in which nodes send again finds it forgotten.

use std::sync::Arc;

use trireme_types::{DeploymentId, TaskId, Timestamp};

use crate::command::{IdempotencyKey, Outcome};
use crate::limits::{REQUEST_KEPT_MILLIS, REQUEST_YOUNG_MILLIS, REQUESTS_KEPT};
use crate::object::ServiceKey;
use crate::state::{RequestName, request_name};
use crate::{RecordedRequest, State};

pub(super) fn recorded(state: &mut State, at: Timestamp, key: &IdempotencyKey, outcome: &Outcome) {
    let name = request_name(key);
    let request = RecordedRequest { parameters: key.parameters, outcome: outcome.clone(), at };
    if key.is_client_token && lives_with_object(outcome) {
        state.index.add_token(&name, outcome);
    } else {
        state.request_order.push_back(name.clone());
    }
    state.requests.insert(name, Arc::new(request));
    evict(state, at);
}

/// Whether what a token made can end, and take the token with it.
fn lives_with_object(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Tasks(_) | Outcome::Service(_) | Outcome::TaskSet(..))
}

fn evict(state: &mut State, at: Timestamp) {
    while let Some(oldest) = state.request_order.front() {
        let age =
            state.requests.get(oldest).map_or(u64::MAX, |one| at.millis().saturating_sub(one.at.millis()));
        let few = state.request_order.len() <= REQUESTS_KEPT;
        if age <= REQUEST_YOUNG_MILLIS || (age <= REQUEST_KEPT_MILLIS && few) {
            return;
        }
        if let Some(name) = state.request_order.pop_front() {
            state.requests.remove(&name);
        }
    }
}

/// A token that made tasks goes with the last of them.
pub(super) fn task_is_gone(state: &mut State, id: TaskId) {
    let Some(name) = state.index.token_by_task.remove(&id) else { return };
    let last = match state.requests.get(&name).map(|request| &request.outcome) {
        Some(Outcome::Tasks(tasks)) => tasks.iter().all(|task| !state.index.token_by_task.contains_key(task)),
        _ => true,
    };
    if last {
        state.requests.remove(&name);
    }
}

/// The token that made a task set goes with it.
pub(super) fn task_set_is_gone(state: &mut State, id: DeploymentId) {
    if let Some(name) = state.index.token_by_task_set.remove(&id) {
        state.requests.remove(&name);
    }
}

/// Tokens that made or changed a service go with it.
pub(super) fn service_is_gone(state: &mut State, key: &ServiceKey) {
    let names: Vec<RequestName> = state.index.tokens_by_service.remove(key).into_iter().flatten().collect();
    for name in names {
        state.requests.remove(&name);
    }
}
