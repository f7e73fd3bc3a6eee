//! What a task's machine is told, what it says, and what came of it.

use crate::runtime::{Exit, Failure, Image, Started};

/// What is wanted of a task. It only ever goes down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// To be started and kept.
    Running,
    /// To be stopped with patience.
    Stopped,
    /// Not ours any more: away with its containers, at once and without a report.
    Gone,
}

/// Something to be done for one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Get its image.
    Pull,
    /// Make it.
    Create,
    /// Start it.
    Start,
    /// Start it again after it ended.
    Restart,
    /// Ask it to stop, and kill it when it does not.
    Stop,
    /// Kill it and remove it.
    Remove,
    /// Remove what the task had beside its containers. It is one for the whole task.
    Release,
    /// Make what holds the task's network namespace, and start it. It is one for the whole task.
    Open,
    /// Kill it and remove it.
    Close,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Do this for the container of that index, and answer.
    Do(Operation, usize),
    /// Nothing to do until something happens.
    Wait,
    /// Nothing is left to be done, ever.
    Done,
}

/// What came of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The image.
    Pulled(Result<Image, Failure>),
    /// The container's id. After [`FailureKind::Timeout`] it may be there under `fallback_id`.
    Created {
        /// What the runtime said.
        result: Result<String, Failure>,
        /// The name that it was to have.
        fallback_id: String,
    },
    /// Published ports.
    Started(Result<Started, Failure>),
    /// The same, once more: ports may be others.
    Restarted(Result<Started, Failure>),
    /// How it ended.
    Stopped(Result<Exit, Failure>),
    /// It is not there any more.
    Removed(Result<(), Failure>),
    /// Nothing is left of the task.
    Released(Result<(), Failure>),
    /// The sandbox's id. After a failure it may be there under `fallback_id`.
    Opened {
        /// What the runtime said.
        result: Result<String, Failure>,
        /// The name that it was to have.
        fallback_id: String,
    },
    /// It is not there any more.
    Closed(Result<(), Failure>),
}

impl Answer {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Pulled(_) => Operation::Pull,
            Self::Created { .. } => Operation::Create,
            Self::Started(_) => Operation::Start,
            Self::Restarted(_) => Operation::Restart,
            Self::Stopped(_) => Operation::Stop,
            Self::Removed(_) => Operation::Remove,
            Self::Released(_) => Operation::Release,
            Self::Opened { .. } => Operation::Open,
            Self::Closed(_) => Operation::Close,
        }
    }
}
