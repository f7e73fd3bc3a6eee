//! What a service asks of its scheduler: how many tasks, or one on each instance, and whether its zones are made even (ECS API:
//! SchedulingStrategy, AvailabilityZoneRebalancing).

use trireme_ecs_model::shapes::{
    AvailabilityZoneRebalancing, CreateServiceRequest, DeploymentConfiguration, DeploymentStrategy,
    SchedulingStrategy, UpdateServiceRequest,
};
use trireme_state::object::{
    self, DeploymentConfiguration as Limits, Described, PlacementRules, SCHEDULING_STRATEGY, Service,
    ZONE_REBALANCING, is_rebalanced,
};
use trireme_state::{FeatureLevel, State};

use crate::error::{Error, Result};

/// ECS API: DeploymentConfiguration, of a daemon that does not say.
const DAEMON_LIMITS: Limits = Limits { maximum_percent: 100, minimum_healthy_percent: 0 };

/// Whether a request is for a daemon.
pub(super) fn is_daemon(request: &CreateServiceRequest) -> bool {
    request.scheduling_strategy == Some(SchedulingStrategy::Daemon)
}

/// Whether a service is one.
pub(super) fn is_daemon_service(service: &Service) -> bool {
    object::SchedulingStrategy::of(&service.spec.described) == object::SchedulingStrategy::Daemon
}

/// The limits of a service that names none.
pub(super) fn default_limits(request: &CreateServiceRequest) -> Limits {
    if is_daemon(request) { DAEMON_LIMITS } else { Limits::default() }
}

fn no_desired_count(given: Option<i32>) -> Result<()> {
    match given {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value \
             and try again.",
        )),
    }
}

/// How many tasks a new service is to have; a daemon, and one with task sets, need not say.
pub(super) fn desired_count(request: &CreateServiceRequest, external: bool) -> Result<i32> {
    if is_daemon(request) {
        no_desired_count(request.desired_count)?;
        return Ok(0);
    }
    let desired = request.desired_count.or(external.then_some(0));
    desired.ok_or_else(|| Error::invalid("Desired count cannot be null."))
}

/// What a daemon may not ask for.
pub(super) fn check_create(request: &CreateServiceRequest, external: bool) -> Result<()> {
    if !is_daemon(request) {
        return Ok(());
    }
    if external {
        return Err(Error::invalid(
            "The EXTERNAL deployment controller does not support the DAEMON scheduling strategy.",
        ));
    }
    if request.placement_strategy.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Error::invalid("The DAEMON scheduling strategy does not support placement strategies."));
    }
    check_strategy(request.deployment_configuration.as_ref())
}

fn check_strategy(given: Option<&DeploymentConfiguration>) -> Result<()> {
    match given.and_then(|given| given.strategy.as_ref()) {
        None | Some(DeploymentStrategy::Rolling) => Ok(()),
        Some(other) => Err(Error::invalid(format!(
            "The DAEMON scheduling strategy does not support the deployment strategy {other}."
        ))),
    }
}

/// The same of an update.
pub(super) fn check_update(request: &UpdateServiceRequest, service: &Service) -> Result<()> {
    if !is_daemon_service(service) {
        return Ok(());
    }
    no_desired_count(request.desired_count)?;
    if request.placement_strategy.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(Error::invalid("The DAEMON scheduling strategy does not support placement strategies."));
    }
    check_strategy(request.deployment_configuration.as_ref())
}

/// Adds what a new service says of it. ECS makes zones even unless told otherwise, where it can; so do control nodes that know how.
pub(super) fn describe(
    state: &State,
    request: &CreateServiceRequest,
    limits: Limits,
    external: bool,
    kept: &mut Described,
) -> Result<()> {
    if is_daemon(request) {
        kept.insert(SCHEDULING_STRATEGY.to_owned(), "\"DAEMON\"".to_owned());
    }
    let may = !is_daemon(request)
        && !external
        && limits.maximum_percent > 100
        && PlacementRules::of_service(kept).spreads_over_zones()
        && state.level() >= FeatureLevel::SERVICES;
    let wanted = match request.availability_zone_rebalancing.as_ref() {
        Some(given) => *given == AvailabilityZoneRebalancing::Enabled,
        None => may,
    };
    if wanted {
        kept.insert(ZONE_REBALANCING.to_owned(), "\"ENABLED\"".to_owned());
        check_rebalancing(kept, limits, is_daemon(request), external)?;
    }
    Ok(())
}

/// What an update changes of it.
pub(super) fn changed(
    request: &UpdateServiceRequest,
    service: &Service,
    limits: Limits,
    external: bool,
    changes: &mut std::collections::BTreeMap<String, Option<String>>,
) -> Result<()> {
    if let Some(given) = &request.availability_zone_rebalancing {
        let enabled = (*given == AvailabilityZoneRebalancing::Enabled).then(|| "\"ENABLED\"".to_owned());
        changes.insert(ZONE_REBALANCING.to_owned(), enabled);
    }
    let mut then = service.spec.described.clone();
    for (member, value) in changes.iter() {
        match value {
            Some(json) => then.insert(member.clone(), json.clone()),
            None => then.remove(member),
        };
    }
    check_rebalancing(&then, limits, is_daemon_service(service), external)
}

fn check_rebalancing(described: &Described, limits: Limits, daemon: bool, external: bool) -> Result<()> {
    if !is_rebalanced(described) {
        return Ok(());
    }
    let why = match () {
        () if limits.maximum_percent <= 100 => "maximumPercent <= 100 %",
        () if daemon => "the DAEMON scheduling strategy",
        () if external => "the EXTERNAL deployment controller",
        () if !PlacementRules::of_service(described).spreads_over_zones() => {
            "a first placement strategy other than spread by Availability Zone"
        }
        () => return Ok(()),
    };
    Err(Error::invalid(format!("Availability Zone Rebalancing does not support {why}.")))
}
