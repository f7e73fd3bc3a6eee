//! What happens to container instances.

use std::sync::Arc;

use trireme_types::{ContainerInstanceId, SessionEpoch, Timestamp};

use crate::object::{ContainerInstance, InstanceStatus, Tags};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::SessionOpened { instance, epoch, registration } => {
            if state.instances.contains_key(instance) {
                with(state, *instance, |known| {
                    known.registration = (**registration).clone();
                    known.epoch = *epoch;
                    known.connected = true;
                    known.session_opened_at = at;
                });
            } else {
                let new = ContainerInstance {
                    id: *instance,
                    registration: (**registration).clone(),
                    status: InstanceStatus::Active,
                    connected: true,
                    epoch: *epoch,
                    tags: Tags::new(),
                    registered_at: at,
                    session_opened_at: at,
                    version: 1,
                };
                state.index.add_instance(&new);
                state.instances.insert(*instance, Arc::new(new));
            }
        }
        Event::InstanceRegistered { instance, registration, tags } => {
            if state.instances.contains_key(instance) {
                with(state, *instance, |known| known.registration = (**registration).clone());
            } else {
                let new = ContainerInstance {
                    id: *instance,
                    registration: (**registration).clone(),
                    status: InstanceStatus::Active,
                    connected: false,
                    epoch: SessionEpoch::default(),
                    tags: tags.clone(),
                    registered_at: at,
                    session_opened_at: at,
                    version: 1,
                };
                state.index.add_instance(&new);
                state.instances.insert(*instance, Arc::new(new));
            }
        }
        Event::InstanceLost { instance, epoch } => with(state, *instance, |known| {
            known.connected = false;
            known.epoch = *epoch;
        }),
        Event::InstanceStatusChanged { instance, status } => with(state, *instance, |known| {
            known.status = *status;
        }),
        Event::InstanceAttributesChanged { instance, attributes } => {
            if attributes.is_empty() || !state.instances.contains_key(instance) {
                state.custom_attributes.remove(instance);
            } else {
                state.custom_attributes.insert(*instance, Arc::new(attributes.clone()));
            }
            with(state, *instance, |_| {});
        }
        Event::InstanceDeregistered { instance } => {
            state.custom_attributes.remove(instance);
            if let Some(gone) = state.instances.remove(instance) {
                state.index.remove_instance(&gone);
            }
        }
        _ => {}
    }
}

fn with(state: &mut State, id: ContainerInstanceId, change: impl FnOnce(&mut ContainerInstance)) {
    if let Some(instance) = state.instances.get_mut(&id) {
        let changed = Arc::make_mut(instance);
        change(changed);
        changed.version = changed.version.saturating_add(1);
    }
}
