//! Indexes: what can be derived from the objects, kept up to date by `apply`, never stored. [`Index::rebuild`] makes them
//! anew from the objects; an invariant compares the two.

mod addresses;
mod due;
mod groups;
mod listing;
mod service;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use trireme_types::{
    ContainerInstanceId, CpuUnits, DeploymentId, GpuId, Mebibytes, Port, Protocol, TaskId, Timestamp, Zone,
};

use crate::command::Outcome;
use crate::object::{
    ClusterKey, ContainerInstance, DesiredStatus, Firing, Interface, Service, ServiceKey, ServiceStatus,
    Task, TaskDefinitionKey, TaskGpus, TaskSets, TaskStatus, Trigger,
};
use crate::state::RequestName;

pub use addresses::{Addresses, SubnetLoad};
pub use due::DueTriggers;
pub use groups::TaskGroups;
pub use listing::TaskListing;
pub use service::{ServiceLoad, TaskCounts};

/// What an instance's tasks hold. Tasks count until they are STOPPED.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceLoad {
    /// Tasks that are not STOPPED.
    pub tasks: OrdSet<TaskId>,
    /// Cpu units held.
    pub cpu: CpuUnits,
    /// Memory held.
    pub memory: Mebibytes,
    /// Fixed host ports held.
    pub ports: OrdSet<(Protocol, Port)>,
    /// GPUs held.
    pub gpus: OrdSet<GpuId>,
    /// Of them, tasks that are RUNNING.
    pub running: u32,
    /// Of them, tasks on their way to RUNNING.
    pub pending: u32,
}

/// All indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    pub(crate) by_instance: OrdMap<ContainerInstanceId, Arc<InstanceLoad>>,
    pub(crate) by_service: OrdMap<ServiceKey, Arc<ServiceLoad>>,
    pub(crate) listing: TaskListing,
    pub(crate) groups: TaskGroups,
    pub(crate) instances_by_cluster: OrdMap<ClusterKey, OrdSet<ContainerInstanceId>>,
    pub(crate) stopped: OrdSet<(Timestamp, TaskId)>,
    pub(crate) by_zone_and_status: OrdMap<(Zone, TaskStatus), u64>,
    /// The client token that made a task.
    pub(crate) token_by_task: OrdMap<TaskId, RequestName>,
    /// How many times services that are not inactive name a definition.
    pub(crate) definitions_of_services: OrdMap<TaskDefinitionKey, u64>,
    /// The client tokens that made a service.
    pub(crate) tokens_by_service: OrdMap<ServiceKey, OrdSet<RequestName>>,
    /// The client token that made a task set.
    pub(crate) token_by_task_set: OrdMap<DeploymentId, RequestName>,
    pub(crate) addresses: Addresses,
    pub(crate) due: DueTriggers,
}

/// Whether a task counts as pending in ECS's counts (ECS API: Service.pendingCount).
fn is_pending(task: &Task) -> bool {
    task.last_status < TaskStatus::Running && task.desired_status == DesiredStatus::Running
}

impl Index {
    /// What `instance`'s tasks hold; nothing when it has none.
    pub fn instance_load(&self, instance: ContainerInstanceId) -> Arc<InstanceLoad> {
        self.by_instance.get(&instance).cloned().unwrap_or_default()
    }

    /// A service's tasks; none when it has none.
    pub fn service_load(&self, service: &ServiceKey) -> Arc<ServiceLoad> {
        self.by_service.get(service).cloned().unwrap_or_default()
    }

    /// Gives a service's load another address, for those who take the same address for no news.
    pub(crate) fn renew_service_load(&mut self, service: &ServiceKey) {
        if let Some(load) = self.by_service.get_mut(service) {
            *load = Arc::new((**load).clone());
        }
    }

    /// Every task of a cluster that is not reaped.
    pub fn tasks_of_cluster(&self, cluster: &ClusterKey) -> OrdSet<TaskId> {
        self.listing.of_cluster(cluster)
    }

    /// Tasks by what they are asked for by.
    pub fn listing(&self) -> &TaskListing {
        &self.listing
    }

    /// Tasks without a service by their group.
    pub fn groups(&self) -> &TaskGroups {
        &self.groups
    }

    /// Every container instance of a cluster.
    pub fn instances_of_cluster(&self, cluster: &ClusterKey) -> OrdSet<ContainerInstanceId> {
        self.instances_by_cluster.get(cluster).cloned().unwrap_or_default()
    }

