//! Hosts that are added, killed and started.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use trireme_raft::storage::memory::MemoryDisk;
use trireme_types::ClusterUuid;
use trireme_types::capability::MANAGED_POOL;
use turmoil::Sim;

use crate::agent::AgentHost;
use crate::client::Client;
use crate::clock::SimClock;
use crate::control::{ControlHost, GRPC};
use crate::plan::ZONES;
use crate::shared::Shared;
use crate::trace;

fn zone(number: u64) -> String {
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(0) % ZONES.len();
    ZONES[index].to_owned()
}

/// A control node; the first founds the cluster, the others join it.
pub fn add_control(sim: &mut Sim<'_>, shared: &Rc<Shared>, number: u64) {
    let plan = &shared.plan;
    let micros = u64::try_from(plan.sync.as_micros()).unwrap_or(u64::MAX);
    let first = number == 1;
    let seeds = (1..number).map(|seed| format!("n{seed}:{GRPC}")).collect();
    let host = Rc::new(ControlHost {
        number,
        zone: zone(number),
        disk: MemoryDisk::new(),
        clock: Arc::new(SimClock::default()),
        sync_micros: Arc::new(AtomicU64::new(micros)),
        apply_millis: Arc::new(AtomicU64::new(u64::try_from(plan.apply.as_millis()).unwrap_or(u64::MAX))),
        refusals: Arc::default(),
        settings: plan.settings.clone(),
        founds: first.then(|| ClusterUuid::from_bits(u128::from(plan.seed) | (1 << 100))),
        seeds: RefCell::new(seeds),
        identity: Cell::new(None),
        node: RefCell::new(None),
        woke: RefCell::new(None),
        asked: RefCell::default(),
        ask: tokio::sync::Notify::new(),
        dark: Cell::new(false),
        over: Cell::new(None),
        spoiled: Cell::new(false),
        ended: RefCell::new(None),
        starts: Cell::new(0),
    });
    shared.controls.borrow_mut().push(Rc::clone(&host));
    sim.host(host.name(), move || Rc::clone(&host).run());
}

/// A machine with an agent; those beyond the cluster's own are the managed pool's.
pub fn add_agent(sim: &mut Sim<'_>, shared: &Rc<Shared>, number: u64, folder: &std::path::Path) {
    let host = Rc::new(AgentHost {
        number,
        zone: zone(number),
        controls: (1..=shared.plan.controls + shared.plan.spares)
            .map(|control| format!("n{control}"))
            .collect(),
        pool: (number > shared.plan.agents).then_some(MANAGED_POOL),
        slots: shared.plan.slots,
        load: Arc::clone(&shared.load),
        clock: Arc::default(),
        folder: folder.join(format!("a{number}")),
        runtime: RefCell::new(AgentHost::fresh_runtime(number, &shared.load)),
        shutdown: RefCell::default(),
        ended: RefCell::new(None),
        starts: Cell::new(0),
    });
    shared.agents.borrow_mut().push(Rc::clone(&host));
    sim.host(host.name(), move || Rc::clone(&host).run());
}

/// A client.
pub fn add_client(sim: &mut Sim<'_>, shared: &Rc<Shared>, number: u64) {
    let shared = Rc::clone(shared);
    sim.host(format!("c{number}"), move || {
        let client = Client::new(&shared, number);
        async move {
            client.work().await;
            Ok(())
        }
    });
}

/// SIGKILL: the kernel closes its connections and keeps what it has written.
pub fn kill(sim: &mut Sim<'_>, host: &ControlHost) {
    host.disk.detach();
    host.node.replace(None);
    sim.crash(host.name());
}

/// The machine loses power. Of what was not synced the first `kept` writes had reached the disk.
pub fn power_off(sim: &mut Sim<'_>, host: &ControlHost, kept: usize) {
    trace::line(format_args!(
        "{} loses power, {} of {} writes kept",
        host.name(),
        kept,
        host.disk.unsynced()
    ));
    host.disk.power_off_keeping(kept);
    host.dark.set(true);
    host.node.replace(None);
    sim.crash(host.name());
}

/// Starts a control node, unless it runs or has left for good.
pub fn start(sim: &mut Sim<'_>, shared: &Shared, number: u64) {
    let host = shared.controls.borrow().iter().find(|host| host.number == number).cloned();
    let Some(host) = host else { return };
    if sim.is_host_running(host.name()) || shared.left.borrow().contains(&number) {
        return;
    }
    trace::line(format_args!("start {}", host.name()));
    host.node.replace(None);
    sim.bounce(host.name());
}

/// Starts an agent, unless it runs. One that was told to stop and has not ended yet is killed.
pub fn start_agent(sim: &mut Sim<'_>, shared: &Shared, number: u64) {
    let host = shared.agents.borrow().iter().find(|host| host.number == number).cloned();
    let Some(host) = host else { return };
    if sim.is_host_running(host.name()) && !host.shutdown.borrow().is_cancelled() {
        return;
    }
    trace::line(format_args!("start {}", host.name()));
    sim.bounce(host.name());
}
