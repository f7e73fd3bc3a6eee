//! I6: a session and a loss each raise the epoch of their instance, so that what was said before them is told apart from what is said
//! after.

use trireme_state::{Event, State};

use super::{Check, hold};

/// One command's events.
///
/// # Errors
/// A session or a loss under an epoch that was there before.
pub fn check(before: &State, after: &State, events: &[Event]) -> Check {
    for event in events {
        let (Event::SessionOpened { instance, .. } | Event::InstanceLost { instance, .. }) = event else {
            continue;
        };
        let epoch = |state: &State| state.instance(*instance).map(|found| found.epoch);
        let (old, new) = (epoch(before), epoch(after));
        hold("epochs_rise", new.is_none() || new > old, || format!("{instance}: {old:?} then {new:?}"))?;
    }
    Ok(())
}
