//! What happens to the zones of services.

use std::sync::Arc;

use trireme_types::Timestamp;

use super::service::bump;
use crate::State;
use crate::event::RebalancingEvent;
use crate::object::{ServiceKey, ZoneMove};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &RebalancingEvent) {
    let RebalancingEvent::ZoneMoveChanged { key, under_way } = event;
    let Some(service) = state.services.get_mut(key) else { return };
    bump(Arc::make_mut(service));
    state.zone_moves.insert(key.clone(), ZoneMove { under_way: *under_way, at });
}

/// The service is another one, or none any more.
pub(super) fn service_is_gone(state: &mut State, key: &ServiceKey) {
    state.zone_moves.remove(key);
}
