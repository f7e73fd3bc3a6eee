//! Where tasks run, what waits for a machine, and who belongs to which pool.

use std::sync::Arc;

use trireme_types::{CapacityProviderName, TaskId};

use crate::limits::{WAITING_RUNS, WAITING_RUNS_PER_ACCOUNT, WAITING_RUNS_PER_CLUSTER};
use crate::object::{
    CapacityProvider, CapacityProviderKey, ClusterKey, ContainerInstance, Launch, Launching, PoolSize,
    ServiceStatus, TaskDefinitionKey, TaskStatus, WaitingRun,
};
use crate::{FeatureLevel, State};

/// How many tasks wait for a machine: those that were given up count until they are forgotten.
#[derive(Debug, Clone, Copy)]
pub struct WaitingRoom {
    cluster: usize,
    account: usize,
    all: usize,
}

impl WaitingRoom {
    /// Whether so many more may wait.
    ///
    /// # Errors
    /// The limit that would be exceeded.
    pub fn check(self, more: usize) -> Result<(), usize> {
        let counts = [
            (self.cluster, WAITING_RUNS_PER_CLUSTER),
            (self.account, WAITING_RUNS_PER_ACCOUNT),
            (self.all, WAITING_RUNS),
        ];
        let exceeded = counts.into_iter().find(|(count, limit)| count.saturating_add(more) > *limit);
        exceeded.map_or(Ok(()), |(_, limit)| Err(limit))
    }
}

impl State {
    /// What a task was launched on; `None` when that is any machine of its cluster.
    pub fn launch(&self, task: TaskId) -> Option<&Launch> {
        self.launches.get(&task).map(|launch| &**launch)
    }

    /// On what tasks of a cluster run of which nobody said it: its default strategy, once every control node knows what to do with it.
    pub fn default_launching(&self, cluster: &ClusterKey) -> Launching {
        let items = &self.cluster_configuration(cluster).default_strategy;
        match items.is_empty() || self.level() < FeatureLevel::SCALING {
            true => Launching::Instances,
            false => Launching::Strategy(items.clone()),
        }
    }

    /// Whether a task is there, or waits for its machine, and is not STOPPED.
    pub fn is_under_way(&self, task: TaskId) -> bool {
        let runs = self.task(task).is_some_and(|task| task.last_status != TaskStatus::Stopped);
        runs || self.waiting_run(task).is_some_and(|run| run.end.is_none())
    }

    /// A task that waits for a machine, or did and never got one.
    pub fn waiting_run(&self, id: TaskId) -> Option<&Arc<WaitingRun>> {
        self.waiting_runs.get(&id)
    }

    /// All of them, by id.
    pub fn waiting_runs(&self) -> impl Iterator<Item = &Arc<WaitingRun>> {
        self.waiting_runs.values()
    }

    /// How many wait already, for whoever wants to.
    pub fn room_to_wait(&self, cluster: &ClusterKey) -> WaitingRoom {
        let of_account = |run: &&Arc<WaitingRun>| run.cluster.scope.account == cluster.scope.account;
        WaitingRoom {
            cluster: self.waiting_runs_of(cluster).count(),
            account: self.waiting_runs().filter(of_account).count(),
            all: self.waiting_runs.len(),
        }
    }

