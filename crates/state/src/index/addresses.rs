//! Which addresses of a subnet are not free, and whose they are.

use imbl::{OrdMap, OrdSet};
use trireme_types::{SubnetId, TaskId};

use crate::object::{Hold, Interface};

/// The addresses of one subnet that tasks hold or may still use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubnetLoad {
    /// Held by tasks that are not STOPPED.
    pub held: OrdMap<u32, TaskId>,
    /// Of tasks that are STOPPED because their instance is silent, or was when it was deregistered.
    pub lost: OrdSet<(u32, TaskId)>,
}

/// Addresses by subnet. A subnet without any is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(OrdMap<SubnetId, SubnetLoad>);

impl Addresses {
    /// Those of one subnet.
    pub fn of(&self, subnet: SubnetId) -> Option<&SubnetLoad> {
        self.0.get(&subnet)
    }

    pub(crate) fn add(&mut self, task: TaskId, interface: &Interface) {
        let address = u32::from(interface.address);
        match interface.hold {
            Hold::Task => {
                self.0.entry(interface.subnet).or_default().held.insert(address, task);
            }
            Hold::Lost | Hold::Deregistered(_) => {
                self.0.entry(interface.subnet).or_default().lost.insert((address, task));
            }
            Hold::Nobody => {}
        }
    }

    pub(crate) fn remove(&mut self, task: TaskId, interface: &Interface) {
        let Some(load) = self.0.get_mut(&interface.subnet) else { return };
        let address = u32::from(interface.address);
        match interface.hold {
            Hold::Task if load.held.get(&address) == Some(&task) => {
                load.held.remove(&address);
            }
            Hold::Lost | Hold::Deregistered(_) => {
                load.lost.remove(&(address, task));
            }
            Hold::Task | Hold::Nobody => {}
        }
        if load.held.is_empty() && load.lost.is_empty() {
            self.0.remove(&interface.subnet);
        }
    }
}
