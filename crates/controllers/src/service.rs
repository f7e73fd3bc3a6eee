//! The service controller: as many tasks as wanted, of the newest definition, spread over zones, never above the maximum, and
//! never fewer than the minimum by its own doing.
//!
//! - `plan`: one service, looked at in full · `rollout`: how many to stop and start, as arithmetic · `restart`: back-off after
//!   tasks that never ran · `text`: ECS's event texts.
//! - Only the primary deployment's tasks are spread against each other: an older deployment's places are free soon, and counting
//!   them would leave the new tasks uneven once it is gone.
//! - Services are planned in the order of their names, on one working copy of the nodes, so that two of them never count on the
//!   same cpu.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trireme_scheduler::{Nodes, Placed, Request, place_on};
use trireme_state::State;
use trireme_state::index::ServiceLoad;
use trireme_state::object::{ClusterKey, InstanceStatus, Service, ServiceStatus};
use trireme_types::{ContainerInstanceId, Timestamp};

use crate::driver::{Controller, Plan};
use crate::metrics;
use crate::observed::Observed;

mod plan;
mod restart;
mod rollout;
mod text;

/// Measures, for a metric only: a monotonic clock, or none. What it says changes no plan.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// Reads this monotonic clock.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// Stands still.
    pub fn stopped() -> Self {
        Self::new(|| Duration::ZERO)
    }
}

/// Keeps every service as its user asked for it.
pub struct ServiceController {
    stopwatch: Stopwatch,
    memory: Mutex<Memory>,
}

/// A service that needed nothing, with what it was judged by.
type Quiet = (Arc<Service>, Arc<ServiceLoad>);

/// What need not be looked at again. Forgetting it changes no plan.
#[derive(Default)]
struct Memory {
    draining: BTreeSet<ContainerInstanceId>,
    /// By key, as the state lists them.
    quiet: Vec<Quiet>,
}

/// Walks beside the state's services, in the same order: most comparisons are of two pointers.
struct Walk<'a>(std::iter::Peekable<std::slice::Iter<'a, Quiet>>);

impl Walk<'_> {
    fn is_quiet(&mut self, service: &Arc<Service>, load: &Arc<ServiceLoad>) -> bool {
        let before = |known: &&Quiet| !Arc::ptr_eq(&known.0, service) && known.0.key < service.key;
        while self.0.next_if(before).is_some() {}
        let same = |known: &&Quiet| Arc::ptr_eq(&known.0, service) && Arc::ptr_eq(&known.1, load);
        self.0.peek().is_some_and(same)
    }
}

impl ServiceController {
    /// A controller that times its placements with `stopwatch`.
    pub fn new(stopwatch: Stopwatch) -> Self {
        Self { stopwatch, memory: Mutex::default() }
    }
}

impl Controller for ServiceController {
    const NAME: &'static str = "service";

    fn plan(&self, view: &State, _: &Observed, now: Timestamp) -> Plan {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let draining = draining(view);
        if memory.draining != draining {
            memory.quiet.clear();
        }
        let mut look =
            Look { view, now, draining: &draining, clusters: BTreeMap::new(), stopwatch: &self.stopwatch };
        let mut known = Walk(memory.quiet.iter().peekable());
        let mut quiet = Vec::with_capacity(memory.quiet.len());
        let (mut plan, mut unplaced) = (Plan::default(), 0_usize);
        for service in view.services().filter(|service| service.status != ServiceStatus::Inactive) {
            let load = view.index().service_load(&service.key);
            if known.is_quiet(service, &load) {
                quiet.push((service.clone(), load));
                continue;
            }
            let judged = plan::service(&mut look, service, &load);
            unplaced = unplaced.saturating_add(judged.unplaced);
            if !judged.needs_more() {
                quiet.push((service.clone(), load));
            }
            judged.add_to(&mut plan);
        }
        plan.report.gauge(metrics::TASKS_UNPLACED, unplaced);
        *memory = Memory { draining, quiet };
        plan
    }
}

fn draining(view: &State) -> BTreeSet<ContainerInstanceId> {
    let draining = view.instances().filter(|instance| instance.status == InstanceStatus::Draining);
    draining.map(|instance| instance.id).collect()
}

/// One pass's look at the state, with the nodes as the pass has filled them so far.
struct Look<'a> {
    view: &'a State,
    now: Timestamp,
    draining: &'a BTreeSet<ContainerInstanceId>,
    clusters: BTreeMap<ClusterKey, Nodes>,
    stopwatch: &'a Stopwatch,
}

impl Look<'_> {
    fn nodes(&mut self, cluster: &ClusterKey) -> &mut Nodes {
        self.clusters.entry(cluster.clone()).or_insert_with(|| Nodes::of_cluster(self.view, cluster))
    }

    fn place(&mut self, cluster: &ClusterKey, request: &Request) -> Placed {
        let started = (self.stopwatch.0)();
        let placed = place_on(self.nodes(cluster), request);
        metrics::placement((self.stopwatch.0)().saturating_sub(started));
        placed
    }
}
