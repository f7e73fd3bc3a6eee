//! Questions that more than one room asks of the state.

mod alarms;
mod capacity;
mod deliveries;
mod deployments;
mod groups;
mod health;
mod images;
mod logs;
mod scaling;
mod schedules;
mod service_level;
mod settings;
mod subnets;
mod topology;

use std::sync::Arc;

use imbl::OrdSet;
use trireme_types::{ClusterName, Family, Mebibytes, Port, Protocol, Scope, ServiceName, TaskId};

use crate::State;
use crate::command::TaggedResource;
use crate::object::{
    AccessKey, AccountSettings, Attributes, CapacityProvider, Cluster, ClusterKey, ClusterStatus,
    ContainerInstance, LogGroup, LogGroupKey, NetworkMode, Reservation, ScalableTarget, Service, ServiceKey,
    SettingsKey, Tags, Task, TaskDefinition, TaskDefinitionKey, TaskDefinitionSpec, TaskDefinitionStatus,
    TaskOverrides,
};

pub use alarms::DeploymentAlarms;
pub use capacity::WaitingRoom;
pub use groups::SERVICE_GROUP;
pub use health::{Checked, checked};
pub use logs::{AWSLOGS, log_group};
pub use scaling::{scaling_policy_arn, uuid};
pub use service_level::service_level;
pub use settings::{overrides_level, settings, settings_level};
pub use topology::{Occupancy, Topology};

/// ECS's attribute for the zone.
pub const ZONE_ATTRIBUTE: &str = "ecs.availability-zone";

impl State {
    /// Every cluster, active or not, by full name.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// A cluster that may be used.
    pub fn active_cluster(&self, key: &ClusterKey) -> Option<&Arc<Cluster>> {
        self.clusters.get(key).filter(|cluster| cluster.status == ClusterStatus::Active)
    }

