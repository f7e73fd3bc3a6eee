//! Connections and API destinations: made, changed, deleted; and targets of rules that were told what happened.

use super::{Decided, Decision, fire, stale};
use crate::command::{Command, DeliveryCommand, Mark};
use crate::event::DeliveryEvent;
use crate::limits::{API_DESTINATIONS, CONNECTIONS, DELIVERY_BYTES};
use crate::object::{ApiDestinationKey, ApiDestinationSpec, ConnectionKey, ConnectionSpec};
use crate::{Event, Rejection, Stamp, State};

/// What is kept of an error's text.
const ERROR: usize = 1_024;

pub(super) fn decide(state: &State, command: &DeliveryCommand, stamp: &mut Stamp) -> Decided {
    match command {
        DeliveryCommand::PutConnection { key, spec, known } => {
            put_connection(state, key, spec, *known, stamp)
        }
        DeliveryCommand::DeleteConnection { key } => {
            state.connection(key).ok_or_else(|| missing("connection", &key.name))?;
            Ok(one(DeliveryEvent::ConnectionDeleted { key: key.clone() }))
        }
        DeliveryCommand::PutApiDestination { key, spec, known } => {
            put_destination(state, key, spec, *known, stamp)
        }
        DeliveryCommand::DeleteApiDestination { key } => {
            state.api_destination(key).ok_or_else(|| missing("API destination", &key.name))?;
            Ok(one(DeliveryEvent::ApiDestinationDeleted { key: key.clone() }))
        }
        DeliveryCommand::Advance(marks) => {
            let follows = marks.iter().filter(|mark| follows(state, mark));
            Ok(Decision::of(follows.map(|mark| Event::Delivery(advanced(mark, None))).collect()))
        }
        DeliveryCommand::Start { mark, version, run } => start(state, mark, *version, run, stamp),
    }
}

fn one(event: DeliveryEvent) -> Decision {
    Decision::one(Event::Delivery(event))
}

fn missing(what: &str, name: &str) -> Rejection {
    Rejection::ScheduleNotFound { what: format!("{what} {name}") }
}

fn there(what: &str, name: &str) -> Rejection {
    Rejection::ScheduleExists { what: format!("{what} {name}") }
}

/// The id under which something is put: its own, or a new one if nothing of its name is there.
fn id_of(
    (what, name): (&str, &str),
    there_is: Option<(u128, u64)>,
    known: Option<(u128, u64)>,
    (count, limit): (usize, usize),
    stamp: &mut Stamp,
) -> Result<u128, Rejection> {
    match (there_is, known) {
        (Some(_), None) => Err(there(what, name)),
        (None, Some(_)) => Err(missing(what, name)),
        (Some(is), Some(known)) if is != known => Err(stale(format!("{what} {name}"))),
        (Some((id, _)), Some(_)) => Ok(id),
        (None, None) if count >= limit => {
            Err(Rejection::LimitExceeded { what: format!("{what}s"), limit: limit as u64 })
        }
        (None, None) => Ok(stamp.ids.bits()),
    }
}

fn fits(bytes: usize) -> Result<(), Rejection> {
    if bytes <= DELIVERY_BYTES {
        return Ok(());
    }
    Err(Rejection::LimitExceeded { what: "bytes of what is put".to_owned(), limit: DELIVERY_BYTES as u64 })
}

fn put_connection(
    state: &State,
    key: &ConnectionKey,
    spec: &ConnectionSpec,
    known: Option<(u128, u64)>,
    stamp: &mut Stamp,
) -> Decided {
    let there = state.connection(key);
    let count = state.connections_of(&key.scope).count();
    let what = ("connection", key.name.as_str());
    let id = id_of(what, there.map(|there| (there.id, there.version)), known, (count, CONNECTIONS), stamp)?;
    let event = DeliveryEvent::ConnectionPut { key: key.clone(), id, spec: Box::new(spec.clone()) };
    fits(crate::codec::encode_event(&Event::Delivery(event.clone())).len())?;
    Ok(one(event))
}

fn put_destination(
    state: &State,
    key: &ApiDestinationKey,
    spec: &ApiDestinationSpec,
    known: Option<(u128, u64)>,
    stamp: &mut Stamp,
) -> Decided {
    state.connection(&spec.connection).ok_or_else(|| missing("connection", &spec.connection.name))?;
    let there = state.api_destination(key);
    let count = state.api_destinations_of(&key.scope).count();
    let what = ("API destination", key.name.as_str());
    let id =
        id_of(what, there.map(|there| (there.id, there.version)), known, (count, API_DESTINATIONS), stamp)?;
    Ok(one(DeliveryEvent::ApiDestinationPut { key: key.clone(), id, spec: Box::new(spec.clone()) }))
}

/// Whether a mark goes on from where its target stands. Another one may come from a leader that was.
fn follows(state: &State, mark: &Mark) -> bool {
    let stands =
        state.delivery(&mark.key).is_some_and(|delivery| (delivery.seen, delivery.part) == mark.from);
    let (to, part) = mark.to;
    let head = state.position().sequence;
    stands && mark.to >= mark.from && (to < head || to == head && part == 0)
}

fn advanced(mark: &Mark, refused: Option<String>) -> DeliveryEvent {
    let error = refused.or_else(|| mark.error.clone());
    let (delivered, dropped) = (mark.delivered, mark.dropped);
    let error = error.map(|text| text.chars().take(ERROR).collect());
    let (seen, part) = mark.to;
    DeliveryEvent::DeliveryAdvanced { key: mark.key.clone(), seen, part, delivered, dropped, error }
}

fn start(state: &State, mark: &Mark, version: u64, run: &Command, stamp: &mut Stamp) -> Decided {
    let rule = &mark.key.rule;
    if state.rule(rule).map(|rule| rule.version) != Some(version) || !follows(state, mark) {
        return Err(stale(format!("a delivery of rule {}", rule.name)));
    }
    match fire::started(state, run, stamp) {
        Ok(mut decision) => {
            decision.events.push(Event::Delivery(advanced(mark, None)));
            Ok(decision)
        }
        Err(moved @ Rejection::Stale { .. }) => Err(moved),
        // It would be refused again and again: the event is given up, and the delivery says why.
        Err(refused) => {
            let dropped = mark.dropped.saturating_add(1);
            let mark = Mark { delivered: mark.delivered.saturating_sub(1), dropped, ..mark.clone() };
            Ok(one(advanced(&mark, Some(refused.to_string()))))
        }
    }
}
