//! What happens to commands in containers (ECS API: ExecuteCommand).

use serde::{Deserialize, Serialize};
use trireme_types::{ContainerName, TaskId};

/// What happened to a command in a container, or to whether there may be any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecuteCommandEvent {
    /// Someone runs a command in a container. For those who read the history; it stands there before the command runs.
    CommandStarted {
        /// Its number, under which its end is told too.
        execution: u128,
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerName,
        /// The command and its arguments. What is typed into it is not recorded.
        command: Vec<String>,
        /// Who, as the caller says.
        by: String,
        /// The task does not allow commands: an operator forced it.
        forced: bool,
    },
    /// A command in a container is over, or nothing can be said of it any more. For those who read the history.
    CommandEnded {
        /// Its number.
        execution: u128,
        /// The task.
        task: TaskId,
        /// The container.
        container: ContainerName,
        /// Its exit code, if anybody knows.
        exit_code: Option<i32>,
        /// Why, when there is more to say.
        reason: String,
    },
    /// Tasks allow commands (ECS API: enableExecuteCommand). It follows [`crate::Event::TaskCreated`] in the same entry.
    TasksAllowCommands {
        /// Which ones.
        tasks: Vec<TaskId>,
    },
}
