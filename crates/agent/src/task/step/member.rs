//! One container of a task, as far as its machine knows.

use std::time::Duration;

use trireme_rpc::agent::NetworkBinding;

use super::Operation;
use super::image::Choice;
use crate::runtime::{Exit, Found, FoundState, Health, Image};

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing was done.
    New,
    /// An image is there, and may be the right one.
    Resolved,
    /// Its image is there.
    Pulled,
    /// It is made.
    Created,
    /// It was started, and nothing else was heard since.
    Running,
    /// It ended, or never will run.
    Exited,
}

/// One container of a task.
#[derive(Debug, Clone)]
pub struct Member {
    pub(super) phase: Phase,
    pub(super) busy: Option<Operation>,
    /// The runtime's id; present while the container may be there.
    pub(super) id: Option<String>,
    /// The id that was reported, kept after the removal.
    pub(super) runtime_id: String,
    /// Which image it is to run.
    pub(super) choice: Choice,
    /// The same when its image was last asked for.
    pub(super) asked: Choice,
    /// The image that is there.
    pub(super) image: Image,
    pub(super) exit: Exit,
    pub(super) bindings: Vec<NetworkBinding>,
    /// What its health check says, and the tick at which that was heard.
    pub(super) health: (Health, u64),
    /// Heard before the answer to its start.
    pub(super) early_exit: Option<Exit>,
    /// How long it has been up since it was last started.
    pub(super) up: Duration,
    /// The same when it was last known to run.
    pub(super) surely_up: Duration,
    /// How often it came again.
    pub(super) restarts: u32,
    /// It ended so and is to come again, or is about to.
    pub(super) ended: Option<Exit>,
    /// The run of it that ended before it came again; what is heard of its end later is no news.
    pub(super) over: Option<String>,
    /// It runs though it was given up: the runtime did late what it had been asked for.
    pub(super) risen: bool,
    /// The runtime's list at or before this tick cannot know it.
    pub(super) changed_at: u64,
}

impl Member {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::New,
            busy: None,
            id: None,
            runtime_id: String::new(),
            choice: Choice::Free,
            asked: Choice::Free,
            image: Image::default(),
            exit: Exit::default(),
            bindings: Vec::new(),
            health: (Health::Unknown, 0),
            early_exit: None,
            up: Duration::ZERO,
            surely_up: Duration::ZERO,
            restarts: 0,
            ended: None,
            over: None,
            risen: false,
            changed_at: 0,
        }
    }

    pub(super) fn found(found: &Found) -> Self {
        let mut member = Self::new();
        member.phase = match &found.state {
            FoundState::Created => Phase::Created,
            FoundState::Running(started) => {
                member.bindings.clone_from(&started.bindings);
                member.health.0 = started.health;
                Phase::Running
            }
            FoundState::Exited(exit) => {
                member.exit = exit.clone();
                Phase::Exited
            }
        };
        member.up = found.run.lasted.unwrap_or_default();
        member.surely_up = member.up;
        if matches!(found.state, FoundState::Exited(_)) {
            member.over.clone_from(&found.run.started);
        }
        member.id = Some(found.id.clone());
        member.runtime_id.clone_from(&found.id);
        member.image.digest.clone_from(&found.digest);
        member
    }

    /// How often it was started again after it had ended (ECS task metadata: RestartCount).
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The runtime's id, while the container may be there.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How it ended, as far as that is known.
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// Its published ports.
    pub fn bindings(&self) -> &[NetworkBinding] {
        &self.bindings
    }

    /// What its health check says.
    pub fn health(&self) -> Health {
        self.health.0
    }

    pub(super) fn living(&self) -> bool {
        self.phase == Phase::Running
            || self.risen
            || matches!(self.busy, Some(Operation::Create | Operation::Start))
    }

    /// Whether it can be asked to stop.
    pub(super) fn may_be_asked_to_stop(&self) -> bool {
        self.busy.is_none() && (self.phase == Phase::Running || self.risen)
    }

    pub(super) fn idle_in(&self, phase: Phase) -> bool {
        self.phase == phase && self.busy.is_none()
    }
}
