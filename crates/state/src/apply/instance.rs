//! What happens to container instances.

use std::sync::Arc;

use trireme_types::{ContainerInstanceId, SessionEpoch, Timestamp};

use super::subnet;
use crate::object::{ContainerInstance, InstanceRegistration, InstanceStatus, Tags};
use crate::{Event, State};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &Event) {
    match event {
        Event::SessionOpened { instance, epoch, registration } => {
            state.absences.remove(instance);
            registered(state, at, *instance, registration, Some(*epoch), &Tags::new());
        }
        Event::InstanceRegistered { instance, registration, tags } => {
            registered(state, at, *instance, registration, None, tags);
        }
        Event::InstanceLost { instance, epoch } => {
            state.absences.remove(instance);
            with(state, *instance, |known| {
                known.connected = false;
                known.epoch = *epoch;
            });
        }
        Event::InstanceAbsent { instance, until } => {
            if state.instances.contains_key(instance) {
                state.absences.insert(*instance, *until);
            }
            with(state, *instance, |_| {});
        }
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
            state.absences.remove(instance);
            state.custom_attributes.remove(instance);
            if let Some(gone) = state.instances.remove(instance) {
                subnet::instance_is_gone(state, at, *instance);
                state.index.remove_instance(&gone);
            }
        }
        _ => {}
    }
}

/// An instance is there, or says something else of itself; with a session if it has an epoch.
fn registered(
    state: &mut State,
    at: Timestamp,
    id: ContainerInstanceId,
    registration: &InstanceRegistration,
    session: Option<SessionEpoch>,
    tags: &Tags,
) {
    if state.instances.contains_key(&id) {
        with(state, id, |known| {
            known.registration = registration.clone();
            if let Some(epoch) = session {
                known.epoch = epoch;
                known.connected = true;
                known.session_opened_at = at;
            }
        });
        return;
    }
    let new = ContainerInstance {
        id,
        registration: registration.clone(),
        status: InstanceStatus::Active,
        connected: session.is_some(),
        epoch: session.unwrap_or_default(),
        tags: tags.clone(),
        registered_at: at,
        session_opened_at: at,
        version: 1,
    };
    state.index.add_instance(&new);
    state.instances.insert(id, Arc::new(new));
}

fn with(state: &mut State, id: ContainerInstanceId, change: impl FnOnce(&mut ContainerInstance)) {
    if let Some(instance) = state.instances.get_mut(&id) {
        let changed = Arc::make_mut(instance);
        change(changed);
        changed.version = changed.version.saturating_add(1);
    }
}
