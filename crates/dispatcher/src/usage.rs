//! What tasks really use, as their agents last said: in memory, on the node whose session it is. It never goes through Raft. The leader
//! will be told as it is of heartbeats, for what decides by it; until then each node knows of its own sessions.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use trireme_rpc::agent as wire;
use trireme_state::State;
use trireme_state::limits::TASKS_PER_INSTANCE;
use trireme_types::{ContainerInstanceId, TaskId};

use crate::clock::{self, Instant};

/// What was not said again for so long is forgotten. Agents say it every five seconds.
const KEPT: Duration = Duration::from_secs(20);

/// What a task uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskUsage {
    /// Thousandths of a processor, over the seconds before.
    pub cpu_millis: u32,
    /// Memory, without what the kernel gives back at once.
    pub memory_bytes: u64,
    /// Received since it started; not in the machine's network.
    pub network_received_bytes: u64,
    /// Sent since it started.
    pub network_sent_bytes: u64,
    /// Read from disks since it started.
    pub disk_read_bytes: u64,
    /// Written to disks since it started.
    pub disk_written_bytes: u64,
}

/// What an instance's tasks use, and when its agent said so.
#[derive(Debug)]
struct Said {
    at: Instant,
    tasks: BTreeMap<TaskId, TaskUsage>,
}

type ByInstance = BTreeMap<ContainerInstanceId, Said>;

/// What each instance's tasks used when its agent last said so.
#[derive(Debug, Default)]
pub struct UsageTable(Mutex<ByInstance>);

impl UsageTable {
    fn lock(&self) -> std::sync::MutexGuard<'_, ByInstance> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent said what its tasks use; of others' tasks it has nothing to say.
    pub(crate) fn record(&self, view: &State, instance: ContainerInstanceId, said: &[wire::TaskUsage]) {
        let its = |said: &wire::TaskUsage| {
            let id: TaskId = said.task_id.parse().ok()?;
            view.task(id).filter(|task| task.instance == instance)?;
            let usage = TaskUsage {
                cpu_millis: said.cpu_millis,
                memory_bytes: said.memory_bytes,
                network_received_bytes: said.network_received_bytes,
                network_sent_bytes: said.network_sent_bytes,
                disk_read_bytes: said.disk_read_bytes,
                disk_written_bytes: said.disk_written_bytes,
            };
            Some((id, usage))
        };
        let tasks = said.iter().filter_map(its).take(TASKS_PER_INSTANCE).collect();
        let now = clock::now();
        let mut table = self.lock();
        table.retain(|_, said| now.saturating_duration_since(said.at) < KEPT);
        table.insert(instance, Said { at: now, tasks });
    }

    /// What tasks use, and how long ago their agents said so.
    pub fn snapshot(&self) -> BTreeMap<TaskId, (TaskUsage, Duration)> {
        let now = clock::now();
        let table = self.lock();
        let fresh = table.values().filter_map(|said| {
            let age = now.saturating_duration_since(said.at);
            (age < KEPT).then(|| said.tasks.iter().map(move |(task, usage)| (*task, (*usage, age))))
        });
        fresh.flatten().collect()
    }
}
