//! What happens to task definitions.

use std::sync::Arc;

use trireme_types::Timestamp;

use crate::object::{TaskDefinition, TaskDefinitionKey, TaskDefinitionStatus};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::TaskDefinitionRegistered { key, spec, tags, registered_by } => {
            let definition = TaskDefinition {
                key: key.clone(),
                status: TaskDefinitionStatus::Active,
                spec: spec.clone(),
                tags: tags.clone(),
                registered_at: at,
                registered_by: registered_by.clone(),
                deregistered_at: None,
            };
            state.families.insert((key.scope.clone(), key.family.clone()), key.revision);
            state.task_definitions.insert(key.clone(), Arc::new(definition));
        }
        Event::TaskDefinitionDeregistered { key } => with(state, key, |definition| {
            definition.status = TaskDefinitionStatus::Inactive;
            definition.deregistered_at = Some(at);
        }),
        Event::TaskDefinitionDeleted { key } => {
            with(state, key, |definition| definition.status = TaskDefinitionStatus::DeleteInProgress);
            if state.task_definitions.contains_key(key) {
                state.deleted_definitions.insert(key.clone(), at);
            }
        }
        Event::TaskDefinitionForgotten { key } => {
            state.task_definitions.remove(key);
            state.deleted_definitions.remove(key);
        }
        _ => {}
    }
}

fn with(state: &mut State, key: &TaskDefinitionKey, change: impl FnOnce(&mut TaskDefinition)) {
    if let Some(definition) = state.task_definitions.get_mut(key) {
        change(Arc::make_mut(definition));
    }
}
