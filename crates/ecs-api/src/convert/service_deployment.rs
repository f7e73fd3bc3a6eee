//! Service deployments and service revisions.

use trireme_ecs_model::shapes::{
    self, DeploymentLifecycleHookAction, DeploymentLifecycleHookDetail, DeploymentLifecycleHookStatus,
    DeploymentLifecycleHookTargetType, ServiceCurrentRevisionSummary, ServiceDeploymentAlarms,
    ServiceDeploymentBrief, ServiceDeploymentCircuitBreaker, ServiceDeploymentRollbackMonitorsStatus,
    ServiceDeploymentStatus, ServiceRevisionSummary,
};
use trireme_state::State;
use trireme_state::index::{ServiceLoad, TaskCounts};
use trireme_state::object::{
    CircuitBreaker, ContainerDefinition, Deployment, DeploymentHistory, DeploymentStatus, FailureCause,
    HookAction, HookStatus, Images, Lifecycle, LifecycleHook, Service, ServiceDeployment,
    ServiceDeploymentStatus as Status, ServiceKey, ServiceRevision, ServiceSpec, TaskDefinition,
};
use trireme_state::query::DeploymentAlarms;
use trireme_types::arn::Resource;
use trireme_types::{Arn, DeploymentId, ServiceRevisionId};

use crate::operation::launching::Shown;

use super::service::configuration;
use super::{cluster, described, network, number, service, task_definition, time};

pub(crate) fn arn(key: &ServiceKey, id: DeploymentId) -> String {
    let resource = Resource::ServiceDeployment(key.cluster.name.clone(), key.name.clone(), id);
    Arn::new(&key.cluster.scope, resource).to_string()
}

pub(crate) fn revision_arn(key: &ServiceKey, id: ServiceRevisionId) -> String {
    let resource = Resource::ServiceRevision(key.cluster.name.clone(), key.name.clone(), id);
    Arn::new(&key.cluster.scope, resource).to_string()
}

fn status(status: Status) -> ServiceDeploymentStatus {
    match status {
        Status::InProgress => ServiceDeploymentStatus::InProgress,
        Status::Successful => ServiceDeploymentStatus::Successful,
        Status::Stopped => ServiceDeploymentStatus::Stopped,
        Status::RollbackInProgress => ServiceDeploymentStatus::RollbackInProgress,
        Status::RollbackSuccessful => ServiceDeploymentStatus::RollbackSuccessful,
        Status::RollbackFailed => ServiceDeploymentStatus::RollbackFailed,
    }
}

pub(crate) fn brief(key: &ServiceKey, one: &ServiceDeployment) -> ServiceDeploymentBrief {
    ServiceDeploymentBrief {
        service_deployment_arn: Some(arn(key, one.id)),
        service_arn: Some(service::arn(key)),
        cluster_arn: Some(cluster::arn(&key.cluster)),
        started_at: Some(time(one.created_at)),
        created_at: Some(time(one.created_at)),
        finished_at: one.finished_at.map(time),
        target_service_revision_arn: Some(revision_arn(key, one.target)),
        status: Some(status(one.status)),
        status_reason: reason(one),
    }
}

/// Why a deployment is as it is: one that turned back is so for that.
fn reason(one: &ServiceDeployment) -> Option<String> {
    one.reason.clone().or_else(|| one.rollback.as_ref().map(|rollback| rollback.reason.clone()))
}

/// A hook, unless it waits for nobody any more: its deployment was stopped meanwhile.
fn hook(one: &ServiceDeployment, hook: &LifecycleHook) -> Option<DeploymentLifecycleHookDetail> {
    let status = match hook.status {
        HookStatus::AwaitingAction if one.status != Status::InProgress => return None,
        HookStatus::AwaitingAction => DeploymentLifecycleHookStatus::AwaitingAction,
        HookStatus::Succeeded => DeploymentLifecycleHookStatus::Succeeded,
        HookStatus::Failed => DeploymentLifecycleHookStatus::Failed,
        HookStatus::TimedOut => DeploymentLifecycleHookStatus::TimedOut,
    };
    Some(DeploymentLifecycleHookDetail {
        hook_id: Some(hook.name()),
        target_type: Some(DeploymentLifecycleHookTargetType::Pause),
        status: Some(status),
        expires_at: Some(time(hook.expires_at)),
        timeout_action: Some(match hook.timeout_action {
            HookAction::Rollback => DeploymentLifecycleHookAction::Rollback,
            HookAction::Continue => DeploymentLifecycleHookAction::Continue,
        }),
        ..Default::default()
    })
}

