//! The capacity controller: tasks that RunTask promised get a machine as soon as there is one, and the pools of capacity providers with
//! managed scaling get the size that their tasks need (ECS API: ManagedScaling).
//!
//! - `waiting`: tasks that wait, which are placed, given up, or forgotten · `demand`: how many machines a pool's tasks need · `size`: what
//!   follows from that, as arithmetic · `leaving`: machines that are to go · `order`: what the hook is told.
//! - What a pool is to have is state: a wanted size under a number of its own, and the machines that are to go. The hook of a control node's
//!   configuration makes it so; whoever leads calls it again until it is.
//! - CapacityProviderReservation is 100 times the machines that are needed by the machines that are there. Needed are those that run tasks,
//!   daemons aside, and as many more as the tasks without a place would fill.
//! - A machine goes only when nothing but daemons runs on it, it is drained before, and there were more than are needed for as long as a new
//!   one takes to warm up: so a pool does not flap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use trireme_scheduler::Nodes;
use trireme_state::State;
use trireme_state::object::{AutoScalingGroup, CapacityProvider, ClusterKey};
use trireme_types::{Scope, Timestamp};

use crate::driver::{Controller, Plan};
use crate::observed::Observed;

mod demand;
mod leaving;
mod order;
mod size;
mod waiting;

pub use demand::{Standing, standing, standings};
pub use order::{Order, order};

/// Places tasks that wait, and sizes pools.
#[derive(Debug, Clone, Copy)]
pub struct CapacityController {
    /// How long a task waits for a machine before it is given up.
    pub patience: Duration,
    /// How long one that was given up is described.
    pub kept: Duration,
}

impl Default for CapacityController {
    fn default() -> Self {
        Self { patience: Duration::from_secs(900), kept: Duration::from_secs(3_600) }
    }
}

/// The machines of each cluster, as a pass has filled them so far.
type Copies = BTreeMap<ClusterKey, Nodes>;

fn copy<'a>(copies: &'a mut Copies, view: &State, cluster: &ClusterKey) -> &'a mut Nodes {
    copies.entry(cluster.clone()).or_insert_with(|| Nodes::of_cluster(view, cluster))
}

impl Controller for CapacityController {
    const NAME: &'static str = "capacity";
    const HEARS: bool = true;

    fn plan(&self, view: &State, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let mut copies = Copies::new();
        let without = waiting::plan(self, view, now, &mut copies, &mut plan);
        for provider in scaled(view) {
            let demand = demand::of(view, provider, &without, &mut copies, now);
            leaving::plan(view, provider, observed, now, &mut plan);
            size::plan(view, provider, &demand, now, &mut plan);
        }
        plan
    }
}

/// Providers with managed scaling that a cluster has. Older versions took several with one pool: then the first scales it, for two would pull it
/// to and fro.
pub fn scaled(view: &State) -> impl Iterator<Item = &CapacityProvider> {
    let mut pools: BTreeSet<(&Scope, &str)> = BTreeSet::new();
    let is_scaled = |one: &AutoScalingGroup| one.managed_scaling.enabled && one.names_a_pool();
    let is_used = |one: &CapacityProvider| view.clusters_of_provider(&one.key).next().is_some();
    let enabled = view.capacity_providers().filter(move |one| is_scaled(&one.group) && is_used(one));
    enabled.map(|one| &**one).filter(move |one| pools.insert((&one.key.scope, one.group.pool())))
}
