//! What happens to capacity: on what tasks were launched, what waits for it, and how large pools are to be.

use serde::{Deserialize, Serialize};
use trireme_types::TaskId;

use crate::object::{CapacityProviderKey, Launch, PoolSize, RunEnd, WaitingRun};

/// What happened to capacity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacityEvent {
    /// Tasks were launched on the managed pool or by a strategy. It follows [`crate::Event::TaskCreated`] in the same entry. None of them
    /// waits any more.
    TasksLaunched {
        /// Which ones.
        tasks: Vec<TaskId>,
        /// On what.
        launch: Launch,
    },
    /// A task waits for a machine.
    RunWaits {
        /// All of it.
        run: Box<WaitingRun>,
    },
    /// It does not wait any more, and never ran.
    WaitingRunEnded {
        /// The id that its task would have had.
        task: TaskId,
        /// Why.
        end: RunEnd,
    },
    /// It is forgotten.
    WaitingRunForgotten {
        /// The id that its task would have had.
        task: TaskId,
    },
    /// A pool is to have another size, or machines that leave it are gone, or it has too many since now.
    PoolSized {
        /// The capacity provider.
        key: CapacityProviderKey,
        /// All of it.
        size: Box<PoolSize>,
    },
}