    /// Those of a cluster, by id.
    pub fn waiting_runs_of<'a>(
        &'a self,
        cluster: &'a ClusterKey,
    ) -> impl Iterator<Item = &'a Arc<WaitingRun>> {
        self.waiting_runs.values().filter(move |run| run.cluster == *cluster)
    }

    /// How many tasks of a cluster run, and are to run, that are on no machine of it: on the managed pool, or waiting for a machine.
    pub fn launched_tasks_of(&self, cluster: &ClusterKey) -> (u32, u32) {
        let fargate = self.launches.iter().filter(|(_, launch)| launch.is_fargate());
        let tasks = fargate.filter_map(|(id, _)| self.tasks.get(id)).filter(|task| task.cluster == *cluster);
        let (mut running, mut pending) = (0_u32, 0_u32);
        for task in tasks {
            let runs = task.last_status == TaskStatus::Running;
            running = running.saturating_add(u32::from(runs));
            pending = pending.saturating_add(u32::from(task.wanted() && !runs));
        }
        let waiting = self.waiting_runs_of(cluster).filter(|run| run.end.is_none()).count();
        (running, pending.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX)))
    }

    /// Whether anything is made from a definition, or is to be.
    pub fn is_definition_used(&self, definition: &TaskDefinitionKey) -> bool {
        self.index.is_definition_used(definition)
            || self.waiting_runs.values().any(|run| run.definition == *definition)
    }

    /// The size that a capacity provider's pool is to have, once it was decided.
    pub fn pool_size(&self, key: &CapacityProviderKey) -> Option<&Arc<PoolSize>> {
        self.pool_sizes.get(key)
    }

    /// Every size that was decided.
    pub fn pool_sizes(&self) -> impl Iterator<Item = (&CapacityProviderKey, &Arc<PoolSize>)> {
        self.pool_sizes.iter()
    }

    /// Every capacity provider that a user made.
    pub fn capacity_providers(&self) -> impl Iterator<Item = &Arc<CapacityProvider>> {
        self.capacity_providers.values()
    }

    /// A capacity provider of a cluster, by its name; none of ECS's own.
    pub fn provider_of_cluster(
        &self,
        cluster: &ClusterKey,
        name: &CapacityProviderName,
    ) -> Option<&Arc<CapacityProvider>> {
        self.capacity_provider(&CapacityProviderKey { scope: cluster.scope.clone(), name: name.clone() })
    }

    /// Whether an instance may take what was launched so for a cluster.
    pub fn takes(&self, instance: &ContainerInstance, cluster: &ClusterKey, launch: Option<&Launch>) -> bool {
        let machines = Launch::machines(launch, cluster);
        let pool = match launch {
            Some(Launch::Provider(name)) if !machines.is_managed_pool() => {
                match self.provider_of_cluster(cluster, name) {
                    Some(provider) => Some(provider.group.pool()),
                    None => return false,
                }
            }
            _ => None,
        };
        instance.registration.cluster == machines && (pool.is_none() || instance.registration.pool() == pool)
    }

    /// The capacity provider that a container instance belongs to: the first of its cluster's whose pool it is in (ECS API:
    /// ContainerInstance.capacityProviderName).
    pub fn provider_of_instance(&self, instance: &ContainerInstance) -> Option<CapacityProviderName> {
        let pool = instance.registration.pool()?;
        let cluster = &instance.registration.cluster;
        let configuration = self.cluster_configuration(cluster);
        let of_pool = |name: &&CapacityProviderName| {
            self.provider_of_cluster(cluster, name).is_some_and(|provider| provider.group.pool() == pool)
        };
        configuration.capacity_providers.iter().find(of_pool).cloned()
    }

    /// The clusters that have a capacity provider.
    pub fn clusters_of_provider<'a>(
        &'a self,
        key: &'a CapacityProviderKey,
    ) -> impl Iterator<Item = &'a ClusterKey> {
        let names = |cluster: &ClusterKey| {
            let configuration = self.cluster_configurations.get(cluster);
            configuration.is_some_and(|one| one.capacity_providers.contains(&key.name))
        };
        let active =
            self.cluster_configurations.keys().filter(|cluster| self.active_cluster(cluster).is_some());
        active.filter(move |cluster| cluster.scope == key.scope && names(cluster))
    }

    /// The machines of a capacity provider's pool, in the clusters that have it.
    pub fn instances_of_provider(&self, provider: &CapacityProvider) -> Vec<Arc<ContainerInstance>> {
        let pool = provider.group.pool();
        let of_cluster = |cluster| self.index.instances_of_cluster(cluster);
        let all = self.clusters_of_provider(&provider.key).flat_map(of_cluster);
        let found = all.filter_map(|id| self.instances.get(&id));
        found.filter(|instance| instance.registration.pool() == Some(pool)).cloned().collect()
    }

    /// The first service of a cluster that is not inactive and names a capacity provider in its strategy.
    pub fn service_of_provider(&self, cluster: &ClusterKey, name: &CapacityProviderName) -> Option<String> {
        let names = |described| Launching::of(described).strategy().iter().any(|item| item.provider == *name);
        let mut services = self.services_of_cluster(cluster);
        let found = services
            .find(|service| service.status != ServiceStatus::Inactive && names(&service.spec.described));
        found.map(|service| service.key.name.to_string())
    }
}
