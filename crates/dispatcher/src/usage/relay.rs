//! From the node of an agent's session to the leader. Each task's samples go once, in the order in which they were said; a leader that is new
//! gets those of the last minutes too.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use trireme_rpc::control::relay_usage_request as wire;
use trireme_state::State;
use trireme_state::store::BoxFuture;
use trireme_types::TaskId;

use super::{Fine, TaskUsage, UsageTable};

/// How often it is looked whether there is something to tell.
const INTERVAL: Duration = Duration::from_secs(2);
/// The time that one batch may take.
const LIMIT: Duration = Duration::from_secs(2);
/// Tasks of one batch: with five minutes of each half a megabyte, beside which heartbeats get through.
const TASKS: usize = 1_024;
/// Samples of one task that are taken from another node.
const STEPS: usize = 60;
/// How often it is looked what may be forgotten, in intervals.
const SWEEP: u64 = 30;

/// What a task used, on its way to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedUsage {
    /// Whose.
    pub task: TaskId,
    /// How long ago something was said last.
    pub age: Duration,
    /// What was said then.
    pub latest: TaskUsage,
    /// What was said before, the oldest first, and how many steps before.
    pub before: Vec<(u32, Fine)>,
}

impl RelayedUsage {
    /// As it is sent.
    pub fn to_wire(&self) -> wire::Task {
        wire::Task {
            task_id: self.task.bits().to_be_bytes().to_vec().into(),
            age_ms: u32::try_from(self.age.as_millis()).unwrap_or(u32::MAX),
            cpu_millis: self.latest.cpu_millis,
            memory_bytes: self.latest.memory_bytes,
            network_received_bytes: self.latest.network_received_bytes,
            network_sent_bytes: self.latest.network_sent_bytes,
            disk_read_bytes: self.latest.disk_read_bytes,
            disk_written_bytes: self.latest.disk_written_bytes,
            before_steps: self.before.iter().map(|(back, _)| *back).collect(),
            before_cpu_millis: self.before.iter().map(|(_, fine)| fine.cpu_millis).collect(),
            before_memory_kib: self.before.iter().map(|(_, fine)| fine.memory_kib).collect(),
        }
    }

    /// As it was sent; `None` if that makes no sense.
    pub fn of_wire(sent: &wire::Task) -> Option<Self> {
        let id: [u8; 16] = sent.task_id.as_ref().try_into().ok()?;
        let values = sent.before_cpu_millis.iter().zip(&sent.before_memory_kib);
        let fine = values.map(|(cpu, memory)| Fine { cpu_millis: *cpu, memory_kib: *memory });
        Some(Self {
            task: TaskId::from_bits(u128::from_be_bytes(id)),
            age: Duration::from_millis(sent.age_ms.into()),
            latest: TaskUsage {
                cpu_millis: sent.cpu_millis,
                memory_bytes: sent.memory_bytes,
                network_received_bytes: sent.network_received_bytes,
                network_sent_bytes: sent.network_sent_bytes,
                disk_read_bytes: sent.disk_read_bytes,
                disk_written_bytes: sent.disk_written_bytes,
            },
            before: sent.before_steps.iter().copied().zip(fine).take(STEPS).collect(),
        })
    }
}

/// A batch, and the step up to which each of its tasks is told.
#[derive(Debug)]
pub(crate) struct Untold {
    pub steps: Vec<u64>,
    pub tasks: Vec<RelayedUsage>,
}

/// Who leads. In another term a node may know nothing of what it was told: it may have started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The node.
    pub id: u64,
    /// Its term.
    pub term: u64,
}

/// How it reaches the leader.
pub trait UsageTransport: Send + Sync + 'static {
    /// Who is to be told just now; `None` when this node leads, or nobody is known to.
    fn leader(&self) -> Option<Leader>;

    /// Sends a batch. The error says why the leader does not have it.
    fn send(&self, to: Leader, tasks: Vec<RelayedUsage>) -> BoxFuture<'_, Result<(), String>>;
}

/// Relays what agents say to this node until `shutdown`, and forgets what nobody asks for any more.
pub async fn relay(
    table: Arc<UsageTable>,
    view: impl Fn() -> Arc<State> + Send,
    transport: impl UsageTransport,
    shutdown: CancellationToken,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for round in 1_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        if round % SWEEP == 0 {
            table.sweep(&view());
        }
        if let Some(to) = transport.leader() {
            tell(&table, to, &transport).await;
        }
    }
}

/// Tells the leader all that it was not told.
async fn tell(table: &UsageTable, to: Leader, transport: &impl UsageTransport) {
    let mut after = None;
    loop {
        let batch = table.untold(to, after, TASKS);
        let Some(last) = batch.tasks.last() else { return };
        after = Some(last.task);
        let sent = tokio::time::timeout(LIMIT, transport.send(to, batch.tasks.clone())).await;
        let result = sent.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        let label = if result.is_ok() { "ok" } else { "error" };
        metrics::counter!("trireme_usage_relays_total", "result" => label).increment(1);
        if let Err(reason) = result {
            tracing::debug!(%reason, tasks = batch.tasks.len(), "what tasks use was not relayed");
            return;
        }
        table.told(to, &batch);
    }
}
