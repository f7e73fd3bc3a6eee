//! What tasks really use: looked at every few seconds, kept for the session to tell, and added up for the agent's metrics.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use trireme_rpc::agent::{TaskUsage, Usage};
use trireme_types::TaskId;

use crate::clock::{self, Instant};
use crate::runtime::{Owner, Readings, Runtime};

/// How often it is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

const CPU: &str = "trireme_agent_tasks_cpu_cores";
const MEMORY: &str = "trireme_agent_tasks_memory_bytes";
const NETWORK: &str = "trireme_agent_tasks_network_bytes_total";
const DISK: &str = "trireme_agent_tasks_disk_bytes_total";
const ERRORS: &str = "trireme_agent_usage_errors_total";

pub(crate) fn describe_metrics() {
    metrics::describe_gauge!(CPU, "Processors that the tasks of this agent kept busy when last looked at");
    metrics::describe_gauge!(MEMORY, metrics::Unit::Bytes, "Memory of the tasks of this agent");
    metrics::describe_counter!(
        NETWORK,
        metrics::Unit::Bytes,
        "Bytes that the tasks of this agent received and sent, but for those in the machine's network"
    );
    metrics::describe_counter!(
        DISK,
        metrics::Unit::Bytes,
        "Bytes that the tasks of this agent read from disks and wrote to them"
    );
    metrics::describe_counter!(ERRORS, "Looks at what tasks use that failed");
}

/// For how long what was seen is kept, for control nodes that do not know it: each so many looks.
const KEPT: Duration = Duration::from_secs(300);
const EACH: u32 = 3;

/// What all tasks used at a look.
type Seen = Arc<Vec<TaskUsage>>;

/// What all tasks used when last looked at, and before.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub now: Seen,
    /// When that was.
    at: Option<Instant>,
    /// The oldest first.
    before: VecDeque<(Instant, Seen)>,
}

/// The latest.
pub(crate) type Latest = watch::Receiver<Arc<Used>>;

/// Looks at what is used, once the agent knows who it is, until nobody wants to know.
pub(crate) async fn run(
    runtime: Arc<dyn Runtime>,
    mut owner: watch::Receiver<Option<Arc<Owner>>>,
    latest: watch::Sender<Arc<Used>>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<(Instant, Readings)> = None;
    loop {
        ticks.tick().await;
        if latest.is_closed() {
            return;
        }
        let Some(owner) = owner.borrow_and_update().clone() else { continue };
        let readings: Readings = match runtime.usage(&owner).await {
            Ok(readings) => readings,
            Err(failure) => {
                metrics::counter!(ERRORS).increment(1);
                tracing::debug!(%failure, "what tasks use is not known");
                // What comes next is counted from there on.
                before = None;
                continue;
            }
        };
        let now = clock::now();
        let mut used = match &before {
            Some((then, known)) => compare(known, &readings, now.saturating_duration_since(*then)),
            None => compare(&Readings::new(), &readings, Duration::ZERO),
        };
        tell(&used, before.as_ref().map(|(_, known)| known), &readings);
        // What was not there at the look before has used it is not known how much.
        let known: BTreeSet<TaskId> =
            before.iter().flat_map(|(_, known)| known.values().map(|(task, _)| *task)).collect();
        used.retain(|task, _| known.contains(task));
        before = Some((now, readings));
        let latest_now = latest.borrow().clone();
        // That nothing runs is told once.
        if !used.is_empty() || !latest_now.now.is_empty() {
            latest.send_replace(Arc::new(latest_now.next(now, used.into_values().collect())));
        }
    }
}

impl Used {
    /// What is known after another look.
    fn next(&self, at: Instant, seen: Vec<TaskUsage>) -> Self {
        let seen = Arc::new(seen);
        let mut before = self.before.clone();
        while before.front().is_some_and(|(then, _)| at.saturating_duration_since(*then) > KEPT) {
            before.pop_front();
        }
        let due = |(then, _): &(Instant, Seen)| {
            at.saturating_duration_since(*then) >= INTERVAL * EACH - INTERVAL / 2
        };
        if before.back().is_none_or(due) {
            before.push_back((at, Arc::clone(&seen)));
        }
        Self { now: seen, at: Some(at), before }
    }

    /// What was seen last, as it is told in a session.
    pub(crate) fn tell(&self, epoch: u64) -> Usage {
        told(epoch, self.at, &self.now)
    }

    /// What was seen before, as it is told when a session begins.
    pub(crate) fn tell_before(&self, epoch: u64) -> impl Iterator<Item = Usage> {
        let earlier = self.before.iter().filter(|(at, _)| Some(*at) != self.at);
        earlier.map(move |(at, seen)| told(epoch, Some(*at), seen))
    }
}