    /// Stopped tasks that are not reaped, those that stopped first in front.
    pub fn stopped_tasks(&self) -> &OrdSet<(Timestamp, TaskId)> {
        &self.stopped
    }

    /// How many tasks there are in each zone and status.
    pub fn task_counts(&self) -> impl Iterator<Item = (&Zone, TaskStatus, u64)> {
        self.by_zone_and_status.iter().map(|((zone, status), count)| (zone, *status, *count))
    }

    /// The indexes of these objects, from nothing.
    pub fn rebuild<'a>(
        instances: impl Iterator<Item = &'a Arc<ContainerInstance>>,
        tasks: impl Iterator<Item = (&'a Arc<Task>, Option<&'a Arc<TaskGpus>>)>,
        services: impl Iterator<Item = (&'a Arc<Service>, Option<&'a Arc<TaskSets>>)>,
        tokens: impl Iterator<Item = (&'a RequestName, &'a Outcome)>,
        waiting: impl Iterator<Item = TaskId>,
    ) -> Self {
        let mut index = Self::default();

        for instance in instances {
            index.add_instance(instance);
        }
        // A task that waits has its token already.
        let mut there: OrdSet<TaskId> = waiting.collect();
        for (task, gpus) in tasks {
            index.listing.add(task);
            index.add_task(task, gpus.map(|gpus| &**gpus));
            there.insert(task.id);
        }
        for (service, sets) in services {
            index.add_definitions(service, sets.map(|sets| &**sets));
        }
        for (name, outcome) in tokens {
            index.add_token(name, outcome);
        }
        // A token outlives those of its tasks that are already reaped.
        let live = index.token_by_task.iter().filter(|(task, _)| there.contains::<TaskId>(task));
        index.token_by_task = live.map(|(task, name)| (*task, name.clone())).collect();
        index
    }

    /// With the addresses that tasks have.
    pub(crate) fn with_interfaces<'a>(
        mut self,
        interfaces: impl Iterator<Item = (&'a TaskId, &'a Arc<Interface>)>,
    ) -> Self {
        interfaces.for_each(|(task, interface)| self.addresses.add(*task, interface));
        self
    }

    /// With the times at which triggers are due.
    pub(crate) fn with_firings<'a>(
        mut self,
        firings: impl Iterator<Item = (&'a Trigger, &'a Arc<Firing>)>,
    ) -> Self {
        firings.for_each(|(trigger, firing)| self.due.add(trigger, firing));
        self
    }

    /// Triggers by the time at which there is something to do for them.
    pub fn due(&self) -> &DueTriggers {
        &self.due
    }

    /// The addresses that tasks have.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) fn add_token(&mut self, name: &RequestName, outcome: &Outcome) {
        match outcome {
            Outcome::Tasks(tasks) => {
                self.token_by_task.extend(tasks.iter().map(|task| (*task, name.clone())));
            }
            Outcome::Service(key) => {
                self.tokens_by_service.entry(key.clone()).or_default().insert(name.clone());
            }
            Outcome::TaskSet(_, id) => {
                self.token_by_task_set.insert(*id, name.clone());
            }
            Outcome::Done | Outcome::TaskDefinition(_) | Outcome::Session { .. } => {}
        }
    }

    /// Whether a task that is not reaped, or a service that is not inactive, is made from a definition.
    pub fn is_definition_used(&self, definition: &TaskDefinitionKey) -> bool {
        self.listing.count_of_definition(definition) > 0
            || self.definitions_of_services.contains_key(definition)
    }

    /// Counts what a service is made from.
    pub(crate) fn add_definitions(&mut self, service: &Service, sets: Option<&TaskSets>) {
        for definition in definitions(service, sets) {
            let count = self.definitions_of_services.entry(definition.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn remove_definitions(&mut self, service: &Service, sets: Option<&TaskSets>) {
        for definition in definitions(service, sets) {
            if let Some(count) = self.definitions_of_services.get_mut(definition) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.definitions_of_services.remove(definition);
                }
            }
        }
    }

    pub(crate) fn add_instance(&mut self, instance: &ContainerInstance) {
        let cluster = instance.registration.cluster.clone();
        self.instances_by_cluster.entry(cluster).or_default().insert(instance.id);
    }

    pub(crate) fn remove_instance(&mut self, instance: &ContainerInstance) {
        let cluster = &instance.registration.cluster;
        if let Some(instances) = self.instances_by_cluster.get_mut(cluster) {
            instances.remove(&instance.id);
            if instances.is_empty() {
                self.instances_by_cluster.remove(cluster);
            }
        }
    }

    /// Counts a task with its GPUs; its listing is another matter.
    pub(crate) fn add_task(&mut self, task: &Task, gpus: Option<&TaskGpus>) {
        let count = self.by_zone_and_status.entry((task.zone.clone(), task.last_status)).or_default();
        *count = count.saturating_add(1);
        let stopped = task.last_status == TaskStatus::Stopped;
        let stopped_at = task.times.stopped_at.unwrap_or_default();
        if stopped {
            self.stopped.insert((stopped_at, task.id));
        } else {
            let load = self.by_instance.entry(task.instance).or_default();
            add_to_instance(Arc::make_mut(load), task, gpus);
            self.groups.add(task);
        }
        if let (Some(service), Some(deployment)) = (task.service(), task.deployment()) {
            Arc::make_mut(self.by_service.entry(service).or_default()).add(deployment, task);
        }
    }

    pub(crate) fn remove_task(&mut self, task: &Task, gpus: Option<&TaskGpus>) {
        let cell = (task.zone.clone(), task.last_status);
        if let Some(count) = self.by_zone_and_status.get_mut(&cell) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_zone_and_status.remove(&cell);
            }
        }
        let stopped_at = task.times.stopped_at.unwrap_or_default();
        if task.last_status == TaskStatus::Stopped {
            self.stopped.remove(&(stopped_at, task.id));
        } else {
            self.groups.remove(task);
            self.remove_from_instance(task, gpus);
        }
        self.remove_from_service(task);
    }

    fn remove_from_instance(&mut self, task: &Task, gpus: Option<&TaskGpus>) {
        let Some(load) = self.by_instance.get_mut(&task.instance) else { return };
        let load = Arc::make_mut(load);
        remove_from_instance(load, task, gpus);
        if load.tasks.is_empty() {
            self.by_instance.remove(&task.instance);
        }
    }

    fn remove_from_service(&mut self, task: &Task) {
        let (Some(service), Some(deployment)) = (task.service(), task.deployment()) else { return };
        let Some(load) = self.by_service.get_mut(&service) else { return };
        let load = Arc::make_mut(load);
        load.remove(deployment, task);
        if load.is_empty() {
            self.by_service.remove(&service);
        }
    }
}

