//! How services are scheduled, as ECS describes it.

use std::borrow::Cow;

use trireme_ecs_model::shapes::{AvailabilityZoneRebalancing, SchedulingStrategy};
use trireme_scheduler::{Group, Nodes, Request, Wanted, seats};
use trireme_state::State;
use trireme_state::object::{
    self, Described, NetworkConfiguration, PlacementRules, Service, ServiceStatus, TaskOverrides,
    is_rebalanced,
};
use trireme_state::query::SERVICE_GROUP;

pub(crate) fn strategy(described: &Described) -> SchedulingStrategy {
    match object::SchedulingStrategy::of(described) {
        object::SchedulingStrategy::Replica => SchedulingStrategy::Replica,
        object::SchedulingStrategy::Daemon => SchedulingStrategy::Daemon,
    }
}

pub(crate) fn rebalancing(described: &Described) -> AvailabilityZoneRebalancing {
    match is_rebalanced(described) {
        true => AvailabilityZoneRebalancing::Enabled,
        false => AvailabilityZoneRebalancing::Disabled,
    }
}

/// The service with the number of tasks that it is to have: of a daemon one for each instance that fits.
pub(crate) fn counted<'a>(state: &State, service: &'a Service) -> Cow<'a, Service> {
    let daemon =
        object::SchedulingStrategy::of(&service.spec.described) == object::SchedulingStrategy::Daemon;
    if !daemon || service.status != ServiceStatus::Active {
        return Cow::Borrowed(service);
    }
    let mut counted = service.clone();
    counted.spec.desired_count = daemons(state, service).unwrap_or(0);
    Cow::Owned(counted)
}

fn daemons(state: &State, service: &Service) -> Option<u32> {
    // It runs where what stands in for a failed deployment may run.
    let stand_in = state.stand_in(service);
    let definition = stand_in.map_or(&service.spec.task_definition, |one| &one.task_definition);
    let definition = &state.task_definition(definition)?.spec;
    let history = state.deployment_history(&service.key);
    let revision = stand_in.and_then(|one| history.revision(state.revision_of(&service.key, one.id)));
    let kept = revision.map_or(&service.spec.described, |revision| &revision.spec.described);
    let network = NetworkConfiguration::of(kept);
    let scope = &service.key.cluster.scope;
    let wanted = Wanted::of(definition, &TaskOverrides::default());
    let wanted = wanted.in_subnets(state, scope, definition, network.as_ref(), |_| 0);
    let rules = PlacementRules::of_service(&service.spec.described)
        .and(PlacementRules::of_definition(&definition.described));
    let mut nodes = Nodes::of_cluster(state, &service.key.cluster);
    let tasks = state.tasks_of_service(&service.key);
    let group = Group::among_all(format!("{SERVICE_GROUP}{}", service.key.name));
    let request = Request { wanted, group, rules, count: 1 };
    u32::try_from(seats(state, &mut nodes, &request, &tasks).len()).ok()
}