    /// Every service, active or not, by cluster and name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// A cluster's services, active or not, by name.
    pub fn services_of_cluster<'a>(
        &'a self,
        cluster: &'a ClusterKey,
    ) -> impl Iterator<Item = &'a Arc<Service>> {
        // The shortest allowed name sorts first: `-` is the lowest allowed character.
        let first = ServiceName::new("-").ok().map(|name| ServiceKey { cluster: cluster.clone(), name });
        first
            .into_iter()
            .flat_map(move |first| self.services.range(first..))
            .take_while(move |(key, _)| key.cluster == *cluster)
            .map(|(_, service)| service)
    }

    /// Every task that is not reaped, by id.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// A service's tasks that are not STOPPED.
    pub fn tasks_of_service(&self, service: &ServiceKey) -> Vec<Arc<Task>> {
        self.tasks_by_id(&self.index.service_load(service).tasks)
    }

    /// A container instance's tasks that are not STOPPED.
    pub fn tasks_of_instance(&self, instance: trireme_types::ContainerInstanceId) -> Vec<Arc<Task>> {
        self.tasks_by_id(&self.index.instance_load(instance).tasks)
    }

    fn tasks_by_id(&self, ids: &OrdSet<TaskId>) -> Vec<Arc<Task>> {
        ids.iter().filter_map(|id| self.tasks.get(id)).cloned().collect()
    }

    /// Every container instance, by id.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<ContainerInstance>> {
        self.instances.values()
    }

    /// Whether an instance's agent is there to be spoken to: it has a session, and did not say that it goes away.
    pub fn is_present(&self, instance: &ContainerInstance) -> bool {
        instance.connected && !self.absences.contains_key(&instance.id)
    }

    /// A container instance's attributes: its agent's, its zone, and over them those that users gave it.
    pub fn attributes(&self, instance: &ContainerInstance) -> Attributes {
        let registration = &instance.registration;
        let mut all = registration.attributes.clone();
        all.entry(ZONE_ATTRIBUTE.to_owned()).or_insert_with(|| registration.zone.to_string());
        let custom = self.custom_attributes(instance.id);
        all.extend(custom.iter().map(|(name, value)| (name.clone(), value.clone())));
        all
    }

    /// One attribute of a container instance, as [`State::attributes`] has it.
    pub fn attribute<'a>(&'a self, instance: &'a ContainerInstance, name: &str) -> Option<&'a str> {
        let registration = &instance.registration;
        let custom = self.custom_attributes.get(&instance.id).and_then(|custom| custom.get(name));
        let found = custom.or_else(|| registration.attributes.get(name)).map(String::as_str);
        found.or_else(|| (name == ZONE_ATTRIBUTE).then(|| registration.zone.as_str()))
    }

    /// The capacity providers that users made in an account and region, by name.
    pub fn capacity_providers_of<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<CapacityProvider>> {
        self.capacity_providers.values().filter(move |one| one.key.scope == *scope)
    }

    /// Whoever has settings of an account and region, the account itself among them.
    pub fn settings_of<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a SettingsKey, &'a Arc<AccountSettings>)> {
        self.account_settings.iter().filter(move |(key, _)| key.scope == *scope)
    }

    /// The log groups of an account and region, by name.
    pub fn log_groups_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<LogGroup>> {
        let first = LogGroupKey { scope: scope.clone(), name: String::new() };
        let groups = self.log_groups.range(first..);
        groups.take_while(move |(key, _)| key.scope == *scope).map(|(_, group)| group)
    }

    /// The scalable targets of an account and region, by service.
    pub fn scalable_targets_of<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = (&'a ServiceKey, &'a Arc<ScalableTarget>)> {
        self.scalable_targets.iter().filter(move |(key, _)| key.cluster.scope == *scope)
    }

    /// Every access key, by id.
    pub fn access_keys(&self) -> impl Iterator<Item = &Arc<AccessKey>> {
        self.access_keys.values()
    }

    /// Every task definition, by family and revision.
    pub fn task_definitions(&self) -> impl Iterator<Item = &Arc<TaskDefinition>> {
        self.task_definitions.values()
    }

    /// A family's newest active revision.
    pub fn latest_task_definition(&self, scope: &Scope, family: &Family) -> Option<&Arc<TaskDefinition>> {
        let key = |revision| TaskDefinitionKey { scope: scope.clone(), family: family.clone(), revision };
        self.task_definitions
            .range(key(0)..=key(u32::MAX))
            .rev()
            .map(|(_, definition)| definition)
            .find(|definition| definition.status == TaskDefinitionStatus::Active)
    }

    /// A resource's tags, if it is there (ECS API: ListTagsForResource).
    pub fn tags(&self, resource: &TaggedResource) -> Option<&Tags> {
        match resource {
            TaggedResource::Cluster(key) => self.active_cluster(key).map(|cluster| &cluster.tags),
            TaggedResource::Service(key) => self.services.get(key).map(|service| &service.tags),
            TaggedResource::Task(id) => self.tasks.get(id).map(|task| &task.tags),
            TaggedResource::ContainerInstance(id) => self.instances.get(id).map(|instance| &instance.tags),
            TaggedResource::TaskDefinition(key) => self.task_definitions.get(key).map(|one| &one.tags),
            TaggedResource::CapacityProvider(key) => self.capacity_providers.get(key).map(|one| &one.tags),
            TaggedResource::TaskSet(key, id) => self.task_sets.get(key)?.set(*id).map(|set| &set.tags),
        }
    }

    /// The cluster of `scope` that ECS uses when none is named.
    pub fn default_cluster_key(scope: &Scope) -> ClusterKey {
        ClusterKey { scope: scope.clone(), name: ClusterName::default_cluster() }
    }
}

/// What a task of this definition holds on its instance (ECS developer guide: task-level sizes win, else the containers'
/// sum; `memoryReservation` is the scheduled amount when given).
pub fn reservation(spec: &TaskDefinitionSpec, overrides: &TaskOverrides) -> Reservation {
    let mut cpu = trireme_types::CpuUnits::ZERO;
    let mut memory = Mebibytes::ZERO;
    let mut ports: Vec<(Protocol, Port)> = Vec::new();
    for container in &spec.containers {
        let change = overrides.containers.iter().find(|change| change.name == container.name);
        cpu = cpu.saturating_add(change.and_then(|c| c.cpu).unwrap_or(container.cpu));
        let reserved = change.and_then(|c| c.memory_reservation).or(container.memory_reservation);
        let hard = change.and_then(|c| c.memory).or(container.memory);
        memory = memory.saturating_add(reserved.or(hard).unwrap_or(Mebibytes::ZERO));
        ports.extend(container.port_mappings.iter().filter_map(|mapping| {
            let port = match spec.network_mode {
                Some(NetworkMode::Host) => Some(mapping.container_port),
                Some(NetworkMode::None | NetworkMode::Awsvpc) => None,
                Some(NetworkMode::Bridge) | None => mapping.host_port,
            };
            port.filter(|port| port.get() != 0).map(|port| (mapping.protocol, port))
        }));
    }
    Reservation {
        cpu: overrides.cpu.or(spec.cpu).unwrap_or(cpu),
        memory: overrides.memory.or(spec.memory).unwrap_or(memory),
        ports,
    }
}