fn breaker(spec: &ServiceSpec, one: &ServiceDeployment, life: &Lifecycle) -> ServiceDeploymentCircuitBreaker {
    let breaker = CircuitBreaker::of(&spec.described);
    let status = match life.cause {
        Some(FailureCause::Tasks) => ServiceDeploymentRollbackMonitorsStatus::Triggered,
        _ if !breaker.enable => ServiceDeploymentRollbackMonitorsStatus::Disabled,
        _ if one.status.is_under_way() => ServiceDeploymentRollbackMonitorsStatus::Monitoring,
        _ => ServiceDeploymentRollbackMonitorsStatus::MonitoringComplete,
    };
    ServiceDeploymentCircuitBreaker {
        status: Some(status),
        failure_count: Some(number(life.failures.count)),
        threshold: Some(number(breaker.threshold.of(spec.desired_count))),
    }
}

/// ECS API: ServiceDeployment.alarms.
fn alarms(
    state: &State,
    of: &Service,
    spec: &ServiceSpec,
    (one, life): (&ServiceDeployment, &Lifecycle),
) -> ServiceDeploymentAlarms {
    use ServiceDeploymentRollbackMonitorsStatus as Status;
    let wanted = DeploymentAlarms::of(&spec.described);
    let running = of.deployments.iter().find(|known| known.id == one.id);
    // It listens to none when one was in ALARM as it began.
    let deaf = running.is_some_and(|running| state.alarms_of_deployment(of, running).is_empty());
    let status = match life.cause {
        Some(FailureCause::Alarm) => Status::Triggered,
        _ if !wanted.enable => Status::Disabled,
        _ if !one.status.is_under_way() => Status::MonitoringComplete,
        _ if deaf => Status::Disabled,
        _ => Status::Monitoring,
    };
    ServiceDeploymentAlarms {
        status: Some(status),
        alarm_names: Some(wanted.alarm_names),
        triggered_alarm_names: Some(state.triggered_alarms(&of.key, one.id).to_vec()),
    }
}

pub(crate) fn describe(
    state: &State,
    of: &Service,
    history: &DeploymentHistory,
    one: &ServiceDeployment,
) -> shapes::ServiceDeployment {
    let key = &of.key;
    let load = state.index().service_load(key);
    // What a revision has now: the tasks of each deployment that runs it.
    let counted = |revision: ServiceRevisionId| {
        let runs_it =
            load.counts_by_deployment().filter(|(id, _)| history.revision_of(*id) == Some(revision));
        runs_it.fold(TaskCounts::default(), |sum, (_, counts)| sum.plus(counts))
    };
    let summary = |revision: ServiceRevisionId, requested: u32| ServiceRevisionSummary {
        arn: Some(revision_arn(key, revision)),
        requested_task_count: Some(number(requested)),
        running_task_count: Some(number(counted(revision).running)),
        pending_task_count: Some(number(counted(revision).pending)),
        ..Default::default()
    };
    let sources = one.sources.iter().map(|revision| summary(*revision, counted(*revision).wanted)).collect();
    let spec = history.revision(one.target).map_or(&of.spec, |revision| &revision.spec);
    let asked = if one.status.is_under_way() { &of.spec } else { spec };
    let is_primary = of.deployments.first().is_some_and(|primary| primary.id == one.id);
    let life = state.lifecycles(key).of(one.id);
    let requested = if is_primary { of.spec.desired_count } else { counted(one.target).wanted };
    shapes::ServiceDeployment {
        service_deployment_arn: Some(arn(key, one.id)),
        service_arn: Some(service::arn(key)),
        cluster_arn: Some(cluster::arn(&key.cluster)),
        created_at: Some(time(one.created_at)),
        started_at: Some(time(one.created_at)),
        finished_at: one.finished_at.map(time),
        stopped_at: one.stopped_at.map(time),
        updated_at: Some(time(one.updated_at)),
        source_service_revisions: Some(sources),
        target_service_revision: Some(summary(one.target, requested)),
        status: Some(status(one.status)),
        status_reason: reason(one),
        lifecycle_stage: life.stage.map(|(stage, _)| stage.name().into()),
        lifecycle_hook_details: (!life.hooks.is_empty())
            .then(|| life.hooks.iter().filter_map(|hook| self::hook(one, hook)).collect()),
        deployment_circuit_breaker: Some(breaker(asked, one, &life)),
        alarms: Some(alarms(state, of, asked, (one, &life))),
        deployment_configuration: Some(configuration(spec)),
        rollback: one.rollback.as_ref().map(|rollback| shapes::Rollback {
            reason: Some(rollback.reason.clone()),
            started_at: Some(time(rollback.started_at)),
            service_revision_arn: Some(revision_arn(key, rollback.revision)),
        }),
    }
}

