//! Which images a service's tasks run.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_types::{ContainerName, DeploymentId, ServiceRevisionId};

use crate::object::{ImagePin, ImagePins, Images, ServiceKey, Task};
use crate::{FeatureLevel, State};

impl State {
    /// A service's pins; none when it has none.
    pub fn image_pins(&self, service: &ServiceKey) -> Arc<ImagePins> {
        self.image_pins.get(service).cloned().unwrap_or_default()
    }

    /// What the images of a service's revision are, as far as its tasks have said.
    pub fn images_of_revision(&self, service: &ServiceKey, revision: ServiceRevisionId) -> Images {
        let pins = self.image_pins.get(service).and_then(|pins| pins.revisions.get(&revision));
        pins.cloned().unwrap_or_default()
    }

    /// The pin of one container of a task; none while nobody has said what its image is.
    pub fn image_pin(&self, task: &Task, container: &ContainerName) -> Option<ImagePin> {
        let service = task.service()?;
        let revision = self.revision_of(&service, task.deployment()?);
        self.image_pins.get(&service)?.revisions.get(&revision)?.get(container).copied()
    }

    /// Whether images of services' tasks are pinned: not while there are nodes that do not know of it.
    pub fn pins_images(&self) -> bool {
        self.level() >= FeatureLevel::NODE_SERVICES
    }

    /// Whether no service has other pins than in `other`, which is another moment of the same state. It costs nothing.
    pub fn has_pins_of(&self, other: &State) -> bool {
        self.image_pins.ptr_eq(&other.image_pins)
            || (self.image_pins.is_empty() && other.image_pins.is_empty())
    }

    /// The revision that a deployment or a task set of a service runs.
    pub fn revision_of(&self, service: &ServiceKey, id: DeploymentId) -> ServiceRevisionId {
        let history = self.deployment_histories.get(service);
        // Neither a task set nor a deployment from before there were revisions has a record of one.
        history.and_then(|history| history.revision_of(id)).unwrap_or(ServiceRevisionId::of(id))
    }

    /// The revisions of a service that may run, or that are still described.
    pub(crate) fn revisions_of(&self, key: &ServiceKey) -> BTreeSet<ServiceRevisionId> {
        let history = self.deployment_history(key);
        let running = self.services.get(key).into_iter().flat_map(|service| &service.deployments);
        let running = running.map(|one| self.revision_of(key, one.id));
        let sets = self.task_sets.get(key).into_iter().flat_map(|sets| &sets.sets);
        let sets = sets.map(|set| ServiceRevisionId::of(set.id));
        history.revisions.iter().map(|one| one.id).chain(running).chain(sets).collect()
    }
}