/// What a service is made from: as it is asked for, and what its deployments or its task sets still run. An inactive one is made
/// from nothing.
fn definitions<'a>(
    service: &'a Service,
    sets: Option<&'a TaskSets>,
) -> impl Iterator<Item = &'a TaskDefinitionKey> {
    let active = service.status != ServiceStatus::Inactive;
    let deployed = service.deployments.iter().map(|deployment| &deployment.task_definition);
    let sets = sets.into_iter().flat_map(|sets| &sets.sets).map(|set| &set.spec.task_definition);
    let all = deployed.chain(sets).chain([&service.spec.task_definition]);
    all.filter(move |definition| active && !definition.is_none())
}

fn add_to_instance(load: &mut InstanceLoad, task: &Task, gpus: Option<&TaskGpus>) {
    load.tasks.insert(task.id);
    load.cpu = load.cpu.saturating_add(task.reservation.cpu);
    load.memory = load.memory.saturating_add(task.reservation.memory);
    load.ports.extend(task.reservation.ports.iter().copied());
    load.gpus.extend(gpus.into_iter().flat_map(TaskGpus::values).flatten().cloned());
    load.running = load.running.saturating_add(u32::from(task.last_status == TaskStatus::Running));
    load.pending = load.pending.saturating_add(u32::from(is_pending(task)));
}

fn remove_from_instance(load: &mut InstanceLoad, task: &Task, gpus: Option<&TaskGpus>) {
    load.tasks.remove(&task.id);
    load.cpu = load.cpu.saturating_sub(task.reservation.cpu);
    load.memory = load.memory.saturating_sub(task.reservation.memory);
    for port in &task.reservation.ports {
        load.ports.remove(port);
    }
    for gpu in gpus.into_iter().flat_map(TaskGpus::values).flatten() {
        load.gpus.remove(gpu);
    }
    load.running = load.running.saturating_sub(u32::from(task.last_status == TaskStatus::Running));
    load.pending = load.pending.saturating_sub(u32::from(is_pending(task)));
}
