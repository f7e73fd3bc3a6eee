//! What agents say of images that wait to be pinned.

use std::collections::BTreeMap;

use trireme_types::{ContainerInstanceId, ContainerName, ServiceRevisionId, SessionEpoch, planted};

use super::{Decided, Decision, task};
use crate::command::TaskImages;
use crate::object::{ImagePin, Images, ServiceKey, Task, TaskStatus, is_pinned};
use crate::{Event, State};

/// The first agent that says what a container of a revision runs is right; what others say later changes nothing.
pub(super) fn pin(
    state: &State,
    instance: ContainerInstanceId,
    epoch: SessionEpoch,
    said: &[TaskImages],
) -> Decided {
    task::check_batch(state, instance, epoch, said.len())?;
    let mut new: BTreeMap<(ServiceKey, ServiceRevisionId), Images> = BTreeMap::new();
    for one in said {
        let ours = |task: &Task| task.instance == instance && task.last_status != TaskStatus::Stopped;
        let Some(task) = state.task(one.task).filter(|task| ours(task)) else { continue };
        let (Some(service), Some(deployment)) = (task.service(), task.deployment()) else { continue };
        let revision = state.revision_of(&service, deployment);
        for (container, image) in one.images.iter().filter(|(name, _)| is_open(state, task, name)) {
            let images = new.entry((service.clone(), revision)).or_default();
            images.entry(container.clone()).or_insert(*image);
        }
    }
    let pinned = |((key, revision), images)| Event::ImagesPinned { key, revision, images };
    Ok(Decision::of(new.into_iter().map(pinned).collect()))
}

/// Whether the image of a container is to be pinned, and is not.
fn is_open(state: &State, task: &Task, name: &ContainerName) -> bool {
    let definition = state.task_definition(&task.definition);
    let container = definition.and_then(|one| one.spec.containers.iter().find(|one| one.name == *name));
    let pinned: Option<ImagePin> = state.image_pin(task, name);
    container.is_some_and(is_pinned) && (pinned.is_none() || planted::is("image-pinned-again"))
}
