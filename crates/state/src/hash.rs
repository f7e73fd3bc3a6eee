//! The state hash: a sum of the objects' hashes, without indexes. Nodes compare theirs at the same position; two that
//! differ do not hold the same state, though they applied the same log.
//!
//! The sum follows the state from position to position: only what changed in between is hashed. So it costs nothing while
//! events are applied, and may be taken beside that, on a clone.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::State;
use crate::codec::{self, Layout};

/// How often states are compared: at the end of each entry that reaches a multiple of so many events.
pub const HASHED_EVERY: u64 = 1_024;

/// The hash of a whole state at its position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateHash(pub [u8; 16]);

impl std::fmt::Display for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for StateHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateHash({self})")
    }
}

/// A state and the sum of its objects' hashes, in the layout of the state's level: it begins anew when that changes.
#[derive(Debug, Clone, Default)]
pub struct StateHasher {
    state: State,
    sum: u128,
}

impl StateHasher {
    /// Follows to `state`, from whatever it held before, and gives the hash there.
    pub fn advance(&mut self, state: &State) -> StateHash {
        let layout = Layout::of(state.level);
        if layout != Layout::of(self.state.level) {
            // What was added in another layout can only be taken away in that one.
            *self = Self::default();
        }
        let old = std::mem::replace(&mut self.state, state.clone());
        let mut sum = Sum { layout, sum: self.sum };
        sum.follow(1, &old.clusters, &state.clusters);
        sum.follow(2, &old.families, &state.families);
        sum.follow(3, &old.task_definitions, &state.task_definitions);
        sum.follow(4, &old.services, &state.services);
        sum.follow(5, &old.tasks, &state.tasks);
        sum.follow(6, &old.instances, &state.instances);
        sum.follow(7, &old.access_keys, &state.access_keys);
        sum.follow(8, &old.requests, &state.requests);
        sum.follow(9, &old.cluster_configurations, &state.cluster_configurations);
        sum.follow(10, &old.custom_attributes, &state.custom_attributes);
        sum.follow(11, &old.task_protections, &state.task_protections);
        sum.follow(12, &old.capacity_providers, &state.capacity_providers);
        sum.follow(13, &old.account_settings, &state.account_settings);
        sum.follow(14, &old.deployment_histories, &state.deployment_histories);
        sum.follow(15, &old.deleted_definitions, &state.deleted_definitions);
        sum.follow(16, &old.task_sets, &state.task_sets);
        sum.follow(17, &old.task_health, &state.task_health);
        sum.follow(21, &old.image_pins, &state.image_pins);
        sum.follow(24, &old.tasks_allowing_commands, &state.tasks_allowing_commands);
        sum.follow(22, &old.absences, &state.absences);
        sum.follow(23, &old.lost_after, &state.lost_after);
        sum.follow(20, &old.log_groups, &state.log_groups);
        sum.follow(18, &old.subnets, &state.subnets);
        sum.follow(19, &old.interfaces, &state.interfaces);
        sum.follow(27, &old.zone_moves, &state.zone_moves);
        sum.follow(26, &old.placement_rules, &state.placement_rules);
        sum.follow(25, &old.lifecycles, &state.lifecycles);
        sum.follow(28, &old.task_gpus, &state.task_gpus);
        sum.follow(29, &old.scalable_targets, &state.scalable_targets);
        sum.follow(30, &old.scaling_activities, &state.scaling_activities);
        sum.follow(35, &old.schedule_groups, &state.schedule_groups);
        sum.follow(36, &old.schedules, &state.schedules);
        sum.follow(37, &old.rules, &state.rules);
        sum.follow(38, &old.firings, &state.firings);
        sum.follow(39, &old.deliveries, &state.deliveries);
        sum.follow(42, &old.connections, &state.connections);
        sum.follow(43, &old.api_destinations, &state.api_destinations);
        sum.follow(40, &old.alarms, &state.alarms);
        sum.follow(41, &old.triggered_alarms, &state.triggered_alarms);
        sum.follow(32, &old.launches, &state.launches);
        sum.follow(33, &old.waiting_runs, &state.waiting_runs);
        sum.follow(34, &old.pool_sizes, &state.pool_sizes);
        self.sum = sum.sum;
        self.hash(layout)
    }

    fn hash(&self, layout: Layout) -> StateHash {
        let state = &self.state;
        let order = &state.request_order;
        // The order of eviction is covered by its ends and its length; the requests' times give the rest.
        let single = (
            state.position,
            state.clock,
            state.level,
            state.retention,
            state.trimmed,
            (order.len(), order.front(), order.back()),
        );
        let mut hash = Sha256::new();
        hash.update(codec::object_bytes(layout, &single));
        hash.update(self.sum.to_be_bytes());
        StateHash(first_half(hash))
    }
}

fn first_half(hash: Sha256) -> [u8; 16] {
    let digest: [u8; 32] = hash.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

/// The sum. Wrapping, so that what is taken away again leaves no trace.
struct Sum {
    layout: Layout,
    sum: u128,
}

impl Sum {
    fn follow<K, V>(&mut self, family: u8, old: &OrdMap<K, V>, new: &OrdMap<K, V>)
    where
        K: Ord + Clone + Serialize,
        V: PartialEq + Clone + Serialize,
    {
        for item in old.diff(new) {
            match item {
                DiffItem::Add(key, value) => self.add(family, key, value),
                DiffItem::Remove(key, value) => self.take(family, key, value),
                DiffItem::Update { old: (old_key, old_value), new: (key, value) } => {
                    self.take(family, old_key, old_value);
                    self.add(family, key, value);
                }
            }
        }
    }

    fn add<K: Serialize, V: Serialize>(&mut self, family: u8, key: &K, value: &V) {
        self.sum = self.sum.wrapping_add(object_hash(self.layout, family, key, value));
    }

    fn take<K: Serialize, V: Serialize>(&mut self, family: u8, key: &K, value: &V) {
        self.sum = self.sum.wrapping_sub(object_hash(self.layout, family, key, value));
    }
}

fn object_hash<K: Serialize, V: Serialize>(layout: Layout, family: u8, key: &K, value: &V) -> u128 {
    let mut hash = Sha256::new();
    hash.update([family]);
    hash.update(codec::object_bytes(layout, &(key, value)));
    u128::from_be_bytes(first_half(hash))
}

/// The hash of a state, from nothing.
pub fn state_hash(state: &State) -> StateHash {
    StateHasher::default().advance(state)
}

/// Whether an entry that led from one sequence number to another is one after which states are compared.
pub fn is_hashed(before: trireme_types::Sequence, after: trireme_types::Sequence) -> bool {
    before.get() / HASHED_EVERY != after.get() / HASHED_EVERY
}
