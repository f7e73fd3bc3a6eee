//! How far targets of rules have been told what happened, and what they call.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use trireme_types::{ContainerInstanceId, Scope, TaskId};

use crate::State;
use crate::object::{
    ApiDestination, ApiDestinationKey, Connection, ConnectionKey, Delivery, DeliveryKey, RuleKey, ServiceKey,
};

impl State {
    /// How far each target that is told of events has come.
    pub fn deliveries(&self) -> impl Iterator<Item = (&DeliveryKey, &Arc<Delivery>)> {
        self.deliveries.iter()
    }

    /// Those of a rule.
    pub fn deliveries_of<'a>(
        &'a self,
        rule: &'a RuleKey,
    ) -> impl Iterator<Item = (&'a DeliveryKey, &'a Arc<Delivery>)> {
        let first = DeliveryKey { rule: rule.clone(), target: String::new() };
        self.deliveries.range(first..).take_while(move |(key, _)| key.rule == *rule)
    }

    /// How far a target has come; `None`: it is told of no events.
    pub fn delivery(&self, key: &DeliveryKey) -> Option<&Arc<Delivery>> {
        self.deliveries.get(key)
    }

    /// A connection.
    pub fn connection(&self, key: &ConnectionKey) -> Option<&Arc<Connection>> {
        self.connections.get(key)
    }

    /// The connections of an account and region, by name.
    pub fn connections_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Connection>> {
        let first = ConnectionKey { scope: scope.clone(), name: String::new() };
        let all = self.connections.range(first..);
        all.take_while(move |(key, _)| key.scope == *scope).map(|(_, connection)| connection)
    }

    /// An API destination.
    pub fn api_destination(&self, key: &ApiDestinationKey) -> Option<&Arc<ApiDestination>> {
        self.api_destinations.get(key)
    }

    /// The API destinations of an account and region, by name.
    pub fn api_destinations_of<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<ApiDestination>> {
        let first = ApiDestinationKey { scope: scope.clone(), name: String::new() };
        let all = self.api_destinations.range(first..);
        all.take_while(move |(key, _)| key.scope == *scope).map(|(_, destination)| destination)
    }

    /// Tasks that are not as they were in an earlier state, without those that are gone. It costs as much as there is of them.
    pub fn tasks_changed_since(&self, earlier: &Self) -> BTreeSet<TaskId> {
        let of_health = changed(&earlier.task_health, &self.task_health);
        let all = changed(&earlier.tasks, &self.tasks).chain(of_health);
        all.filter(|id| self.tasks.contains_key(*id)).copied().collect()
    }

    /// The same of container instances, with those that are gone.
    pub fn instances_changed_since(&self, earlier: &Self) -> BTreeSet<ContainerInstanceId> {
        changed(&earlier.instances, &self.instances).copied().collect()
    }

    /// The same of services, with those that are gone.
    pub fn services_changed_since(&self, earlier: &Self) -> Vec<ServiceKey> {
        changed(&earlier.services, &self.services).cloned().collect()
    }
}

fn changed<'a, K, V>(
    earlier: &'a OrdMap<K, Arc<V>>,
    now: &'a OrdMap<K, Arc<V>>,
) -> impl Iterator<Item = &'a K>
where
    K: Ord + Clone,
    V: PartialEq,
{
    // Most of what happens leaves most as it is.
    let same = earlier.ptr_eq(now);
    let changes = (!same).then(|| earlier.diff(now)).into_iter().flatten();
    changes.map(|item| match item {
        DiffItem::Add(key, _) | DiffItem::Update { new: (key, _), .. } | DiffItem::Remove(key, _) => key,
    })
}
