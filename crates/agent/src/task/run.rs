//! Carries out one move of a task's machine, as often as it takes while the runtime cannot be reached.

use std::sync::Arc;
use std::time::Duration;

use trireme_types::TaskId;

use super::step::{Answer, Machine, Operation};
use crate::runtime::{Failure, FailureKind, NewContainer, NewSandbox, Over, Owner, Runtime};

/// ECS's default between SIGTERM and SIGKILL.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often a call that gets no answer in time is made before that counts.
const ATTEMPTS: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is needed to carry out a move, taken from the machine.
#[derive(Debug)]
pub struct Order {
    operation: Operation,
    new: NewContainer,
    id: String,
    task: TaskId,
}

impl Order {
    /// The order for a move of `machine`.
    pub fn new(
        machine: &Machine,
        owner: &Arc<Owner>,
        task: TaskId,
        operation: Operation,
        index: usize,
    ) -> Self {
        let image = machine.image_name(index);
        let new = NewContainer { owner: Arc::clone(owner), task: Arc::clone(machine.spec()), index, image };
        let id = machine.id_for(operation, index).unwrap_or_default().to_owned();
        Self { operation, new, id, task }
    }

    /// Carries it out. Ends with an answer whatever happens; while the runtime cannot be reached it keeps trying.
    pub async fn carry_out(self, runtime: &dyn Runtime) -> Answer {
        let mut pauses = Pauses::default();
        match self.operation {
            Operation::Pull => Answer::Pulled(pauses.retry(|| runtime.pull(&self.new.image)).await),
            Operation::Create => Answer::Created {
                result: pauses.retry(|| runtime.create(self.new.clone())).await,
                fallback_id: self.new.container_name(),
            },
            Operation::Start => {
                let published = self.is_published();
                Answer::Started(pauses.retry(|| runtime.start(&self.id, published)).await)
            }
            Operation::Restart => {
                let published = self.is_published();
                Answer::Restarted(pauses.retry(|| runtime.restart(&self.id, published)).await)
            }
            Operation::Stop => {
                let seconds = self.new.definition().stop_timeout_seconds;
                let patience = if seconds == 0 { STOP_PATIENCE } else { Duration::from_secs(seconds.into()) };
                let result = pauses.retry(|| runtime.stop(&self.id, patience)).await;
                Answer::Stopped(pauses.pace(result).await)
            }
            Operation::Remove => {
                let result = pauses.retry(|| runtime.remove(&self.id)).await;
                Answer::Removed(pauses.pace(result).await)
            }
            Operation::Open => {
                let new = NewSandbox { owner: self.new.owner, task: self.new.task };
                Answer::Opened {
                    result: pauses.retry(|| runtime.open(new.clone())).await,
                    fallback_id: new.container_name(),
                }
            }
            Operation::Close => {
                let result = pauses.retry(|| runtime.remove(&self.id)).await;
                Answer::Closed(pauses.pace(result).await)
            }
            Operation::Release => {
                let over = Over::Task(self.task, Arc::clone(&self.new.task));
                let result = pauses.retry(|| runtime.release(&self.new.owner, &over)).await;
                Answer::Released(pauses.pace(result).await)
            }
        }
    }
}

impl Order {
    fn is_published(&self) -> bool {
        let definition = self.new.definition();
        let any = !definition.port_mappings.is_empty() || definition.settings.contains_key("portMappings");
        self.new.task.network_mode == "bridge" && any
    }
}

struct Pauses {
    next: Duration,
    timeouts: u32,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST_PAUSE, timeouts: 0 }
    }
}

impl Pauses {
    async fn retry<T, F>(&mut self, mut call: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        loop {
            let failure = match call().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            self.timeouts += u32::from(failure.kind == FailureKind::Timeout);
            let again = failure.kind == FailureKind::Unreachable
                || (failure.kind == FailureKind::Timeout && self.timeouts < ATTEMPTS);
            if !again {
                return Err(failure);
            }
            tracing::warn!(%failure, "the container runtime does not answer; trying again");
            self.pause().await;
        }
    }

    /// A failed stop or removal is asked for again: not at once.
    async fn pace<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &result {
            tracing::warn!(%failure, "a container does not go; trying again");
            self.next = LONGEST_PAUSE;
            self.pause().await;
        }
        result
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST_PAUSE);
    }
}
