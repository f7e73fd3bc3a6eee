//! Which images an agent is to run, and what agents say of those that nobody has pinned.

use std::str::FromStr;

use trireme_rpc::agent as wire;
use trireme_state::State;
use trireme_state::command::TaskImages;
use trireme_state::object::{ContainerDefinition, ImagePin, Task, is_pinned};
use trireme_types::capability::IMAGE_PINS;
use trireme_types::{ContainerName, ContentDigest};

/// Whether the image of a task's container is shared with the other tasks of its deployment.
fn is_shared(state: &State, task: &Task, definition: &ContainerDefinition) -> bool {
    state.pins_images() && task.service().is_some() && is_pinned(definition)
}

/// How many of a task's images are to be pinned and are not.
pub(crate) fn open(state: &State, task: &Task) -> usize {
    let Some(definition) = state.task_definition(&task.definition) else { return 0 };
    let containers = definition.spec.containers.iter();
    let open = |one: &&ContainerDefinition| {
        is_shared(state, task, one) && state.image_pin(task, &one.name).is_none()
    };
    containers.filter(open).count()
}

/// Tells the agent which image to run for a container.
pub(crate) fn assign(
    state: &State,
    task: &Task,
    definition: &ContainerDefinition,
    container: &mut wire::Container,
) {
    if !is_shared(state, task, definition) {
        return;
    }
    let pin = state.image_pin(task, &definition.name);
    let attributes = state.instance(task.instance).map(|instance| &instance.registration.attributes);
    if attributes.is_some_and(|attributes| attributes.contains_key(IMAGE_PINS)) {
        container.pin = Some(pin.map_or_else(wire::ImagePin::default, to_wire));
        return;
    }
    // An older agent waits for nothing, but runs what it is told.
    match pin {
        Some(ImagePin::Manifest(digest)) => container.image = format!("{}@{digest}", container.image),
        Some(ImagePin::Image(id)) => container.image = id.to_string(),
        None => {}
    }
}

fn to_wire(pin: ImagePin) -> wire::ImagePin {
    match pin {
        ImagePin::Manifest(digest) => {
            wire::ImagePin { manifest_digest: digest.to_string(), image_id: String::new() }
        }
        ImagePin::Image(id) => wire::ImagePin { manifest_digest: String::new(), image_id: id.to_string() },
    }
}

fn from_wire(pin: &wire::ImagePin) -> Option<ImagePin> {
    let digest = |text: &str| ContentDigest::from_str(text).ok();
    digest(&pin.manifest_digest).map(ImagePin::Manifest).or(digest(&pin.image_id).map(ImagePin::Image))
}

/// What a report says of images that wait to be pinned, if it says anything.
pub(crate) fn said(report: &wire::TaskReport) -> Option<TaskImages> {
    let found = |one: &wire::ContainerReport| {
        Some((ContainerName::new(&one.name).ok()?, from_wire(one.found.as_ref()?)?))
    };
    let images: trireme_state::object::Images = report.containers.iter().filter_map(found).collect();
    let task = report.task_id.parse().ok()?;
    (!images.is_empty()).then_some(TaskImages { task, images })
}
