//! Task sets.

use trireme_ecs_model::shapes::{self, LaunchType, ScaleUnit, StabilityStatus};
use trireme_state::State;
use trireme_state::index::{ServiceLoad, TaskCounts};
use trireme_state::object::{Scale, Service, ServiceKey, TaskSet, TaskSetStatus};
use trireme_types::arn::Resource;
use trireme_types::{Arn, DeploymentId};

use super::{cluster, described, network, number, service, tags, task_definition, time};
use crate::error::{Error, Result};

pub(crate) fn arn(key: &ServiceKey, id: DeploymentId) -> String {
    Arn::new(&key.cluster.scope, Resource::TaskSet(key.cluster.name.clone(), key.name.clone(), id))
        .to_string()
}

/// ECS API: Scale. Percent is the only unit, and what is meant when none is given. SDKs leave a value of 0 out.
pub(crate) fn scale(given: &shapes::Scale) -> Result<Scale> {
    Scale::from_percent(given.value.unwrap_or(0.0))
        .ok_or_else(|| Error::invalid("The scale value must be between 0 and 100, as a percentage."))
}

/// These sets of a service, as they are in `state`.
pub(crate) fn describe<'a>(
    state: &State,
    service: &Service,
    sets: impl IntoIterator<Item = &'a TaskSet>,
    with_tags: bool,
) -> Vec<shapes::TaskSet> {
    describe_counted(service, sets, &state.index().service_load(&service.key), with_tags)
}

pub(super) fn describe_counted<'a>(
    service: &Service,
    sets: impl IntoIterator<Item = &'a TaskSet>,
    load: &ServiceLoad,
    with_tags: bool,
) -> Vec<shapes::TaskSet> {
    sets.into_iter().map(|set| one(service, set, load.counts_of(set.id), with_tags)).collect()
}

/// A set that is gone, to whoever deleted it.
pub(crate) fn describe_gone(key: &ServiceKey, id: DeploymentId) -> shapes::TaskSet {
    shapes::TaskSet {
        id: Some(id.to_string()),
        task_set_arn: Some(arn(key, id)),
        service_arn: Some(service::arn(key)),
        cluster_arn: Some(cluster::arn(&key.cluster)),
        status: Some(status(TaskSetStatus::Draining).to_owned()),
        computed_desired_count: Some(0),
        pending_count: Some(0),
        running_count: Some(0),
        ..Default::default()
    }
}

fn one(of: &Service, set: &TaskSet, counted: TaskCounts, with_tags: bool) -> shapes::TaskSet {
    let spec = &set.spec;
    let computed = set.computed_desired_count(of.spec.desired_count);
    // What it was told to be a moment ago counts at once, and so does a task that has just ended.
    let steady = set.steady && counted.running == computed && counted.pending == 0;
    shapes::TaskSet {
        id: Some(set.id.to_string()),
        task_set_arn: Some(arn(&of.key, set.id)),
        service_arn: Some(service::arn(&of.key)),
        cluster_arn: Some(cluster::arn(&of.key.cluster)),
        external_id: spec.external_id.clone(),
        status: Some(status(set.status).to_owned()),
        task_definition: Some(task_definition::arn(&spec.task_definition)),
        computed_desired_count: Some(number(computed)),
        pending_count: Some(number(counted.pending)),
        running_count: Some(number(counted.running)),
        created_at: Some(time(set.created_at)),
        updated_at: Some(time(set.updated_at)),
        launch_type: Some(LaunchType::Ec2),
        load_balancers: Some(described::read(&spec.described, described::LOAD_BALANCERS).unwrap_or_default()),
        service_registries: Some(
            described::read(&spec.described, described::SERVICE_REGISTRIES).unwrap_or_default(),
        ),
        network_configuration: network::read(&spec.described),
        scale: Some(shapes::Scale { value: Some(spec.scale.percent()), unit: Some(ScaleUnit::Percent) }),
        stability_status: Some(match steady {
            true => StabilityStatus::SteadyState,
            false => StabilityStatus::Stabilizing,
        }),
        stability_status_at: Some(time(set.steady_changed_at)),
        tags: with_tags.then(|| tags::list(&set.tags)),
        ..Default::default()
    }
}

fn status(status: TaskSetStatus) -> &'static str {
    match status {
        TaskSetStatus::Primary => "PRIMARY",
        TaskSetStatus::Active => "ACTIVE",
        TaskSetStatus::Draining => "DRAINING",
    }
}
