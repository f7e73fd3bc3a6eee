//! What happens to the delivery of events, to connections and to API destinations.

use std::sync::Arc;

use trireme_types::Timestamp;

use crate::State;
use crate::event::DeliveryEvent;
use crate::object::{ApiDestination, Connection, Delivery, DeliveryKey, RuleKey};

pub(super) fn happened(state: &mut State, at: Timestamp, event: &DeliveryEvent) {
    match event {
        DeliveryEvent::DeliveryAdvanced { key, seen, part, delivered, dropped, error } => {
            let Some(delivery) = state.deliveries.get_mut(key).map(Arc::make_mut) else { return };
            (delivery.seen, delivery.part) = (*seen, *part);
            delivery.delivered = delivery.delivered.saturating_add((*delivered).into());
            delivery.dropped = delivery.dropped.saturating_add((*dropped).into());
            if let Some(error) = error {
                delivery.error = Some((at, error.clone()));
            }
        }
        DeliveryEvent::ConnectionPut { key, id, spec } => {
            let known = state.connections.get(key);
            let connection = Connection {
                key: key.clone(),
                id: *id,
                created_at: known.map_or(at, |known| known.created_at),
                changed_at: at,
                version: known.map_or(0, |known| known.version).saturating_add(1),
                spec: (**spec).clone(),
            };
            state.connections.insert(key.clone(), Arc::new(connection));
        }
        DeliveryEvent::ConnectionDeleted { key } => {
            state.connections.remove(key);
        }
        DeliveryEvent::ApiDestinationPut { key, id, spec } => {
            let known = state.api_destinations.get(key);
            let destination = ApiDestination {
                key: key.clone(),
                id: *id,
                created_at: known.map_or(at, |known| known.created_at),
                changed_at: at,
                version: known.map_or(0, |known| known.version).saturating_add(1),
                spec: (**spec).clone(),
            };
            state.api_destinations.insert(key.clone(), Arc::new(destination));
        }
        DeliveryEvent::ApiDestinationDeleted { key } => {
            state.api_destinations.remove(key);
        }
    }
}

/// Targets that a rule tells of events from now on begin here; those that it tells no more are forgotten.
pub(super) fn follow(state: &mut State, key: &RuleKey) {
    let here = state.position().sequence;
    let rule = state.rules.get(key).cloned();
    let told = |id: &str| {
        let target = rule.as_ref().and_then(|rule| Some((rule, rule.target(id)?)));
        target.is_some_and(|(rule, target)| rule.delivers_to(target))
    };
    let known: Vec<DeliveryKey> = state.deliveries_of(key).map(|(key, _)| key.clone()).collect();
    for gone in known.into_iter().filter(|delivery| !told(&delivery.target)) {
        state.deliveries.remove(&gone);
    }
    for target in rule.iter().flat_map(|rule| &rule.targets).filter(|target| told(&target.id)) {
        let delivery = DeliveryKey { rule: key.clone(), target: target.id.clone() };
        if !state.deliveries.contains_key(&delivery) {
            state.deliveries.insert(delivery, Arc::new(Delivery { seen: here, ..Delivery::default() }));
        }
    }
}