fn told(epoch: u64, at: Option<Instant>, seen: &Seen) -> Usage {
    let age = at.map_or(Duration::ZERO, |at| at.elapsed());
    let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    Usage { epoch, tasks: seen.to_vec(), age_ms }
}

/// What each task uses. Its processors are counted over the time since they were looked at before.
fn compare(before: &Readings, now: &Readings, elapsed: Duration) -> BTreeMap<TaskId, TaskUsage> {
    let mut tasks: BTreeMap<TaskId, TaskUsage> = BTreeMap::new();
    let mut networks = BTreeSet::new();
    for (id, (task, reading)) in now {
        let used = tasks
            .entry(*task)
            .or_insert_with(|| TaskUsage { task_id: task.to_string(), ..TaskUsage::default() });
        if let Some((_, known)) = before.get(id) {
            let nanos = reading.cpu_nanos.saturating_sub(known.cpu_nanos);
            let millis = u128::from(nanos).saturating_mul(1_000) / elapsed.as_nanos().max(1);
            used.cpu_millis = used.cpu_millis.saturating_add(u32::try_from(millis).unwrap_or(u32::MAX));
        }
        used.memory_bytes = used.memory_bytes.saturating_add(reading.memory_bytes);
        used.disk_read_bytes = used.disk_read_bytes.saturating_add(reading.disk_read_bytes);
        used.disk_written_bytes = used.disk_written_bytes.saturating_add(reading.disk_written_bytes);
        if let Some((namespace, received, sent)) = &reading.network
            && networks.insert((*task, namespace))
        {
            // Containers that share a network have the same counts.
            used.network_received_bytes = used.network_received_bytes.saturating_add(*received);
            used.network_sent_bytes = used.network_sent_bytes.saturating_add(*sent);
        }
    }
    tasks
}

fn tell(used: &BTreeMap<TaskId, TaskUsage>, before: Option<&Readings>, now: &Readings) {
    let millis: u64 = used.values().map(|task| u64::from(task.cpu_millis)).sum();
    metrics::gauge!(CPU).set(millis as f64 / 1_000.0);
    metrics::gauge!(MEMORY).set(used.values().map(|task| task.memory_bytes).sum::<u64>() as f64);
    let Some(before) = before else { return };
    // What was there before an agent began was counted by the one before.
    let known = compare(before, before, Duration::ZERO);
    let now = compare(now, now, Duration::ZERO);
    let grown = |of: fn(&TaskUsage) -> u64| {
        let more = now.iter().map(|(task, used)| of(used).saturating_sub(known.get(task).map_or(0, of)));
        more.fold(0_u64, u64::saturating_add)
    };
    metrics::counter!(NETWORK, "direction" => "received")
        .increment(grown(|task| task.network_received_bytes));
    metrics::counter!(NETWORK, "direction" => "sent").increment(grown(|task| task.network_sent_bytes));
    metrics::counter!(DISK, "direction" => "read").increment(grown(|task| task.disk_read_bytes));
    metrics::counter!(DISK, "direction" => "written").increment(grown(|task| task.disk_written_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Reading;

    fn reading(cpu_millis: u64, network: &str) -> Reading {
        Reading {
            cpu_nanos: cpu_millis * 1_000_000,
            memory_bytes: 100,
            disk_read_bytes: 1,
            disk_written_bytes: 2,
            network: Some((network.to_owned(), 10, 20)),
        }
    }

    fn of(all: &[(&str, u128, Reading)]) -> Readings {
        all.iter()
            .map(|(id, task, reading)| ((*id).to_owned(), (TaskId::from_bits(*task), reading.clone())))
            .collect()
    }

    #[test]
    fn a_task_is_the_sum_of_its_containers_and_shares_its_network_with_itself() {
        let before =
            of(&[("a", 1, reading(500, "n")), ("b", 1, reading(0, "n")), ("c", 2, reading(9_000, "m"))]);
        let now = of(&[
            ("a", 1, reading(3_000, "n")),
            ("b", 1, reading(5_000, "n")),
            // It began anew, under the same id.
            ("c", 2, reading(100, "m")),
            ("d", 3, reading(7_000, "o")),
        ]);
        let used = compare(&before, &now, Duration::from_secs(5));
        let cpu: Vec<u32> = used.values().map(|task| task.cpu_millis).collect();
        assert_eq!(cpu, [1_500, 0, 0], "of what is new nothing is known yet");
        let first = &used[&TaskId::from_bits(1)];
        assert_eq!((first.memory_bytes, first.disk_read_bytes, first.disk_written_bytes), (200, 2, 4));
        assert_eq!((first.network_received_bytes, first.network_sent_bytes), (10, 20));
    }
}
