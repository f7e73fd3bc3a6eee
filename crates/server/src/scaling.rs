//! Pools of machines are made as large as they are to be: by the hook of this node's configuration, while the node leads. What a pool is to
//! have, and what the hook is told, is the state's (`trireme_controllers::capacity`); here it is only called. It is called again until it is
//! done, with the same request id for the same decision, and so is the next leader's: a hook that is called twice must do nothing twice.
//!
//! `hook`: the program itself, with its limits · `gauges`: how pools stand, for metrics.

mod gauges;
mod hook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trireme_controllers::capacity::{Order, order, scaled};
use trireme_raft::node::Node;
use trireme_state::State;
use trireme_state::object::CapacityProviderKey;
use trireme_state::store::Store;
use trireme_types::{ContainerInstanceId, Scope};

use gauges::Gauges;
use hook::{Ended, Hook};

const CALLS: &str = "trireme_scaling_hook_calls_total";

/// How often it is looked for what is to be done.
const LOOKS: Duration = Duration::from_millis(500);
/// A hook that has done its work is told again after this, if the machines have not come or gone yet.
const AGAIN: Duration = Duration::from_secs(30);
/// One that failed is called again after this, then twice as long, and so on.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pools whose hooks run at once.
const AT_ONCE: usize = 8;

/// Tells the recorder what the metrics mean, and calls the hook until `stop`.
pub(crate) fn start(node: &Node, hook: Option<PathBuf>, stop: &CancellationToken) {
    metrics::describe_counter!(CALLS, metrics::Unit::Count, "Calls of the scaling hook, by result");
    gauges::describe();
    let store: Arc<dyn Store> = Arc::new(node.store());
    let keep = keep(store, hook.map(Hook::new));
    tokio::spawn(stop.clone().run_until_cancelled_owned(keep));
}

/// What became of the last order about a pool.
struct Told {
    /// The decision, and the machines that might go.
    of: (u128, Vec<ContainerInstanceId>),
    failures: u32,
    next: Instant,
}

/// Calls the hook and keeps the gauges, for as long as the future is not dropped.
async fn keep(store: Arc<dyn Store>, hook: Option<Hook>) {
    let mut desk = Desk { hook, told: BTreeMap::new(), running: Vec::new(), calls: JoinSet::new() };
    let mut gauges = Gauges::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOKS) => {}
            Some(joined) = desk.calls.join_next_with_id() => {
                // A call that came to nothing has ended too.
                let (id, ended) = joined.unwrap_or_else(|why| (why.id(), Ended::Failed(why.to_string())));
                desk.ended(id, &ended);
            }
        }
        let leads = store.leadership().deciding;
        let view = store.view();
        gauges.look(&view, store.now().filter(|_| leads));
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
    /// Calls that are under way: one at a time for each pool, whichever provider it is for.
    running: Vec<Running>,
    calls: JoinSet<Ended>,
}

/// A call that is under way.
struct Running {
    call: Id,
    provider: CapacityProviderKey,
    pool: String,
}

impl Running {
    fn is_of(&self, scope: &Scope, pool: &str) -> bool {
        self.provider.scope == *scope && self.pool == pool
    }
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
            let of = (order.request, order.removable.clone());
            let due = self.told.get(key).is_none_or(|told| told.of != of || told.next <= now);
            let runs = self.running.iter().any(|one| one.is_of(&key.scope, &order.pool));
            if !due || runs || self.calls.len() >= AT_ONCE {
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
        let pool = order.pool.clone();
        let call = self.calls.spawn(hook.call(view, &key, order)).id();
        self.running.push(Running { call, provider: key, pool });
    }

    fn ended(&mut self, call: Id, ended: &Ended) {
        let Some(at) = self.running.iter().position(|one| one.call == call) else { return };
        let key = &self.running.swap_remove(at).provider;
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
