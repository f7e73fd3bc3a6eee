//! What happens to tags.

use std::sync::Arc;

use crate::State;
use crate::command::TaggedResource;
use crate::object::Tags;

pub(super) fn change(state: &mut State, resource: &TaggedResource, change: impl FnOnce(&mut Tags)) {
    match resource {
        TaggedResource::Cluster(key) => {
            if let Some(found) = state.clusters.get_mut(key) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
        TaggedResource::Service(key) => {
            if let Some(found) = state.services.get_mut(key) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
        TaggedResource::Task(id) => {
            if let Some(found) = state.tasks.get_mut(id) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
        TaggedResource::ContainerInstance(id) => {
            if let Some(found) = state.instances.get_mut(id) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
        TaggedResource::CapacityProvider(key) => {
            if let Some(found) = state.capacity_providers.get_mut(key) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
        // It has an event of its own.
        TaggedResource::TaskSet(..) => {}
        TaggedResource::TaskDefinition(key) => {
            if let Some(found) = state.task_definitions.get_mut(key) {
                change(&mut Arc::make_mut(found).tags);
            }
        }
    }
}
