//! Status reports: batches of one session become commands, one at a time, and are acknowledged once committed. All sessions
//! together have a bounded number under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;
use trireme_rpc::agent as wire;
use trireme_rpc::convert::wire_bytes;
use trireme_state::command::{TaskHealthReport, TaskImages, TaskReport};
use trireme_state::limits::REPORTS_PER_COMMAND;
use trireme_state::store::ProposeError;
use trireme_state::{Actor, Command, FeatureLevel, Proposal, Rejection};
use trireme_types::{ContainerInstanceId, SessionEpoch, TaskId};

use crate::session::Goodbye;
use crate::{Shared, convert, image_pin, request_id};

/// Batches of one agent that wait to be proposed. An agent has fewer on their way.
pub(crate) const BATCHES_WAITING: usize = 8;
/// Tasks of which what health checks say is kept until it may be told.
const UNTOLD: usize = 10_000;
/// Bytes of reports in one command, as they came; unless a single one is longer.
const COMMAND_BYTES: usize = 256 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A batch that waits, with its part of the memory that all of them may take.
pub(crate) struct Held {
    pub(crate) batch: wire::StatusBatch,
    pub(crate) room: OwnedSemaphorePermit,
}

/// What an agent says that is committed in the order in which it came.
pub(crate) enum Word {
    /// Reports.
    Batch(Held),
    /// It goes away for a while.
    Absence { millis: u64 },
}

/// Proposes one session's batches until the session is over.
pub(crate) struct Pump {
    pub(crate) shared: Arc<Shared>,
    pub(crate) instance: ContainerInstanceId,
    pub(crate) epoch: SessionEpoch,
    pub(crate) batches: mpsc::Receiver<Word>,
    pub(crate) out: mpsc::Sender<Result<wire::ControlMessage, Status>>,
    /// What health checks said that is not committed, the latest of each task.
    pub(crate) untold: BTreeMap<TaskId, TaskHealthReport>,
}

impl Pump {
    /// Runs until the session ends, or until it must.
    pub(crate) async fn run(mut self) -> Option<Goodbye> {
        let mut waiting = None;
        while let Some(word) = self.next(&mut waiting).await {
            let first = match word {
                Word::Batch(held) => held,
                Word::Absence { millis } => return Some(self.commit_absence(millis).await),
            };
            let mut rooms = vec![first.room];
            let mut numbers = vec![first.batch.batch];
            let mut reports = first.batch.reports;
            while reports.len() < REPORTS_PER_COMMAND
                && let Ok(next) = self.batches.try_recv()
            {
                let next = match next {
                    Word::Batch(held) => held,
                    absence @ Word::Absence { .. } => {
                        waiting = Some(absence);
                        break;
                    }
                };
                rooms.push(next.room);
                numbers.push(next.batch.batch);
                reports.extend(next.batch.reports);
            }
            for part in parts(reports) {
                // What is said of tasks that are new comes after them.
                let health = part.iter().filter_map(convert::health).collect();
                let images = part.iter().filter_map(image_pin::said).collect();
                if let Err(goodbye) = self.commit(self.understood(part)).await {
                    return Some(goodbye);
                }
                if let Err(goodbye) = self.commit_health(health).await {
                    return Some(goodbye);
                }
                if let Err(goodbye) = self.commit_images(images).await {
                    return Some(goodbye);
                }
            }
            drop(rooms);
            for batch in numbers {
                let message = wire::control_message::Message::StatusAck(wire::StatusAck { batch });
                self.out.send(Ok(wire::ControlMessage { message: Some(message) })).await.ok()?;
            }
        }
        None
    }

    async fn next(&mut self, waiting: &mut Option<Word>) -> Option<Word> {
        match waiting.take() {
            Some(word) => Some(word),
            None => self.batches.recv().await,
        }
    }

    /// The agent's last word. Whatever comes of it, the session is over.
    async fn commit_absence(&self, millis: u64) -> Goodbye {
        let command = Command::AnnounceAbsence { instance: self.instance, epoch: self.epoch, millis };
        match self.propose(command).await {
            Ok(()) => Goodbye::until_later(),
            Err(Rejection::StaleEpoch) => Goodbye::epoch_over(),
            Err(Rejection::ContainerInstanceNotFound) => Goodbye::unknown_instance(),
            Err(rejection) => Goodbye::because(rejection.to_string()),
        }
    }

    fn understood(&self, reports: Vec<wire::TaskReport>) -> Vec<TaskReport> {
        let understand = |report| match convert::report(report) {
            Ok(report) => Some(report),
            Err(error) => {
                tracing::warn!(instance = %self.instance, error = error.describe(), "a report is ignored");
                count("malformed", 1);
                None
            }
        };
        reports.into_iter().filter_map(understand).collect()
    }

    /// Proposes reports until they are committed or refused for good. A refused batch is halved, so that one bad report
    /// does not take the others with it.
    async fn commit(&self, reports: Vec<TaskReport>) -> Result<(), Goodbye> {
        let mut waiting = vec![reports];
        while let Some(mut part) = waiting.pop() {
            let length = part.len();
            if length == 0 {
                continue;
            }
            let command =
                Command::ReportTasks { instance: self.instance, epoch: self.epoch, reports: part.clone() };
            match self.propose(command).await {
                Ok(()) => count("committed", length),
                Err(Rejection::StaleEpoch) => return Err(Goodbye::epoch_over()),
                Err(Rejection::ContainerInstanceNotFound) => return Err(Goodbye::unknown_instance()),
                Err(_) if length > 1 => {
                    waiting.push(part.split_off(length / 2));
                    waiting.push(part);
                }
                Err(rejection) => {
                    let task = part.first().map(|report| report.task);
                    tracing::warn!(instance = %self.instance, ?task, %rejection, "a report is refused");
                    count("refused", length);
                }
            }
        }
        Ok(())
    }

