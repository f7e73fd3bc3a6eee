//! Task definitions: register, deregister, delete, and who may still use one.

use std::sync::Arc;

use trireme_types::{Family, Scope};

use super::{Decided, Decision};
use crate::command::Outcome;
use crate::object::{Tags, TaskDefinition, TaskDefinitionKey, TaskDefinitionSpec, TaskDefinitionStatus};
use crate::{Event, Rejection, State};

pub(super) fn register(
    state: &State,
    scope: &Scope,
    family: &Family,
    spec: &Arc<TaskDefinitionSpec>,
    tags: &Tags,
    registered_by: &str,
) -> Decided {
    super::tag::check_limit(tags)?;
    let last = state.families.get(&(scope.clone(), family.clone())).copied().unwrap_or(0);
    let revision = last.checked_add(1).ok_or_else(|| Rejection::LimitExceeded {
        what: format!("revisions of {family}"),
        limit: u64::from(u32::MAX),
    })?;
    let key = TaskDefinitionKey { scope: scope.clone(), family: family.clone(), revision };
    let event = Event::TaskDefinitionRegistered {
        key: key.clone(),
        spec: spec.clone(),
        tags: tags.clone(),
        registered_by: registered_by.to_owned(),
    };
    Ok(Decision { events: vec![event], outcome: Outcome::TaskDefinition(key) })
}

pub(super) fn deregister(state: &State, key: &TaskDefinitionKey) -> Decided {
    let definition = state.task_definition(key).ok_or(Rejection::TaskDefinitionNotFound)?;
    Ok(match definition.status {
        TaskDefinitionStatus::Active => Decision::one(Event::TaskDefinitionDeregistered { key: key.clone() }),
        TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => Decision::nothing(),
    })
}

pub(super) fn delete(state: &State, key: &TaskDefinitionKey) -> Decided {
    let definition = state.task_definition(key).ok_or(Rejection::TaskDefinitionNotFound)?;
    match definition.status {
        TaskDefinitionStatus::Active => Err(Rejection::TaskDefinitionActive),
        TaskDefinitionStatus::Inactive => {
            Ok(Decision::one(Event::TaskDefinitionDeleted { key: key.clone() }))
        }
        TaskDefinitionStatus::DeleteInProgress => Ok(Decision::nothing()),
    }
}

pub(super) fn forget(state: &State, keys: &[TaskDefinitionKey]) -> Decision {
    let gone = keys
        .iter()
        .filter(|key| state.deleted_definitions().contains_key(*key) && !state.is_definition_used(key));
    Decision::of(gone.map(|key| Event::TaskDefinitionForgotten { key: key.clone() }).collect())
}

/// A definition that something new may use.
pub(super) fn usable<'a>(
    state: &'a State,
    key: &TaskDefinitionKey,
) -> Result<&'a Arc<TaskDefinition>, Rejection> {
    let definition = state.task_definition(key).ok_or(Rejection::TaskDefinitionNotFound)?;
    match definition.status {
        TaskDefinitionStatus::Active => Ok(definition),
        TaskDefinitionStatus::Inactive | TaskDefinitionStatus::DeleteInProgress => {
            Err(Rejection::TaskDefinitionInactive)
        }
    }
}
