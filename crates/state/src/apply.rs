//! Applying: an event changes the state. Cannot fail, and decides nothing.
use crate::{Entry, Event, State};
use trireme_types::Timestamp;

/// What came of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Its events are in the state.
    Applied,
    /// Its base did not match: it has no effect on any node.
    Void,
}

/// Applies an entry if it follows the state's position.
pub fn apply_entry(state: &mut State, entry: &Entry) -> Applied {
    if entry.base != state.position {
        return Applied::Void;
    }
    for sealed in &entry.events {
        apply_event(state, entry.at, sealed.event());
        state.position = entry.after(state.position, sealed.bytes());
    }
    state.clock = state.clock.max(entry.at);
    Applied::Applied
}

/// Applies one event.
pub fn apply_event(_state: &mut State, _at: Timestamp, _event: &Event) {}
