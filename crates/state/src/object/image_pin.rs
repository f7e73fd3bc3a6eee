//! Pins: what the images of a service's revision were when its first task ran. All its tasks run the same, on whichever machine and
//! however late, though the tag may have moved (ECS developer guide: version consistency).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerName, ContentDigest, ServiceRevisionId};

use super::ContainerDefinition;

/// What an image is, whatever its tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePin {
    /// The manifest of this digest in the image's repository.
    Manifest(ContentDigest),
    /// The image of this id, which came from no repository.
    Image(ContentDigest),
}

impl ImagePin {
    /// Of the manifest, or of the image.
    pub const fn digest(&self) -> ContentDigest {
        match self {
            Self::Manifest(digest) | Self::Image(digest) => *digest,
        }
    }
}

/// What the images of some containers are.
pub type Images = BTreeMap<ContainerName, ImagePin>;

/// The pins of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePins {
    /// Of each revision that has some. A task set counts as a revision.
    pub revisions: BTreeMap<ServiceRevisionId, Images>,
}

/// Whether a service's tasks are to run the same image for this container: not when a digest says which, nor when the user says so
/// (ECS API: ContainerDefinition.versionConsistency).
pub fn is_pinned(container: &ContainerDefinition) -> bool {
    let disabled = container.described.get("versionConsistency").is_some_and(|json| json == "\"disabled\"");
    !disabled && !container.image.contains('@')
}
