//! The zones of services made even, as the service controller does it.

use super::progress::seen;
use super::{Decided, Decision};
use crate::event::RebalancingEvent;
use crate::object::{ServiceKey, ServiceStatus};
use crate::{Event, Rejection, Stamp, State};

pub(super) fn record(
    state: &State,
    key: &ServiceKey,
    version: u64,
    under_way: bool,
    told: &[String],
    stamp: &mut Stamp,
) -> Decided {
    let service = seen(state, key, version)?;
    if service.status != ServiceStatus::Active {
        return Err(Rejection::ServiceNotActive);
    }
    let mut events = Vec::new();
    if state.zone_move(key).is_some_and(|known| known.under_way) != under_way {
        let event = RebalancingEvent::ZoneMoveChanged { key: key.clone(), under_way };
        events.push(Event::Rebalancing(event));
    }
    for message in told {
        let message = message.clone();
        events.push(Event::ServiceEventRecorded { key: key.clone(), id: stamp.ids.bits(), message });
    }
    Ok(Decision::of(events))
}
