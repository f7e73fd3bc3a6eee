//! The service controller: as many tasks as wanted, of the newest definition, spread over zones, never above the maximum, and
//! never fewer than the minimum by its own doing.
//!
//! - `plan`: one service, looked at in full · `pass`: what stops and starts, `launch`: on what, in `census` sorted by what may become of it · `rollout`: how
//!   many, as arithmetic · `record`: what is written down of it · `judged`: what all of it came to · `restart`: back-off after tasks
//!   that failed · `health`: when a task has shown that it works · `task_set`: services whose deployments someone else controls ·
//!   `lifecycle`: the stages of a deployment, and `breaker`: when it fails · `blue_green`: one that runs beside what serves · `rebalance`: zones made even · `daemon`: one on each instance ·
//!   `memory`: what need not be looked at again, and `room`: until there is a place · `stored`: members without effect yet · `text`: ECS's event texts · `judgement`: for those who foresee or explain.
//! - Only the primary deployment's tasks are spread against each other: an older deployment's places are free soon, and counting
//!   them would leave the new tasks uneven once it is gone.
//! - Services are planned in the order of their names, on one working copy of the nodes, so that two of them never count on the
//!   same cpu.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use trireme_scheduler::{Nodes, Placed, Request, choose, place_each, place_on};
use trireme_state::object::{ClusterKey, Service, ServiceStatus, Subnet};
use trireme_state::{Placement, State};
use trireme_types::{ContainerInstanceId, SubnetId, Timestamp, Zone};

use crate::driver::{Controller, Plan};
use crate::metrics;
use crate::observed::Observed;

use health::Health;
use memory::{Known, Memory, News, Quiet, Sight, Walk};

pub(crate) use judgement::{health, unstarted};
pub(crate) use restart::failed_by_itself;
pub(crate) use task_set::deployment as of_set;

mod blue_green;
mod breaker;
mod census;
mod daemon;
mod health;
mod judged;
mod judgement;
mod launch;
mod lifecycle;
mod memory;
mod pass;
mod plan;
mod rebalance;
mod record;
mod restart;
mod rollout;
mod room;
mod stored;
mod task_set;
mod text;

/// Measures, for a metric only: a monotonic clock, or none. What it says changes no plan.
#[derive(Clone)]
pub struct Stopwatch(Option<Arc<dyn Fn() -> Duration + Send + Sync>>);

impl Stopwatch {
    /// Reads this monotonic clock.
    pub fn new(clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(clock)))
    }

    /// Stands still: nothing is measured.
    pub fn stopped() -> Self {
        Self(None)
    }

    fn read(&self) -> Option<Duration> {
        self.0.as_ref().map(|clock| clock())
    }
}

/// RUNNING for this long is healthy, in ECS, for a task without a health check.
const HEALTHY_AFTER: Duration = Duration::from_secs(40);

/// Keeps every service as its user asked for it.
pub struct ServiceController {
    /// How long a task runs before it counts as healthy: before an older one is stopped for it, before a deployment that
    /// waits for it is completed, and before its exit is no failure to be slow about. 40 seconds unless set.
    pub healthy_after: Duration,
    stopwatch: Stopwatch,
    memory: Mutex<Memory>,
}

impl ServiceController {
    /// A controller that times its placements with `stopwatch`.
    pub fn new(stopwatch: Stopwatch) -> Self {
        Self { healthy_after: HEALTHY_AFTER, stopwatch, memory: Mutex::default() }
    }
}

impl Controller for ServiceController {
    const NAME: &'static str = "service";

    fn plan(&self, view: &State, _: &Observed, now: Timestamp) -> Plan {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let sight = Sight::of(view, &memory.sight);
        let news = News::of(view, &memory, &sight);
        let mut known = std::mem::take(&mut memory.quiet);
        if memory.healthy_after != self.healthy_after {
            known = Known::default();
        }
        let health = Health { view, after: self.healthy_after, now, grace: Duration::ZERO };
        let look = Look {
            view,
            health,
            draining: &sight.draining,
            zones: &sight.zones,
            clusters: BTreeMap::new(),
            addresses: BTreeMap::new(),
            taken: BTreeSet::new(),
            stopwatch: &self.stopwatch,
        };
        let mut round = Round { look, news, plan: Plan::default(), unplaced: 0 };
        let services = || view.services().filter(|service| service.status != ServiceStatus::Inactive);
        // ECS: the first to start.
        let daemons = round.look_at(services().filter(|one| daemon::is_daemon(one)), known.daemons);
        let others = round.look_at(services().filter(|one| !daemon::is_daemon(one)), known.others);
        let Round { look: Look { taken, .. }, mut plan, unplaced, .. } = round;
        plan.report.gauge(metrics::TASKS_UNPLACED, unplaced);
        let quiet = Known { daemons, others };
        *memory = Memory { sight, healthy_after: self.healthy_after, quiet, taken };
        plan
    }
}

