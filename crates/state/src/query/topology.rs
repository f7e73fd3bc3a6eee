//! The machines of a state, to be remembered and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use trireme_types::{ContainerInstanceId, Timestamp, Zone};

use crate::State;
use crate::index::InstanceLoad;
use crate::object::{Attributes, ClusterKey, ContainerInstance, InstanceStatus};

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

    /// The machines of which anything is another than it was. Costs what has changed, not what there is.
    pub fn changed_since(&self, before: &Self) -> BTreeSet<ContainerInstanceId> {
        let instances = before.instances.diff(&self.instances).map(|item| *id_of(&item));
        let absences = before.absences.diff(&self.absences).map(|item| *id_of(&item));
        let attributes = before.attributes.diff(&self.attributes).map(|item| *id_of(&item));
        instances.chain(absences).chain(attributes).collect()
    }

    /// A machine as it was then.
    pub fn instance(&self, id: ContainerInstanceId) -> Option<&Arc<ContainerInstance>> {
        self.instances.get(&id)
    }
}

/// What tasks hold on every machine, to be remembered and compared. A clone is O(1).
#[derive(Debug, Clone, Default)]
pub struct Occupancy(OrdMap<ContainerInstanceId, Arc<InstanceLoad>>);

impl Occupancy {
    /// The machines whose tasks are others than they were, and whether one of those that were there is gone. Costs what has changed.
    pub fn changed_since(&self, before: &Self) -> BTreeMap<ContainerInstanceId, bool> {
        let changed = before.0.diff(&self.0).filter_map(|item| match item {
            DiffItem::Add(id, _) => Some((*id, false)),
            DiffItem::Remove(id, _) => Some((*id, true)),
            // What only got on its way holds what it held.
            DiffItem::Update { old, new } => (old.1.tasks != new.1.tasks)
                .then(|| (*new.0, old.1.tasks.iter().any(|task| !new.1.tasks.contains(task)))),
        });
        changed.collect()
    }
}

fn id_of<'a, V>(item: &DiffItem<'a, 'a, ContainerInstanceId, V>) -> &'a ContainerInstanceId {
    match item {
        DiffItem::Add(id, _) | DiffItem::Remove(id, _) | DiffItem::Update { new: (id, _), .. } => id,
    }
}

impl State {
    /// What tasks hold on the machines.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy(self.index.by_instance.clone())
    }

    /// The zones of each cluster that have machines which take tasks.
    pub fn ready_zones(&self) -> BTreeMap<ClusterKey, BTreeSet<Zone>> {
        let zones = self.index.instances_by_cluster.iter().map(|(cluster, ids)| {
            let mut zones = BTreeSet::new();
            for instance in ids.iter().filter_map(|id| self.instance(*id)) {
                let zone = &instance.registration.zone;
                let ready = instance.status == InstanceStatus::Active && !zones.contains(zone);
                if ready && self.is_present(instance) {
                    zones.insert(zone.clone());
                }
            }
            (cluster.clone(), zones)
        });
        zones.collect()
    }

    /// The machines as they are here.
    pub fn topology(&self) -> Topology {
        Topology {
            instances: self.instances.clone(),
            absences: self.absences.clone(),
            attributes: self.custom_attributes.clone(),
        }
    }
}
