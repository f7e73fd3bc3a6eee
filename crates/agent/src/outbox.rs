//! Reports on their way to the control plane: the last one of each task, and the RUNNING one before it, kept until they are
//! acknowledged. Bounded by the number of tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use trireme_rpc::agent::{TaskReport, TaskStatus};
use trireme_rpc::convert::wire_bytes;
use trireme_types::TaskId;

/// Reports in one batch.
pub const BATCH_REPORTS: usize = 200;
/// Bytes of a batch, unless a single report is longer.
pub const BATCH_BYTES: usize = 256 * 1024;
/// What an engine says is kept up to so many bytes.
const REASON_BYTES: usize = 1024;

struct Entry {
    /// That it ran must not be lost when it stopped right after.
    running: Option<Arc<TaskReport>>,
    last: Arc<TaskReport>,
    revision: u64,
    /// The batch that carries this revision in the present session.
    batch: Option<u64>,
}

#[derive(Default)]
struct Reports {
    entries: BTreeMap<TaskId, Entry>,
    /// Those that are in no batch.
    waiting: BTreeSet<TaskId>,
    batches: BTreeMap<u64, Vec<(TaskId, u64)>>,
    revisions: u64,
}

/// The reports of one agent.
#[derive(Default)]
pub struct Outbox {
    reports: Mutex<Reports>,
    filled: Notify,
}

impl Outbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a report; it replaces the one of the same task.
    pub fn push(&self, task: TaskId, mut report: TaskReport) {
        shorten(&mut report);
        let mut guard = self.lock();
        let reports = &mut *guard;
        reports.revisions += 1;
        let report = Arc::new(report);
        let running = match reports.entries.get(&task) {
            Some(known) if report.status() > TaskStatus::Running => match known.last.status() {
                TaskStatus::Running => Some(Arc::clone(&known.last)),
                _ => known.running.clone(),
            },
            _ => None,
        };
        let entry = Entry { running, last: report, revision: reports.revisions, batch: None };
        reports.entries.insert(task, entry);
        reports.waiting.insert(task);
        drop(guard);
        self.filled.notify_one();
    }

    /// Waits until something was added.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Whether something is in no batch.
    pub fn has_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// How many batches are not acknowledged.
    pub fn in_flight(&self) -> usize {
        self.lock().batches.len()
    }

    /// The reports of the next batch, which is given this number.
    pub fn take(&self, number: u64) -> Vec<TaskReport> {
        let mut guard = self.lock();
        let reports = &mut *guard;
        let mut batch = Vec::new();
        let mut taken = Vec::new();
        let mut bytes = 0;
        while batch.len() + 2 <= BATCH_REPORTS
            && let Some(task) = reports.waiting.pop_first()
        {
            let Some(entry) = reports.entries.get_mut(&task) else { continue };
            let more = entry.running.as_deref().map_or(0, wire_bytes) + wire_bytes(&*entry.last);
            if !batch.is_empty() && bytes + more > BATCH_BYTES {
                reports.waiting.insert(task);
                break;
            }
            bytes += more;
            entry.batch = Some(number);
            batch.extend(entry.running.as_deref().cloned());
            batch.push((*entry.last).clone());
            taken.push((task, entry.revision));
        }
        if !taken.is_empty() {
            reports.batches.insert(number, taken);
        }
        batch
    }

    /// A batch was acknowledged. Gives the tasks of which the control plane now knows that they are STOPPED.
    pub fn acknowledge(&self, number: u64) -> Vec<TaskId> {
        let mut guard = self.lock();
        let reports = &mut *guard;
        let mut stopped = Vec::new();
        for (task, revision) in reports.batches.remove(&number).unwrap_or_default() {
            if reports.entries.get(&task).is_none_or(|entry| entry.revision != revision) {
                continue;
            }
            if let Some(entry) = reports.entries.remove(&task)
                && entry.last.status() == TaskStatus::Stopped
            {
                stopped.push(task);
            }
        }
        stopped
    }

    /// The session is over: what was not acknowledged is sent again in the next one.
    pub fn rewind(&self) {
        let mut guard = self.lock();
        let reports = &mut *guard;
        reports.batches.clear();
        for (task, entry) in &mut reports.entries {
            entry.batch = None;
            reports.waiting.insert(*task);
        }
    }

    /// Forgets reports of tasks that are not this agent's any more.
    pub fn retain(&self, keep: impl Fn(TaskId) -> bool) {
        let mut reports = self.lock();
        reports.entries.retain(|task, _| keep(*task));
        reports.waiting.retain(|task| keep(*task));
    }

    /// Forgets a task's reports.
    pub fn forget(&self, task: TaskId) {
        let mut reports = self.lock();
        reports.entries.remove(&task);
        reports.waiting.remove(&task);
    }
}

fn shorten(report: &mut TaskReport) {
    let reasons = report.containers.iter_mut().map(|container| &mut container.reason);
    for reason in reasons.chain([&mut report.stopped_reason]) {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use trireme_rpc::agent::ContainerReport;

    use super::*;

    fn report(status: TaskStatus) -> TaskReport {
        TaskReport { status: status.into(), ..TaskReport::default() }
    }

    fn task(n: u128) -> TaskId {
        TaskId::from_bits(n)
    }

    #[test]
    fn only_the_last_report_is_kept_until_it_is_acknowledged() {
        let outbox = Outbox::default();
        outbox.push(task(1), report(TaskStatus::Running));
        assert_eq!(outbox.take(1).len(), 1);
        outbox.push(task(1), report(TaskStatus::Stopped));
        assert!(outbox.acknowledge(1).is_empty(), "a newer report is on its way");
        assert!(outbox.has_waiting());
        let batch = outbox.take(2);
        assert_eq!(batch.last().unwrap().status(), TaskStatus::Stopped);
        outbox.rewind();
        assert_eq!(outbox.take(3), batch, "again in the next session");
        assert_eq!(outbox.acknowledge(3), [task(1)]);
        assert!(outbox.take(4).is_empty());
    }

    #[test]
    fn that_a_task_ran_is_told_before_that_it_stopped() {
        let outbox = Outbox::default();
        outbox.push(task(1), report(TaskStatus::Running));
        outbox.push(task(1), report(TaskStatus::Stopping));
        outbox.push(task(1), report(TaskStatus::Stopped));
        let statuses: Vec<_> = outbox.take(1).iter().map(TaskReport::status).collect();
        assert_eq!(statuses, [TaskStatus::Running, TaskStatus::Stopped]);
    }

    #[test]
    fn a_batch_has_a_limit_in_bytes() {
        let outbox = Outbox::default();
        let container = ContainerReport { reason: "ä".repeat(1 << 20), ..ContainerReport::default() };
        for n in 0..100 {
            let containers = vec![container.clone(); 10];
            outbox.push(task(n), TaskReport { containers, ..report(TaskStatus::Running) });
        }
        let (mut seen, mut number) = (0, 0);
        while outbox.has_waiting() {
            number += 1;
            let batch = outbox.take(number);
            assert!(batch.iter().map(wire_bytes).sum::<usize>() <= BATCH_BYTES && !batch.is_empty());
            seen += batch.len();
        }
        assert_eq!(seen, 100);
        assert!(number > 1, "one batch was not enough");
    }

    #[test]
    fn a_batch_has_a_limit() {
        let outbox = Outbox::default();
        for n in 0..500 {
            outbox.push(task(n), report(TaskStatus::Running));
        }
        let sizes: Vec<_> = (1..=4).map(|number| outbox.take(number).len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 500);
        assert!(sizes.iter().all(|size| *size <= BATCH_REPORTS));
    }
}
