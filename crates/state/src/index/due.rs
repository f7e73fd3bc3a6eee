//! Triggers by the time at which there is something to do for them.

use imbl::OrdSet;
use trireme_types::Timestamp;

use crate::object::{Firing, Trigger};

/// Triggers, those that come first in front. One that waits for nothing is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DueTriggers(OrdSet<(Timestamp, Trigger)>);

impl DueTriggers {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, &Trigger)> {
        self.0.iter().map(|(at, trigger)| (*at, trigger))
    }

    pub(crate) fn add(&mut self, trigger: &Trigger, firing: &Firing) {
        if let Some(at) = firing.wakes_at() {
            self.0.insert((at, trigger.clone()));
        }
    }

    pub(crate) fn remove(&mut self, trigger: &Trigger, firing: &Firing) {
        if let Some(at) = firing.wakes_at() {
            self.0.remove(&(at, trigger.clone()));
        }
    }
}
