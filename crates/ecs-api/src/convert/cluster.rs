//! Clusters.

use trireme_ecs_model::shapes::{
    self, CapacityProviderStrategyItem, ClusterField, ClusterSetting, ClusterSettingName, KeyValuePair,
};
use trireme_state::State;
use trireme_state::object::{
    Cluster, ClusterConfiguration, ClusterKey, ClusterStatus, Launching, Service, ServiceStatus, StrategyItem,
};
use trireme_types::Arn;
use trireme_types::arn::Resource;

use super::{described, number, tags};

pub(crate) fn arn(key: &ClusterKey) -> String {
    Arn::new(&key.scope, Resource::Cluster(key.name.clone())).to_string()
}

pub(crate) fn describe(state: &State, cluster: &Cluster, include: &[ClusterField]) -> shapes::Cluster {
    let instances = state.index().instances_of_cluster(&cluster.key);
    let (mut running, mut pending) = (0_u32, 0_u32);
    for instance in &instances {
        let load = state.index().instance_load(*instance);
        running = running.saturating_add(load.running);
        pending = pending.saturating_add(load.pending);
    }
    let launched = state.launched_tasks_of(&cluster.key);
    let on_instances = (running, pending);
    running = running.saturating_add(launched.0);
    pending = pending.saturating_add(launched.1);
    let services =
        |status| state.services_of_cluster(&cluster.key).filter(|service| service.status == status).count();
    let (active, draining) = (services(ServiceStatus::Active), services(ServiceStatus::Draining));
    let with = |field| include.contains(&field);
    let statistics = if with(ClusterField::Statistics) {
        let fargate = |status| {
            let of = |service: &&std::sync::Arc<Service>| Launching::of(&service.spec.described).is_fargate();
            let services = state.services_of_cluster(&cluster.key).filter(of);
            services.filter(|service| service.status == status).count()
        };
        let fargate = (fargate(ServiceStatus::Active), fargate(ServiceStatus::Draining));
        let services = (active.saturating_sub(fargate.0), draining.saturating_sub(fargate.1));
        [statistics("EC2", on_instances, services), statistics("Fargate", launched, fargate)].concat()
    } else {
        Vec::new()
    };
    let configuration = state.cluster_configuration(&cluster.key);
    shapes::Cluster {
        cluster_arn: Some(arn(&cluster.key)),
        cluster_name: Some(cluster.key.name.to_string()),
        status: Some(
            match cluster.status {
                ClusterStatus::Active => "ACTIVE",
                ClusterStatus::Inactive => "INACTIVE",
            }
            .to_owned(),
        ),
        registered_container_instances_count: Some(number(instances.len())),
        running_tasks_count: Some(number(running)),
        pending_tasks_count: Some(number(pending)),
        active_services_count: Some(number(active)),
        statistics: Some(statistics),
        tags: Some(if with(ClusterField::Tags) { tags::list(&cluster.tags) } else { Vec::new() }),
        settings: Some(if with(ClusterField::Settings) { settings(&configuration) } else { Vec::new() }),
        configuration: with(ClusterField::Configurations)
            .then(|| described::read(&configuration.described, described::CONFIGURATION))
            .flatten(),
        service_connect_defaults: described::read(
            &configuration.described,
            described::SERVICE_CONNECT_DEFAULTS,
        ),
        capacity_providers: Some(configuration.capacity_providers.iter().map(ToString::to_string).collect()),
        default_capacity_provider_strategy: Some(configuration.default_strategy.iter().map(item).collect()),
        ..Default::default()
    }
}

/// ECS API: Cluster.settings.
fn settings(configuration: &ClusterConfiguration) -> Vec<ClusterSetting> {
    vec![ClusterSetting {
        name: Some(ClusterSettingName::ContainerInsights),
        value: Some(configuration.container_insights.as_str().to_owned()),
    }]
}

/// ECS API: CapacityProviderStrategyItem.
pub(crate) fn item(item: &StrategyItem) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem {
        capacity_provider: Some(item.provider.to_string()),
        weight: Some(number(item.weight)),
        base: Some(number(item.base)),
    }
}

/// ECS API: Cluster.statistics, of a launch type.
fn statistics(of: &str, tasks: (u32, u32), services: (usize, usize)) -> Vec<KeyValuePair> {
    let pair = |name: String, value: String| KeyValuePair { name: Some(name), value: Some(value) };
    vec![
        pair(format!("running{of}TasksCount"), tasks.0.to_string()),
        pair(format!("pending{of}TasksCount"), tasks.1.to_string()),
        pair(format!("active{of}ServiceCount"), services.0.to_string()),
        pair(format!("draining{of}ServiceCount"), services.1.to_string()),
    ]
}
