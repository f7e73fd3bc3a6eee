//! What tasks really use, as their agents say every few seconds: in memory, never through Raft. Each node keeps it of its own sessions and
//! relays it to the leader, which so knows of all tasks, with three hours of history. When another node leads, it is told again what was
//! said in the last minutes, so that it can decide by it at once.
//!
//! Reading order: [`TaskUsage`] · `series` (one task over time) · [`UsageTable`] · `relay` (from the node of the session to the leader).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trireme_rpc::agent as wire;
use trireme_state::State;
use trireme_state::limits::TASKS_PER_INSTANCE;
use trireme_state::object::{Task, TaskStatus};
use trireme_types::{ContainerInstanceId, TaskId};

use crate::clock::{self, Instant};

mod relay;
mod series;

use relay::Untold;
pub use relay::{Leader, RelayedUsage, UsageTransport, relay};
pub use series::{Fine, Point, Rates, STEP};
use series::{STEP_MILLIS, Series};

/// What was not said again for so long is not what is used now.
const CURRENT: Duration = Duration::from_secs(20);
/// How long what a task used is kept after its agent said so last.
const KEPT: Duration = Duration::from_secs(3 * 3_600);
/// How long ago what is said may be: agents and nodes tell the last minutes again.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Of so many tasks it is kept what they use.
const TASKS: usize = 200_000;
/// So many are forgotten at a time: nobody waits for the table meanwhile.
const FORGOTTEN: usize = 4_096;

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

impl TaskUsage {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        cpu_millis: 0,
        memory_bytes: 0,
        network_received_bytes: 0,
        network_sent_bytes: 0,
        disk_read_bytes: 0,
        disk_written_bytes: 0,
    };
}

/// What a task uses now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Current {
    /// As its agent said last.
    pub usage: TaskUsage,
    /// How fast things are moved, if that is known.
    pub rates: Option<Rates>,
}

impl Current {
    fn of(series: &Series) -> Self {
        Self { usage: *series.latest().0, rates: series.rates() }
    }
}

/// What is known of one task.
#[derive(Debug)]
struct Known {
    series: Series,
    /// Its agent's session is with this node.
    heard_here: bool,
    /// The last step that the leader was told of.
    told: Option<u64>,
}

#[derive(Debug, Default)]
struct Table {
    /// Boxed: the map's own memory is never quite full.
    tasks: BTreeMap<TaskId, Box<Known>>,
    /// Who was told what is told.
    told_to: Option<Leader>,
}

/// What tasks used when their agents last said so, and before.
#[derive(Debug)]
pub struct UsageTable {
    began: Instant,
    table: Mutex<Table>,
}

impl Default for UsageTable {
    fn default() -> Self {
        Self { began: clock::now(), table: Mutex::default() }
    }
}

