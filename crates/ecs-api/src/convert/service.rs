//! Services with their deployments and events.

use trireme_ecs_model::shapes::{
    self, DeploymentController, DeploymentControllerType, DeploymentRolloutState, LaunchType,
};
use trireme_state::State;
use trireme_state::index::TaskCounts;
use trireme_state::object::{
    Deployment, DeploymentStatus, EXECUTE_COMMAND, FailureCause, PLACEMENT_CONSTRAINTS, PLACEMENT_STRATEGY,
    PropagateTags, RolloutState, Service, ServiceEvent, ServiceKey, ServiceSpec, ServiceStatus,
};
use trireme_types::Arn;
use trireme_types::arn::Resource;

use crate::operation::launching::Shown;

use super::{
    cluster, deployment_input, described, network, number, scheduling, service_deployment, tags,
    task_definition, task_set, time,
};

pub(crate) fn arn(key: &ServiceKey) -> String {
    Arn::new(&key.cluster.scope, Resource::Service(key.cluster.name.clone(), key.name.clone())).to_string()
}

pub(crate) fn describe(state: &State, service: &Service, with_tags: bool) -> shapes::Service {
    let service = &*scheduling::counted(state, service);
    let load = state.index().service_load(&service.key);
    let spec = &service.spec;
    let shown = Shown::of(&spec.described);
    let counts = load.counts();
    let history = state.deployment_history(&service.key);
    let deployment = |one: &Deployment| {
        let revision = history.revision_of(one.id).and_then(|id| history.revision(id));
        let rolled_out = match one.status {
            DeploymentStatus::Primary => Some(&spec.described),
            DeploymentStatus::Active => revision.map(|revision| &revision.spec.described),
        };
        let shown = rolled_out.map(Shown::of);
        shapes::Deployment {
            network_configuration: rolled_out.and_then(network::read),
            launch_type: shown.as_ref().map_or(Some(LaunchType::Ec2), |shown| shown.launch_type.clone()),
            capacity_provider_strategy: shown.as_ref().and_then(|shown| shown.strategy.clone()),
            platform_version: shown.as_ref().and_then(|shown| shown.platform_version.clone()),
            platform_family: shown.and_then(|shown| shown.platform_family),
            ..self::deployment(state, service, one, state.counts_of_deployment(&service.key, &load, one.id))
        }
    };
    let sets = state.task_sets(&service.key);
    let controller = match sets {
        None => DeploymentControllerType::Ecs,
        Some(_) => DeploymentControllerType::External,
    };
    // Without a primary task set the members that are the task sets' are not there.
    let definition = Some(&spec.task_definition).filter(|definition| !definition.is_none());
    shapes::Service {
        task_sets: sets.map(|sets| task_set::describe_counted(service, &sets.sets, &load, with_tags)),
        current_service_deployment: service_deployment::current(service, &history),
        current_service_revisions: service_deployment::current_revisions(state, service, &history, &load),
        service_arn: Some(arn(&service.key)),
        service_name: Some(service.key.name.to_string()),
        cluster_arn: Some(cluster::arn(&service.key.cluster)),
        load_balancers: Some(described::read(&spec.described, described::LOAD_BALANCERS).unwrap_or_default()),
        service_registries: Some(
            described::read(&spec.described, described::SERVICE_REGISTRIES).unwrap_or_default(),
        ),
        status: Some(status(service.status).to_owned()),
        desired_count: Some(number(spec.desired_count)),
        running_count: Some(number(counts.running)),
        pending_count: Some(number(counts.pending)),
        launch_type: shown.launch_type,
        capacity_provider_strategy: shown.strategy,
        platform_version: shown.platform_version,
        platform_family: shown.platform_family,
        task_definition: definition.map(task_definition::arn),
        deployment_configuration: Some(configuration(spec)),
        deployments: Some(state.listed_deployments(service, &load).map(deployment).collect()),
        network_configuration: network::read(&spec.described),
        role_arn: spec.role_arn.clone(),
        events: Some(service.events.iter().map(event).collect()),
        created_at: Some(time(service.created_at)),
        placement_constraints: Some(
            described::read(&spec.described, PLACEMENT_CONSTRAINTS).unwrap_or_default(),
        ),
        placement_strategy: Some(described::read(&spec.described, PLACEMENT_STRATEGY).unwrap_or_default()),
        health_check_grace_period_seconds: spec.health_check_grace_period_seconds.map(number),
        scheduling_strategy: Some(scheduling::strategy(&spec.described)),
        deployment_controller: Some(DeploymentController { r#type: Some(controller) }),
        tags: with_tags.then(|| tags::list(&service.tags)),
        created_by: Some(service.created_by.clone()),
        enable_ecs_managed_tags: Some(spec.enable_ecs_managed_tags),
        propagate_tags: Some(propagate(spec.propagate_tags)),
        enable_execute_command: Some(described::read(&spec.described, EXECUTE_COMMAND) == Some(true)),
        availability_zone_rebalancing: Some(scheduling::rebalancing(&spec.described)),
        ..Default::default()
    }
}

/// The namespace that a service uses for Service Connect.
pub(crate) fn namespace(state: &State, service: &Service) -> Option<String> {
    let connect: shapes::ServiceConnectConfiguration =
        described::read(&service.spec.described, described::SERVICE_CONNECT)?;
    if connect.enabled != Some(true) {
        return None;
    }
    let of_cluster = || {
        let configuration = state.cluster_configuration(&service.key.cluster);
        let defaults: Option<shapes::ClusterServiceConnectDefaults> =
            described::read(&configuration.described, described::SERVICE_CONNECT_DEFAULTS);
        defaults.and_then(|defaults| defaults.namespace)
    };
    connect.namespace.filter(|namespace| !namespace.is_empty()).or_else(of_cluster)
}

fn status(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::Active => "ACTIVE",
        ServiceStatus::Draining => "DRAINING",
        ServiceStatus::Inactive => "INACTIVE",
    }
}

fn propagate(propagate: PropagateTags) -> shapes::PropagateTags {
    match propagate {
        PropagateTags::None => shapes::PropagateTags::None,
        PropagateTags::TaskDefinition => shapes::PropagateTags::TaskDefinition,
        PropagateTags::Service => shapes::PropagateTags::Service,
    }
}

pub(super) fn configuration(spec: &ServiceSpec) -> shapes::DeploymentConfiguration {
    let configuration = &spec.deployment_configuration;
    shapes::DeploymentConfiguration {
        maximum_percent: Some(number(configuration.maximum_percent)),
        minimum_healthy_percent: Some(number(configuration.minimum_healthy_percent)),
        ..deployment_input::describe(&spec.described)
    }
}

/// An older deployment wants what it still has.
fn deployment(
    state: &State,
    of: &Service,
    deployment: &Deployment,
    counts: TaskCounts,
) -> shapes::Deployment {
    let spec = &of.spec;
    let (status, wanted, connect) = match deployment.status {
        DeploymentStatus::Primary => {
            ("PRIMARY", spec.desired_count, described::read(&spec.described, described::SERVICE_CONNECT))
        }
        DeploymentStatus::Active => ("ACTIVE", counts.wanted, None),
    };
    let (rollout, reason) = rollout(state, of, deployment);
    shapes::Deployment {
        id: Some(deployment.id.to_string()),
        status: Some(status.to_owned()),
        task_definition: Some(task_definition::arn(&deployment.task_definition)),
        desired_count: Some(number(wanted)),
        pending_count: Some(number(counts.pending)),
        running_count: Some(number(counts.running)),
        failed_tasks: Some(number(deployment.failed_tasks)),
        created_at: Some(time(deployment.created_at)),
        updated_at: Some(time(deployment.updated_at)),
        service_connect_configuration: connect,
        rollout_state: Some(rollout),
        rollout_state_reason: Some(reason),
        ..Default::default()
    }
}

/// How far a deployment is, and why, in ECS's words.
fn rollout(state: &State, of: &Service, deployment: &Deployment) -> (DeploymentRolloutState, String) {
    let id = deployment.id;
    let cause = |id| state.lifecycles(&of.key).of(id).cause;
    match deployment.rollout {
        RolloutState::InProgress => {
            let history = state.deployment_history(&of.key);
            let record = history.record_of(id).filter(|record| record.id != id);
            let failed = record.filter(|record| cause(record.id) == Some(FailureCause::Tasks));
            let reason = match failed.and_then(|_| history.last_completed()) {
                Some(back) => format!("ECS deployment circuit breaker: rolling back to deploymentId {back}."),
                None => format!("ECS deployment {id} in progress."),
            };
            (DeploymentRolloutState::InProgress, reason)
        }
        RolloutState::Completed => {
            (DeploymentRolloutState::Completed, format!("ECS deployment {id} completed."))
        }
        RolloutState::Failed => {
            let reason = match cause(id) {
                None | Some(FailureCause::Tasks) => {
                    "ECS deployment circuit breaker: tasks failed to start.".to_owned()
                }
                Some(FailureCause::HookTimedOut(stage) | FailureCause::HookFailed(stage)) => {
                    format!("ECS deployment {id} failed: {} lifecycle hook(s) failed.", stage.name())
                }
                Some(FailureCause::Alarm) => format!("ECS deployment {id} failed: alarm detected."),
            };
            (DeploymentRolloutState::Failed, reason)
        }
    }
}

fn event(event: &ServiceEvent) -> shapes::ServiceEvent {
    let hex = format!("{:032x}", event.id);
    let id = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    shapes::ServiceEvent {
        id: Some(id),
        created_at: Some(time(event.created_at)),
        message: Some(event.message.clone()),
    }
}