pub(crate) fn describe_revision(
    state: &State,
    key: &ServiceKey,
    revision: &ServiceRevision,
) -> shapes::ServiceRevision {
    let spec = &revision.spec;
    let shown = Shown::of(&spec.described);
    let pins = state.images_of_revision(key, revision.id);
    let images = state.task_definition(&spec.task_definition).map(|found| images(found, &pins));
    shapes::ServiceRevision {
        service_revision_arn: Some(revision_arn(key, revision.id)),
        service_arn: Some(service::arn(key)),
        cluster_arn: Some(cluster::arn(&key.cluster)),
        task_definition: Some(task_definition::arn(&spec.task_definition)),
        launch_type: shown.launch_type,
        capacity_provider_strategy: shown.strategy,
        platform_version: shown.platform_version,
        platform_family: shown.platform_family,
        load_balancers: Some(described::read(&spec.described, described::LOAD_BALANCERS).unwrap_or_default()),
        service_registries: Some(
            described::read(&spec.described, described::SERVICE_REGISTRIES).unwrap_or_default(),
        ),
        container_images: Some(images.unwrap_or_default()),
        guard_duty_enabled: Some(false),
        service_connect_configuration: described::read(&spec.described, described::SERVICE_CONNECT),
        network_configuration: network::read(&spec.described),
        volume_configurations: Some(Vec::new()),
        created_at: Some(time(revision.created_at)),
        ..Default::default()
    }
}

/// ECS API: Service.currentServiceDeployment: the one that is under way.
pub(super) fn current(service: &Service, history: &DeploymentHistory) -> Option<String> {
    let under_way = history.deployments.iter().find(|one| one.status.is_under_way())?;
    Some(arn(&service.key, under_way.id))
}

/// ECS API: Service.currentServiceRevisions: what the service's deployments run, the primary's first.
pub(super) fn current_revisions(
    state: &State,
    service: &Service,
    history: &DeploymentHistory,
    load: &ServiceLoad,
) -> Option<Vec<ServiceCurrentRevisionSummary>> {
    let summary = |deployment: &Deployment| {
        let counted = state.counts_of_deployment(&service.key, load, deployment.id);
        let requested = match deployment.status {
            DeploymentStatus::Primary => service.spec.desired_count,
            DeploymentStatus::Active => counted.wanted,
        };
        Some(ServiceCurrentRevisionSummary {
            arn: Some(revision_arn(&service.key, history.revision_of(deployment.id)?)),
            requested_task_count: Some(number(requested)),
            running_task_count: Some(number(counted.running)),
            pending_task_count: Some(number(counted.pending)),
        })
    };
    let all: Vec<_> = state.listed_deployments(service, load).filter_map(summary).collect();
    Some(all).filter(|all| !all.is_empty())
}

/// What a revision runs: the digests are known once its first task has found them.
fn images(definition: &TaskDefinition, pins: &Images) -> Vec<shapes::ContainerImage> {
    let of = |container: &ContainerDefinition| shapes::ContainerImage {
        container_name: Some(container.name.to_string()),
        image: Some(container.image.clone()),
        image_digest: digest(container, pins),
    };
    definition.spec.containers.iter().map(of).collect()
}

fn digest(container: &ContainerDefinition, pins: &Images) -> Option<String> {
    let pinned = pins.get(&container.name).map(|pin| pin.digest().to_string());
    pinned.or_else(|| container.image.split_once('@').map(|(_, digest)| digest.to_owned()))
}
