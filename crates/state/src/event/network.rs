//! What happens to subnets, and to the network interfaces of tasks.

use serde::{Deserialize, Serialize};
use trireme_types::{SubnetId, TaskId};

use crate::object::{Interface, Subnet};

/// What happened to a subnet or an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkEvent {
    /// A subnet is there.
    SubnetAdded {
        /// All of it.
        subnet: Box<Subnet>,
    },
    /// A subnet is gone.
    SubnetRemoved {
        /// Which one.
        subnet: SubnetId,
    },
    /// A task has a network interface. It follows [`crate::Event::TaskCreated`] in the same entry.
    TaskAttached {
        /// Which one.
        task: TaskId,
        /// Where it is.
        interface: Box<Interface>,
    },
}
