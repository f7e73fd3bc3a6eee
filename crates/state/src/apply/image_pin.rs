//! What happens to pins.

use std::sync::Arc;

use trireme_types::ServiceRevisionId;

use crate::State;
use crate::object::{Images, ServiceKey};

pub(super) fn pinned(state: &mut State, key: &ServiceKey, revision: ServiceRevisionId, images: &Images) {
    if !state.services.contains_key(key) {
        return;
    }
    let mut pins = (*state.image_pins(key)).clone();
    pins.revisions.entry(revision).or_default().extend(images.clone());
    state.image_pins.insert(key.clone(), Arc::new(pins));
}

/// Pins go with the last that runs or names their revision.
pub(super) fn revisions_went(state: &mut State, key: &ServiceKey) {
    let Some(pins) = state.image_pins.get(key) else { return };
    let left = state.revisions_of(key);
    if pins.revisions.keys().all(|revision| left.contains(revision)) {
        return;
    }
    let mut pins = (**pins).clone();
    pins.revisions.retain(|revision, _| left.contains(revision));
    if pins.revisions.is_empty() {
        state.image_pins.remove(key);
    } else {
        state.image_pins.insert(key.clone(), Arc::new(pins));
    }
}
