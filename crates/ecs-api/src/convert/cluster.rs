//! Clusters.

use trireme_ecs_model::shapes::{
    self, CapacityProviderStrategyItem, ClusterField, ClusterSetting, ClusterSettingName, KeyValuePair,
};
use trireme_state::State;
use trireme_state::object::{
    Cluster, ClusterConfiguration, ClusterKey, ClusterStatus, ServiceStatus, StrategyItem,
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
    let services =
        |status| state.services_of_cluster(&cluster.key).filter(|service| service.status == status).count();
    let (active, draining) = (services(ServiceStatus::Active), services(ServiceStatus::Draining));
    let with = |field| include.contains(&field);
    let statistics = if with(ClusterField::Statistics) {
        statistics(running, pending, active, draining)
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
fn item(item: &StrategyItem) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem {
        capacity_provider: Some(item.provider.to_string()),
        weight: Some(number(item.weight)),
        base: Some(number(item.base)),
    }
}

/// ECS API: Cluster.statistics. Everything runs on container instances here, which ECS calls EC2.
fn statistics(running: u32, pending: u32, active: usize, draining: usize) -> Vec<KeyValuePair> {
    let pair = |name: &str, value: String| KeyValuePair { name: Some(name.to_owned()), value: Some(value) };
    let zero = || "0".to_owned();
    vec![
        pair("runningEC2TasksCount", running.to_string()),
        pair("runningFargateTasksCount", zero()),
        pair("pendingEC2TasksCount", pending.to_string()),
        pair("pendingFargateTasksCount", zero()),
        pair("activeEC2ServiceCount", active.to_string()),
        pair("activeFargateServiceCount", zero()),
        pair("drainingEC2ServiceCount", draining.to_string()),
        pair("drainingFargateServiceCount", zero()),
    ]
}
