//! What is known of a task at one moment, for those who ask about it.

use std::sync::Arc;

use trireme_rpc::agent::{AssignedTask, TaskStatus};

use super::{Machine, Member, Wanted};

/// A task at one moment.
#[derive(Debug, Clone)]
pub struct Record {
    /// What was assigned.
    pub spec: Arc<AssignedTask>,
    /// How far it is.
    pub status: TaskStatus,
    /// Whether it is to run.
    pub wanted: bool,
    /// Milliseconds since the Unix epoch; 0 when it has not happened.
    pub pull_started_at: u64,
    /// See `pull_started_at`.
    pub pull_stopped_at: u64,
    /// See `pull_started_at`.
    pub execution_stopped_at: u64,
    /// Its containers, as the definition orders them.
    pub members: Vec<Member>,
    /// Which of them is asked about.
    pub index: usize,
}

impl Machine {
    /// What is known of the task, for a question about the container of that index.
    pub fn record(&self, index: usize) -> Record {
        Record {
            spec: Arc::clone(&self.spec),
            status: self.status,
            wanted: self.wanted == Wanted::Running,
            pull_started_at: self.pull_started_at,
            pull_stopped_at: self.pull_stopped_at,
            execution_stopped_at: self.execution_stopped_at,
            members: self.members.clone(),
            index,
        }
    }
}
