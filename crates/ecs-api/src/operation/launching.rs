//! On what tasks and services are to run: a launch type, a capacity provider strategy, or the cluster's default (ECS API: LaunchType,
//! CapacityProviderStrategy).

use trireme_ecs_model::shapes::{CapacityProviderStrategyItem, LaunchType};
use trireme_ecs_model::{ErrorCode, Operation};
use trireme_state::object::{ClusterKey, Launching, StrategyItem, TaskDefinitionSpec};
use trireme_state::{FeatureLevel, State};

use crate::convert::{cluster_input, fargate};
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
            check_strategy(state, cluster, &items)?;
            Launching::Strategy(items)
        }
        (None, None) => default_of(state, cluster),
        (Some(LaunchType::Ec2), None) => Launching::Instances,
        (Some(LaunchType::Fargate), None) => Launching::Fargate,
        (Some(other), None) => return Err(Error::unsupported(operation, &format!("launchType {other}"))),
    };
    check_platform(given.platform_version.as_deref(), &launching)?;
    Ok(launching)
}

/// A cluster's default strategy, once every control node knows what to do with it.
pub(crate) fn default_of(state: &State, cluster: &ClusterKey) -> Launching {
    let items = &state.cluster_configuration(cluster).default_strategy;
    match items.is_empty() || state.level() < FeatureLevel::SCALING {
        true => Launching::Instances,
        false => Launching::Strategy(items.clone()),
    }
}

fn check_strategy(state: &State, cluster: &ClusterKey, items: &[StrategyItem]) -> Result<()> {
    let configuration = state.cluster_configuration(cluster);
    if items.iter().any(|item| !configuration.capacity_providers.contains(&item.provider)) {
        return Err(Error::invalid(
            "The specified capacity provider strategy contains a capacity provider that is not associated with the cluster. \
             Associate the capacity provider with the cluster and try again.",
        ));
    }
    let built_in = items.iter().filter(|item| item.provider.as_str().starts_with("FARGATE")).count();
    if built_in > 0 && built_in < items.len() {
        return Err(Error::invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate \
             providers. Specify one or the other and try again.",
        ));
    }
    Ok(())
}

/// There is one version, and only FARGATE has versions.
fn check_platform(given: Option<&str>, launching: &Launching) -> Result<()> {
    let Some(version) = given.filter(|version| !version.is_empty()) else { return Ok(()) };
    if !launching.is_fargate() {
        return Err(Error::invalid("The platform version must be null when specifying an EC2 launch type."));
    }
    match [fargate::LATEST, fargate::PLATFORM_VERSION].contains(&version) {
        true => Ok(()),
        false => Err(Error::ecs(ErrorCode::PlatformUnknown, "The specified platform does not exist.")),
    }
}

/// That tasks of a definition, with so many constraints and strategies of placement, may run there.
pub(crate) fn check(launching: &Launching, spec: &TaskDefinitionSpec, rules: (usize, usize)) -> Result<()> {
    if !launching.is_fargate() {
        return Ok(());
    }
    if !fargate::is_compatible(spec) {
        return Err(Error::invalid("Task definition does not support launch_type FARGATE."));
    }
    let unsupported =
        |what: &str| Err(Error::invalid(format!("{what} are not supported with FARGATE launch type.")));
    match rules {
        (0, 0) => Ok(()),
        (0, _) => unsupported("Placement strategies"),
        _ => unsupported("Placement constraints"),
    }
}
