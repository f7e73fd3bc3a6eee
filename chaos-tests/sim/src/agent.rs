//! A simulated machine with an agent: the real agent over containers in memory. The containers outlive the agent's process,
//! not their machine.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trireme_agent::runtime::fake::FakeRuntime;
use trireme_agent::{AgentConfig, RuntimeConfig};

use crate::clock::{SimClock, keep_pace};
use crate::control::GRPC;
use crate::load::Load;
use crate::net::SimDial;
use crate::trace;

/// Cpu units and mebibytes of one task.
pub const TASK: u32 = 64;
/// The same of one on FARGATE: the smallest that there is.
pub const FARGATE_TASK: (u32, u32) = (256, 512);

/// For how long agents that are told to stop say that they go away.
const ABSENCE_MS: u64 = 12_000;

/// What outlives the process of an agent.
pub struct AgentHost {
    /// Its number, and its name on the network: `a1`.
    pub number: u64,
    /// Its zone.
    pub zone: String,
    /// Control nodes that it knows.
    pub controls: Vec<String>,
    /// Its data folder: the ledger.
    pub folder: PathBuf,
    /// The pool that it is in.
    pub pool: Option<&'static str>,
    /// Tasks that there is room for.
    pub slots: u32,
    /// What tasks use.
    pub load: Arc<Load>,
    /// Its clock, which its timers go by.
    pub clock: Arc<SimClock>,
    /// Its containers.
    pub runtime: RefCell<FakeRuntime>,
    /// Tells the process to stop.
    pub shutdown: RefCell<CancellationToken>,
    /// Why the process ended without having been told to.
    pub ended: RefCell<Option<String>>,
    /// Rises with each start.
    pub starts: Cell<u64>,
}

impl AgentHost {
    /// Its name on the network.
    pub fn name(&self) -> String {
        format!("a{}", self.number)
    }

    /// An engine without containers. What a tag means is another thing on each machine, as if it moved all the time.
    pub fn fresh_runtime(number: u64, load: &Arc<Load>) -> FakeRuntime {
        let runtime = FakeRuntime::new(Duration::from_millis(50)).with_registry(number);
        runtime.with_load(load.of_machine(number))
    }

    /// Cpu units and mebibytes of a task for which there is room.
    fn size(&self) -> (u32, u32) {
        if self.pool.is_some() { FARGATE_TASK } else { (TASK, TASK) }
    }

    /// What SIGTERM does.
    pub fn stop(&self) {
        self.shutdown.borrow().cancel();
    }

    /// The machine was switched off: its containers are gone.
    pub fn lose_containers(&self) {
        self.runtime.replace(Self::fresh_runtime(self.number, &self.load));
    }

    /// The ledger, if there is one yet.
    pub fn ledger(&self) -> Option<trireme_agent::ledger::Entries> {
        trireme_agent::ledger::read(&self.folder).ok().flatten()
    }

    /// The process: what `trireme agent` runs.
    ///
    /// # Errors
    /// Never: what goes wrong is noted in [`AgentHost::ended`].
    pub async fn run(self: Rc<Self>) -> turmoil::Result {
        self.starts.set(self.starts.get() + 1);
        self.ended.replace(None);
        let (cpu, memory) = self.size();
        let config = AgentConfig {
            endpoints: self.controls.iter().map(|name| format!("http://{name}:{GRPC}")).collect(),
            zone: self.zone.clone(),
            name: self.name(),
            data_dir: Some(self.folder.clone()),
            runtime: RuntimeConfig::fake(),
            cpu_units: Some(cpu * self.slots),
            memory_mib: Some(memory * self.slots),
            pool: self.pool.map(str::to_owned),
            // Now and then somebody stays away for longer than it said.
            absence_ms: ABSENCE_MS,
            ..AgentConfig::default()
        };
        let runtime = Arc::new(self.runtime.borrow().clone());
        let pace = tokio::spawn(keep_pace(Arc::clone(&self.clock)));
        let shutdown = CancellationToken::new();
        self.shutdown.replace(shutdown.clone());
        let ended = trireme_agent::run_over(config, runtime, Arc::new(SimDial), shutdown.clone()).await;
        pace.abort();
        trace::line(format_args!("{} ends: {ended:?}", self.name()));
        if !shutdown.is_cancelled() || ended.is_err() {
            self.ended.replace(Some(format!("{ended:?}")));
        }
        Ok(())
    }
}
