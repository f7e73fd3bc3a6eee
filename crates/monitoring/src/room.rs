//! How much room metrics take, and how much there is.

use std::collections::BTreeMap;

use trireme_state::object::MetricKey;
use trireme_types::Scope;

use crate::ecs;

/// Users' metrics of all accounts and regions, one in two units counted twice: with all that is kept of each, 24 KiB when it is said every
/// five seconds and 34 KiB at most, 140 to 200 MiB.
pub(crate) const OF_USERS: Room = Room { series: 6_000, names: 32 << 20 };
/// Users' metrics of one account in one region.
pub(crate) const OF_SCOPE: Room = Room { series: 5_000, names: 24 << 20 };
/// Metrics of clusters and services: as much again. Neither takes the others' room.
pub(crate) const OF_SERVICES: Room = Room { series: 6_000, names: 32 << 20 };

/// Room for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Metrics in one unit.
    pub series: usize,
    /// Bytes of their names.
    pub names: usize,
}

impl Room {
    fn add(&mut self, more: Self) {
        self.series = self.series.saturating_add(more.series);
        self.names = self.names.saturating_add(more.names);
    }

    /// What there is none left of, when there is none.
    fn full(self, limit: Self, [series, names]: [&'static str; 2]) -> Option<(usize, &'static str)> {
        if self.series >= limit.series {
            return Some((limit.series, series));
        }
        (self.names >= limit.names).then_some((limit.names, names))
    }
}

/// The room that is taken, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    users: Room,
    scopes: BTreeMap<Scope, Room>,
    services: Room,
}

impl Taken {
    pub(crate) fn take(&mut self, key: &MetricKey, more: Room) {
        if is_of_service(key) {
            return self.services.add(more);
        }
        self.users.add(more);
        self.scopes.entry(key.scope.clone()).or_default().add(more);
    }

    /// How much there may be of what, if there is as much.
    pub(crate) fn full(&self, key: &MetricKey) -> Option<(usize, &'static str)> {
        if is_of_service(key) {
            let of = ["of clusters and services", "bytes of names of clusters and services"];
            return self.services.full(OF_SERVICES, of);
        }
        let of_all = ["in all accounts and regions", "bytes of names in all accounts and regions"];
        let of_scope = ["in an account and region", "bytes of names in an account and region"];
        let scope = self.scopes.get(&key.scope).copied().unwrap_or_default();
        self.users.full(OF_USERS, of_all).or_else(|| scope.full(OF_SCOPE, of_scope))
    }
}

/// Bytes of a metric's name.
pub(crate) fn names(key: &MetricKey) -> usize {
    let dimensions: usize = key.dimensions.iter().map(|(name, value)| name.len() + value.len()).sum();
    key.namespace.len() + key.name.len() + dimensions
}

/// Whether it is of what ECS says by itself.
fn is_of_service(key: &MetricKey) -> bool {
    key.namespace == ecs::NAMESPACE || key.namespace == ecs::INSIGHTS
}