/// One pass over all services.
struct Round<'a> {
    look: Look<'a>,
    news: News,
    plan: Plan,
    unplaced: usize,
}

impl Round<'_> {
    /// Looks at services, but for those that are known to need nothing. Gives those that need nothing now.
    fn look_at<'s>(
        &mut self,
        services: impl Iterator<Item = &'s Arc<Service>>,
        known: Vec<Quiet>,
    ) -> Vec<Quiet> {
        let mut quiet = Vec::with_capacity(known.len());
        let mut known = Walk::new(known);
        for service in services {
            let load = self.look.view.index().service_load(&service.key);
            let known = known.quiet(service, &load, self.look.health.now);
            if let Some(known) = known.filter(|known| !self.news.concerns(known, &self.look.taken)) {
                known.until.into_iter().for_each(|at| self.plan.wake(at));
                self.unplaced = self.unplaced.saturating_add(known.unplaced);
                quiet.push(known);
                continue;
            }
            let mut judged = plan::service(&mut self.look, service, &load);
            self.unplaced = self.unplaced.saturating_add(judged.unplaced);
            if let Some(until) = judged.quiet_until() {
                let (machines, unplaced) = (judged.machines, judged.unplaced);
                let waits = std::mem::take(&mut judged.waits);
                quiet.push(Quiet { service: service.clone(), load, until, machines, unplaced, waits });
            }
            judged.add_to(&mut self.plan);
        }
        quiet
    }
}

/// One pass's look at the state, with the nodes as the pass has filled them so far.
struct Look<'a> {
    view: &'a State,
    health: Health<'a>,
    draining: &'a BTreeSet<ContainerInstanceId>,
    /// The zones of each cluster that have machines which take tasks.
    zones: &'a BTreeMap<ClusterKey, BTreeSet<Zone>>,
    clusters: BTreeMap<ClusterKey, Nodes>,
    /// How many addresses of a subnet are free: counted once.
    addresses: BTreeMap<SubnetId, u32>,
    /// Where tasks were placed.
    taken: BTreeSet<ContainerInstanceId>,
    stopwatch: &'a Stopwatch,
}

impl Look<'_> {
    fn nodes(&mut self, cluster: &ClusterKey) -> &mut Nodes {
        self.clusters.entry(cluster.clone()).or_insert_with(|| Nodes::of_cluster(self.view, cluster))
    }

    fn free_addresses(&mut self, subnet: &Subnet) -> u32 {
        let count = || self.view.free_addresses(subnet, self.health.now);
        *self.addresses.entry(subnet.id).or_insert_with(count)
    }

    fn place(&mut self, cluster: &ClusterKey, request: &Request) -> Placed {
        let placed = self.timed(cluster, |nodes| place_on(nodes, request));
        self.taken.extend(placed.placements.iter().map(|placement| placement.instance));
        placed
    }

    /// Where a request's first task would be placed.
    fn choose(&mut self, cluster: &ClusterKey, request: &Request) -> Option<Placement> {
        self.timed(cluster, |nodes| choose(nodes, request))
    }

    fn timed<T>(&mut self, cluster: &ClusterKey, search: impl FnOnce(&mut Nodes) -> T) -> T {
        let started = self.stopwatch.read();
        let found = search(self.nodes(cluster));
        if let (Some(started), Some(ended)) = (started, self.stopwatch.read()) {
            metrics::placement(ended.saturating_sub(started));
        }
        found
    }

    /// Places tasks on these machines, one on each.
    fn place_each(&mut self, cluster: &ClusterKey, request: &Request, on: &[ContainerInstanceId]) -> Placed {
        let placed = place_each(self.nodes(cluster), request, on);
        self.taken.extend(placed.placements.iter().map(|placement| placement.instance));
        placed
    }
}
