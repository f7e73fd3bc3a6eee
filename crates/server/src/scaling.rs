//! Pools of machines are made as large as they are to be: by the hook of this node's configuration, while the node leads. What a pool is to
//! have, and what the hook is told, is the state's (`trireme_controllers::capacity`); here it is only called. It is called again until it is
//! done, with the same request id for the same decision, and so is the next leader's: a hook that is called twice must do nothing twice.
//!
//! `hook`: the program itself, with its limits.

mod hook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trireme_controllers::capacity::{Order, order, scaled, standing};
use trireme_raft::node::Node;
use trireme_state::State;
use trireme_state::object::CapacityProviderKey;
use trireme_state::store::Store;
use trireme_types::Timestamp;

use hook::{Ended, Hook};

const CALLS: &str = "trireme_scaling_hook_calls_total";
const RESERVATION: &str = "trireme_capacity_provider_reservation_ratio";
const WANTED: &str = "trireme_capacity_provider_machines_wanted";
const PRESENT: &str = "trireme_capacity_provider_machines";

/// How often it is looked for what is to be done.
const LOOKS: Duration = Duration::from_millis(500);
/// How often the gauges are set: finding out what is needed costs more than a look.
const GAUGES: Duration = Duration::from_secs(5);
/// A hook that has done its work is told again after this, if the machines have not come or gone yet.
const AGAIN: Duration = Duration::from_secs(30);
/// One that failed is called again after this, then twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pools whose hooks run at once.
const AT_ONCE: usize = 8;

/// Tells the recorder what the metrics mean, and calls the hook until `stop`.
pub(crate) fn start(node: &Node, hook: Option<PathBuf>, stop: &CancellationToken) {
    use metrics::{Unit, describe_counter, describe_gauge};
    describe_counter!(CALLS, Unit::Count, "Calls of the scaling hook, by result");
    describe_gauge!(
        RESERVATION,
        Unit::Count,
        "Machines that a capacity provider's tasks need, by those that are there; on the leader, elsewhere not a number"
    );
    describe_gauge!(
        WANTED,
        Unit::Count,
        "Machines that a capacity provider's pool is to have; on the leader"
    );
    describe_gauge!(
        PRESENT,
        Unit::Count,
        "Machines of a capacity provider's pool whose agents are heard; on the leader"
    );
    let store: Arc<dyn Store> = Arc::new(node.store());
    let keep = keep(store, hook.map(Hook::new));
    tokio::spawn(stop.clone().run_until_cancelled_owned(keep));
}

/// What became of the last order about a pool.
struct Told {
    /// The decision, and the machines that might go.
    of: (u128, usize),
    failures: u32,
    next: Instant,
}

/// Calls the hook and keeps the gauges, for as long as the future is not dropped.
async fn keep(store: Arc<dyn Store>, hook: Option<Hook>) {
    let mut desk = Desk { hook, told: BTreeMap::new(), running: BTreeSet::new(), calls: JoinSet::new() };
    let (mut shown, mut gauges) = (BTreeSet::new(), Instant::now());
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOKS) => {}
            Some(Ok((key, ended))) = desk.calls.join_next() => desk.ended(&key, &ended),
        }
        let leads = store.leadership().deciding;
        let view = store.view();
        if Instant::now() >= gauges {
            gauges = Instant::now() + GAUGES;
            let now = store.now().filter(|_| leads);
            show(&view, now, &mut shown);
        }
        match leads {
            true => desk.look(&view),
            // A call that is under way ends by itself: who leads now may call the same.
            false => desk.told.clear(),
        }
    }
}

struct Desk {
    hook: Option<Hook>,
    told: BTreeMap<CapacityProviderKey, Told>,
    /// Pools whose hook runs: one at a time.
    running: BTreeSet<CapacityProviderKey>,
    calls: JoinSet<(CapacityProviderKey, Ended)>,
}

impl Desk {
    /// Gives every order that is due.
    fn look(&mut self, view: &State) {
        let now = Instant::now();
        self.told.retain(|key, _| view.pool_size(key).is_some());
        for provider in scaled(view) {
            let key = &provider.key;
            let size = view.pool_size(key);
            let Some(order) = size.and_then(|size| order(view, provider, size)) else {
                self.told.remove(key);
                continue;
            };
            let of = (order.request, order.removable.len());
            let due = self.told.get(key).is_none_or(|told| told.of != of || told.next <= now);
            if !due || self.running.contains(key) || self.calls.len() >= AT_ONCE {
                continue;
            }
            let failures = self.told.get(key).filter(|told| told.of == of).map_or(0, |told| told.failures);
            self.told.insert(key.clone(), Told { of, failures, next: now + AGAIN });
            self.call(view, key.clone(), order);
        }
    }

    fn call(&mut self, view: &State, key: CapacityProviderKey, order: Order) {
        let Some(hook) = &self.hook else {
            tracing::warn!(
                pool = order.pool,
                wanted = order.wanted,
                present = order.present,
                "no scaling hook is configured (trireme server --scaling-hook): add or remove the machines yourself"
            );
            return;
        };
        tracing::info!(
            pool = order.pool,
            wanted = order.wanted,
            present = order.present,
            removable = order.removable.len(),
            reason = order.reason,
            "the scaling hook is called"
        );
        let call = hook.call(view, &key, order);
        self.running.insert(key.clone());
        self.calls.spawn(async move { (key, call.await) });
    }

    fn ended(&mut self, key: &CapacityProviderKey, ended: &Ended) {
        self.running.remove(key);
        metrics::counter!(CALLS, "result" => ended.name()).increment(1);
        let Some(told) = self.told.get_mut(key) else { return };
        match ended {
            Ended::Done => (told.failures, told.next) = (0, Instant::now() + AGAIN),
            Ended::Failed(why) | Ended::TooLate(why) => {
                told.failures = told.failures.saturating_add(1);
                let pause = FIRST_PAUSE.saturating_mul(1 << (told.failures - 1).min(6)).min(LONGEST_PAUSE);
                told.next = Instant::now() + pause;
                tracing::warn!(provider = %key.name, why, again_in = ?pause, "the scaling hook failed");
            }
        }
    }
}

/// Sets the gauges; those of providers that are gone, and all of them on a node that does not lead, to no number.
fn show(view: &State, now: Option<Timestamp>, shown: &mut BTreeSet<String>) {
    let mut there = BTreeSet::new();
    for provider in now.iter().flat_map(|_| scaled(view)) {
        let standing = standing(view, provider, now.unwrap_or_default());
        let name = provider.key.name.to_string();
        let wanted = view.pool_size(&provider.key).map_or(standing.present, |size| size.wanted);
        set(&name, [f64::from(standing.reservation) / 100.0, f64::from(wanted), f64::from(standing.present)]);
        there.insert(name);
    }
    shown.difference(&there).for_each(|name| set(name, [f64::NAN; 3]));
    shown.extend(there);
}

fn set(name: &str, [reservation, wanted, present]: [f64; 3]) {
    for (gauge, value) in [(RESERVATION, reservation), (WANTED, wanted), (PRESENT, present)] {
        metrics::gauge!(gauge, "capacity_provider" => name.to_owned()).set(value);
    }
}