    /// The same for health checks. While not every control node knows of them the latest are kept.
    ///
    /// What they say goes back and forth, so that a command of which nobody knows what became must not take effect after a later
    /// one: the session ends with it. The next one's epoch refuses it, and the agent says again what is so.
    async fn commit_health(&mut self, reports: Vec<TaskHealthReport>) -> Result<(), Goodbye> {
        self.untold.extend(reports.into_iter().map(|report| (report.task, report)));
        if self.shared.store.view().level() < FeatureLevel::CONTAINERS {
            while self.untold.len() > UNTOLD {
                self.untold.pop_first();
            }
            return Ok(());
        }
        // Each session begins with all of it. What is so already is not told: what was never sent cannot be overtaken.
        let view = self.shared.store.view();
        self.untold.retain(|task, report| *view.task_health(*task) != report.health);
        while !self.untold.is_empty() {
            let part = std::iter::from_fn(|| self.untold.pop_first().map(|(_, report)| report));
            let reports = part.take(REPORTS_PER_COMMAND).collect();
            let command = Command::ReportTaskHealth { instance: self.instance, epoch: self.epoch, reports };
            match self.propose_once(command).await {
                Ok(()) => {}
                Err(ProposeError::Rejected(Rejection::StaleEpoch)) => return Err(Goodbye::epoch_over()),
                Err(ProposeError::Rejected(Rejection::ContainerInstanceNotFound)) => {
                    return Err(Goodbye::unknown_instance());
                }
                Err(ProposeError::Rejected(rejection)) => {
                    tracing::warn!(instance = %self.instance, %rejection, "what health checks say is refused");
                }
                Err(unknown) => return Err(Goodbye::because(unknown.to_string())),
            }
        }
        Ok(())
    }

    /// The same for images that wait to be pinned. No agent waits before every control node knows of it.
    async fn commit_images(&self, images: Vec<TaskImages>) -> Result<(), Goodbye> {
        if images.is_empty() || !self.shared.store.view().pins_images() {
            return Ok(());
        }
        let command = Command::PinImages { instance: self.instance, epoch: self.epoch, images };
        match self.propose(command).await {
            Ok(()) => Ok(()),
            Err(Rejection::StaleEpoch) => Err(Goodbye::epoch_over()),
            Err(Rejection::ContainerInstanceNotFound) => Err(Goodbye::unknown_instance()),
            Err(rejection) => {
                tracing::warn!(instance = %self.instance, %rejection, "what images are is refused");
                Ok(())
            }
        }
    }

    /// Until it is committed or refused, however often it takes.
    async fn propose(&self, command: Command) -> Result<(), Rejection> {
        let (proposal, mut pause) = (self.proposal(command), FIRST_PAUSE);
        loop {
            match self.attempt(&proposal).await {
                Ok(()) => return Ok(()),
                Err(ProposeError::Rejected(rejection)) => return Err(rejection),
                Err(ProposeError::Unknown { .. } | ProposeError::Unavailable { .. }) => {
                    rest(&mut pause).await
                }
            }
        }
    }

    /// Until somebody has taken it, so that it is never under way twice.
    async fn propose_once(&self, command: Command) -> Result<(), ProposeError> {
        let (proposal, mut pause) = (self.proposal(command), FIRST_PAUSE);
        loop {
            match self.attempt(&proposal).await {
                Err(ProposeError::Unavailable { .. }) => rest(&mut pause).await,
                known => return known,
            }
        }
    }

    fn proposal(&self, command: Command) -> Proposal {
        Proposal { actor: Actor::Agent(self.instance), request_id: request_id(), key: None, command }
    }

    async fn attempt(&self, proposal: &Proposal) -> Result<(), ProposeError> {
        // Never closed, so that it cannot fail.
        let _permit = self.shared.status_permits.acquire().await;
        self.shared.store.propose(proposal.clone()).await.map(drop)
    }
}

async fn rest(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(LONGEST_PAUSE);
}

/// Reports in parts, each of which makes one command.
fn parts(reports: Vec<wire::TaskReport>) -> Vec<Vec<wire::TaskReport>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0_usize);
    for report in reports {
        let more = wire_bytes(&report);
        if let Some(last) = parts.last_mut()
            && (last.is_empty() || (last.len() < REPORTS_PER_COMMAND && bytes + more <= COMMAND_BYTES))
        {
            bytes += more;
            last.push(report);
        } else {
            bytes = more;
            parts.push(vec![report]);
        }
    }
    parts
}

fn count(result: &'static str, reports: usize) {
    metrics::counter!("trireme_status_reports_total", "result" => result).increment(reports as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_bounded_in_number_and_in_bytes() {
        let small = vec![wire::TaskReport::default(); 450];
        assert_eq!(parts(small).iter().map(Vec::len).collect::<Vec<_>>(), [200, 200, 50]);
        let report = |kib: usize| wire::TaskReport {
            stopped_reason: "x".repeat(kib * 1024),
            ..wire::TaskReport::default()
        };
        let large = vec![report(100), report(100), report(100), report(300), report(1)];
        assert_eq!(parts(large).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }
}