impl UsageTable {
    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When something was so long ago, in milliseconds. They are counted from long before this node began, so that each has a number.
    fn millis(&self, age: Duration) -> u64 {
        let since = clock::now().saturating_duration_since(self.began).saturating_add(KEPT);
        since.saturating_sub(age).as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// The step in which something was so long ago.
    fn step(&self, age: Duration) -> u64 {
        self.millis(age) / STEP_MILLIS
    }

    /// An agent said what its tasks used so long ago; of others' tasks it has nothing to say.
    pub(crate) fn record(
        &self,
        view: &State,
        instance: ContainerInstanceId,
        said: &[wire::TaskUsage],
        age: Duration,
    ) {
        if age > AGE_MAX {
            return;
        }
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
        let tasks: Vec<_> = said.iter().filter_map(its).take(TASKS_PER_INSTANCE).collect();
        let at = self.millis(age);
        let mut table = self.lock();
        for (id, usage) in tasks {
            let Some(known) = table.entry(id) else { continue };
            known.heard_here |= known.series.say(at, &usage);
        }
    }

    /// Another node tells what agents said to it.
    pub fn record_relayed(&self, view: &State, tasks: impl IntoIterator<Item = RelayedUsage>) {
        let there = |one: &RelayedUsage| one.age <= AGE_MAX && view.task(one.task).is_some();
        let tasks: Vec<RelayedUsage> = tasks.into_iter().filter(there).collect();
        let mut table = self.lock();
        for one in tasks {
            let Some(known) = table.entry(one.task) else { continue };
            let at = self.millis(one.age);
            let mut news = false;
            for (back, fine) in &one.before {
                let step = (at / STEP_MILLIS).saturating_sub(u64::from(*back));
                news |= known.series.say_again(step, *fine);
            }
            news |= known.series.say(at, &one.latest);
            known.heard_here &= !news;
        }
    }

    /// What the leader is to be told of tasks after one in their order: of at most so many of this node's sessions, what it was not told.
    pub(crate) fn untold(&self, to: Leader, after: Option<TaskId>, count: usize) -> Untold {
        let now = self.millis(Duration::ZERO);
        let mut table = self.lock();
        if table.told_to.replace(to) != Some(to) {
            table.tasks.values_mut().for_each(|known| known.told = None);
        }
        let of = |id: &TaskId, known: &Known| {
            if !known.heard_here || known.series.newest() <= known.told {
                return None;
            }
            let (latest, at) = known.series.latest();
            let mut before = known.series.since(known.told);
            let (newest, _) = before.pop()?;
            let back = |step: u64| u32::try_from(newest.saturating_sub(step)).unwrap_or(u32::MAX);
            let before = before.into_iter().map(|(step, fine)| (back(step), fine)).collect();
            let age = Duration::from_millis(now.saturating_sub(at));
            Some((newest, RelayedUsage { task: *id, age, latest: *latest, before }))
        };
        let rest = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let untold = table.tasks.range(rest).filter_map(|(id, known)| of(id, known));
        let (steps, tasks) = untold.take(count).unzip();
        Untold { steps, tasks }
    }

    /// The leader was told that.
    pub(crate) fn told(&self, to: Leader, untold: &Untold) {
        let mut table = self.lock();
        if table.told_to != Some(to) {
            return;
        }
        for (step, one) in untold.steps.iter().zip(&untold.tasks) {
            if let Some(known) = table.tasks.get_mut(&one.task) {
                known.told = known.told.max(Some(*step));
            }
        }
    }

    /// Forgets tasks that the state does not have any more, or of which nothing was said for hours; and those that are over, when there
    /// are many.
    pub(crate) fn sweep(&self, view: &State) {
        let oldest = self.step(KEPT);
        let known: Vec<(TaskId, Option<u64>)> =
            self.lock().tasks.iter().map(|(id, known)| (*id, known.series.newest())).collect();
        let many = known.len() > TASKS / 2;
        let over = |task: &Arc<Task>| many && task.last_status == TaskStatus::Stopped;
        let gone =
            |(id, newest): &&(TaskId, Option<u64>)| *newest < Some(oldest) || view.task(*id).is_none_or(over);
        let gone: Vec<TaskId> = known.iter().filter(gone).map(|(id, _)| *id).collect();
        for part in gone.chunks(FORGOTTEN) {
            let mut table = self.lock();
            part.iter().for_each(|id| drop(table.tasks.remove(id)));
        }
        metrics::gauge!("trireme_usage_tasks").set(known.len().saturating_sub(gone.len()) as f64);
    }

    /// What a task uses now.
    pub fn current_of(&self, task: TaskId) -> Option<Current> {
        let oldest = self.step(CURRENT);
        let table = self.lock();
        let series = &table.tasks.get(&task)?.series;
        (series.newest() > Some(oldest)).then(|| Current::of(series))
    }

    /// What tasks use now.
    pub fn current(&self) -> BTreeMap<TaskId, Current> {
        let oldest = self.step(CURRENT);
        let table = self.lock();
        let current = table.tasks.iter().filter(|(_, known)| known.series.newest() > Some(oldest));
        current.map(|(id, known)| (*id, Current::of(&known.series))).collect()
    }

    /// What a task used in each of the last so many steps of [`STEP`], the newest first, and how many steps ago: 0 is the one under way. All
    /// tasks' steps begin at the same moments.
    pub fn recent(&self, task: TaskId, steps: u32) -> Vec<(u32, Fine)> {
        let now = self.step(Duration::ZERO);
        let oldest = now.saturating_sub(u64::from(steps));
        let table = self.lock();
        let Some(known) = table.tasks.get(&task) else { return Vec::new() };
        let samples = known.series.since(Some(oldest)).into_iter().rev();
        samples
            .map(|(step, fine)| (u32::try_from(now.saturating_sub(step)).unwrap_or(u32::MAX), fine))
            .collect()
    }

    /// What a task used, the newest first: each five seconds of the last five minutes, then longer steps.
    pub fn history(&self, task: TaskId) -> Vec<Point> {
        let now = self.step(Duration::ZERO);
        let table = self.lock();
        let Some(known) = table.tasks.get(&task) else { return Vec::new() };
        let steps = now.saturating_sub(known.series.newest().unwrap_or(now));
        let since = Duration::from_millis(STEP_MILLIS.saturating_mul(steps));
        let points = known.series.points().into_iter();
        points.map(|point| Point { age: point.age.saturating_add(since), ..point }).collect()
    }
}

impl Table {
    /// What is known of a task; `None` for a new one when there are too many.
    fn entry(&mut self, id: TaskId) -> Option<&mut Known> {
        let count = self.tasks.len();
        match self.tasks.entry(id) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(_) if count >= TASKS => {
                metrics::counter!("trireme_usage_left_out_total").increment(1);
                None
            }
            Entry::Vacant(new) => {
                Some(new.insert(Box::new(Known { series: Series::new(), heard_here: false, told: None })))
            }
        }
    }
}

pub(crate) fn describe_metrics() {
    metrics::describe_gauge!("trireme_usage_tasks", "Tasks of which this node keeps what they use");
    metrics::describe_counter!(
        "trireme_usage_left_out_total",
        "Samples of what tasks use that were not kept, because this node keeps those of too many tasks"
    );
    metrics::describe_counter!(
        "trireme_usage_relays_total",
        "Batches of what tasks use that were sent to the leader, by result"
    );
}

#[cfg(test)]
mod tests;
