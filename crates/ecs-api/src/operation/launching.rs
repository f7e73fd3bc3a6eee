//! On what tasks and services are to run: a launch type, a capacity provider strategy, or the cluster's default (ECS API: LaunchType,
//! CapacityProviderStrategy).

use std::collections::BTreeMap;

use trireme_ecs_model::Operation;
use trireme_ecs_model::shapes::{
    CapacityProviderStrategyItem, CreateServiceRequest, LaunchType, SchedulingStrategy, UpdateServiceRequest,
};
use trireme_scheduler::launch;
use trireme_state::State;
use trireme_state::object::{
    self, CAPACITY_STRATEGY, ClusterKey, Described, LAUNCH_TYPE, Launching, Service, kept_strategy,
};

use crate::convert::{cluster, cluster_input, described, fargate};
use crate::error::{Error, Result};

/// What a request says of it.
#[derive(Default, Clone)]
pub(crate) struct Given {
    /// ECS API: launchType.
    pub launch_type: Option<LaunchType>,
    /// ECS API: capacityProviderStrategy.
    pub strategy: Option<Vec<CapacityProviderStrategyItem>>,
    /// ECS API: platformVersion.
    pub platform_version: Option<String>,
}

impl Given {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.launch_type.is_none() && self.strategy.as_ref().is_none_or(Vec::is_empty)
    }
}

/// What comes of it in a cluster. The cluster's default is for who says nothing.
pub(crate) fn resolve(
    operation: Operation,
    state: &State,
    cluster: &ClusterKey,
    given: &Given,
) -> Result<Launching> {
    let strategy = given.strategy.as_deref().filter(|items| !items.is_empty());
    if given.launch_type.is_some() && strategy.is_some() {
        return Err(Error::invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    let launching = match (&given.launch_type, strategy) {
        (_, Some(items)) => {
            let items = cluster_input::strategy(&cluster.scope, Some(items))?;
            launch::check_strategy(state, cluster, &items)?;
            Launching::Strategy(items)
        }
        (None, None) => state.default_launching(cluster),
        (Some(LaunchType::Ec2), None) => Launching::Instances,
        (Some(LaunchType::Fargate), None) => Launching::Fargate,
        (Some(other), None) => return Err(Error::unsupported(operation, &format!("launchType {other}"))),
    };
    check_platform(given.platform_version.as_deref(), &launching)?;
    Ok(launching)
}

/// There is one version, and only FARGATE has versions.
fn check_platform(given: Option<&str>, launching: &Launching) -> Result<()> {
    let Some(version) = given.filter(|version| !version.is_empty()) else { return Ok(()) };
    if !launching.is_fargate() {
        return Err(Error::invalid("The platform version must be null when specifying an EC2 launch type."));
    }
    match [fargate::LATEST, fargate::PLATFORM_VERSION].contains(&version) {
        true => Ok(()),
        false => Err(Error::platform_unknown()),
    }
}

/// A service's platform version, as it was given.
pub(crate) const PLATFORM_VERSION: &str = "platformVersion";

/// What a new service is to keep of it. A daemon is on the cluster's own machines.
pub(super) fn of_create(
    state: &State,
    cluster: &ClusterKey,
    request: &CreateServiceRequest,
    kept: &mut Described,
) -> Result<Launching> {
    let given = Given {
        launch_type: request.launch_type.clone(),
        strategy: request.capacity_provider_strategy.clone(),
        platform_version: request.platform_version.clone(),
    };
    let launching = match request.scheduling_strategy == Some(SchedulingStrategy::Daemon) && given.is_empty()
    {
        true => Launching::Instances,
        false => resolve(Operation::CreateService, state, cluster, &given)?,
    };
    if request.scheduling_strategy == Some(SchedulingStrategy::Daemon) {
        check_daemon(&launching)?;
    }
    for (member, value) in changes(&launching) {
        kept.extend(value.map(|value| (member, value)));
    }
    let version = request.platform_version.clone().filter(|version| !version.is_empty());
    described::keep(kept, PLATFORM_VERSION, version.as_ref());
    Ok(launching)
}

fn check_daemon(launching: &Launching) -> Result<()> {
    let what = match launching {
        Launching::Instances => return Ok(()),
        Launching::Fargate => "the FARGATE launch type",
        Launching::Strategy(_) => "a capacity provider strategy",
    };
    Err(Error::invalid(format!("The DAEMON scheduling strategy does not support {what}.")))
}

/// The members that say so.
fn changes(launching: &Launching) -> [(String, Option<String>); 2] {
    let (launch_type, strategy) = match launching {
        Launching::Instances => (None, None),
        Launching::Fargate => (Some("\"FARGATE\"".to_owned()), None),
        Launching::Strategy(items) => (None, Some(kept_strategy(items))),
    };
    [(LAUNCH_TYPE.to_owned(), launch_type), (CAPACITY_STRATEGY.to_owned(), strategy)]
}

/// What a service is launched on after an update. An empty strategy is the cluster's default.
pub(super) fn of_update(
    state: &State,
    service: &Service,
    request: &UpdateServiceRequest,
    described: &mut BTreeMap<String, Option<String>>,
) -> Result<Launching> {
    let before = Launching::of(&service.spec.described);
    let given = Given { strategy: request.capacity_provider_strategy.clone(), ..Given::default() };
    let launching = match &given.strategy {
        None => before,
        Some(_) => {
            let launching = resolve(Operation::UpdateService, state, &service.key.cluster, &given)?;
            if object::SchedulingStrategy::of(&service.spec.described) == object::SchedulingStrategy::Daemon {
                check_daemon(&launching)?;
            }
            described.extend(changes(&launching));
            launching
        }
    };
    check_platform(request.platform_version.as_deref(), &launching)?;
    let version = request.platform_version.as_ref().filter(|version| !version.is_empty());
    let known = service.spec.described.get(PLATFORM_VERSION).filter(|_| !launching.is_fargate());
    if version.is_some() || known.is_some() {
        let json = version.and_then(|version| serde_json::to_string(version).ok());
        described.insert(PLATFORM_VERSION.to_owned(), json);
    }
    Ok(launching)
}

/// ECS API: Service.launchType, or its strategy in its place; and the platform.
pub(crate) struct Shown {
    pub launch_type: Option<LaunchType>,
    pub strategy: Option<Vec<CapacityProviderStrategyItem>>,
    pub platform_version: Option<String>,
    pub platform_family: Option<String>,
}

impl Shown {
    /// Of what a service, or a revision of it, keeps.
    pub fn of(kept: &Described) -> Self {
        let launching = Launching::of(kept);
        let fargate = launching.is_fargate();
        let version =
            || described::read(kept, PLATFORM_VERSION).unwrap_or_else(|| fargate::LATEST.to_owned());
        let (launch_type, strategy) = match &launching {
            Launching::Instances => (Some(LaunchType::Ec2), None),
            Launching::Fargate => (Some(LaunchType::Fargate), None),
            Launching::Strategy(items) => (None, Some(items.iter().map(cluster::item).collect())),
        };
        Self {
            launch_type,
            strategy,
            platform_version: fargate.then(version),
            platform_family: fargate.then(|| fargate::PLATFORM_FAMILY.to_owned()),
        }
    }
}
