//! What is true of the delivery of events.

use super::{Check, hold};
use crate::object::{DeliveryKey, Rule};
use crate::{FeatureLevel, State};

/// Whoever is told of events has a place in the history that has been, and nobody else has. Below their level there is nothing of it.
pub fn deliveries_have_their_targets(state: &State) -> Check {
    let head = state.position().sequence;
    let told = |rule: &Rule, id: &str| rule.target(id).is_some_and(|target| rule.delivers_to(target));
    let known = state.deliveries().all(|(key, delivery)| {
        state.rule(&key.rule).is_some_and(|rule| told(rule, &key.target)) && delivery.seen <= head
    });
    let all = state.rules.values().all(|rule| {
        rule.targets.iter().filter(|target| rule.delivers_to(target)).all(|target| {
            let key = DeliveryKey { rule: rule.key.clone(), target: target.id.clone() };
            state.delivery(&key).is_some()
        })
    });
    let nothing =
        state.deliveries.is_empty() && state.connections.is_empty() && state.api_destinations.is_empty();
    let level = nothing || state.level() >= FeatureLevel::SCALING;
    hold("deliveries_have_their_targets", known && all && level, || {
        format!("known {known}, all {all}, level {level}")
    })
}
