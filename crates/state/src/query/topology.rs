//! The machines of a state, to be remembered and compared.

use std::sync::Arc;

use imbl::OrdMap;
use trireme_types::{ContainerInstanceId, Timestamp};

use crate::State;
use crate::object::{Attributes, ContainerInstance};

/// Every container instance, whether it is there, and what is said of it; not what runs on it. A clone is O(1), and so is a comparison.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    instances: OrdMap<ContainerInstanceId, Arc<ContainerInstance>>,
    absences: OrdMap<ContainerInstanceId, Timestamp>,
    attributes: OrdMap<ContainerInstanceId, Arc<Attributes>>,
}

impl Topology {
    /// Whether nothing has changed between the two. Something may have changed and changed back when it says no.
    pub fn is(&self, other: &Self) -> bool {
        self.instances.ptr_eq(&other.instances)
            && self.absences.ptr_eq(&other.absences)
            && self.attributes.ptr_eq(&other.attributes)
    }
}

impl State {
    /// The machines as they are here.
    pub fn topology(&self) -> Topology {
        Topology {
            instances: self.instances.clone(),
            absences: self.absences.clone(),
            attributes: self.custom_attributes.clone(),
        }
    }
}
