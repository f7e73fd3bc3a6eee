//! What requests say of a cluster, checked (ECS API: CreateCluster, UpdateCluster, UpdateClusterSettings,
//! PutClusterCapacityProviders).

use trireme_ecs_model::shapes::{
    CapacityProviderStrategyItem, ClusterConfiguration, ClusterServiceConnectDefaultsRequest, ClusterSetting,
    ClusterSettingName, ExecuteCommandLogging,
};
use trireme_state::limits::CAPACITY_PROVIDERS_PER_CLUSTER;
use trireme_state::object::{ContainerInsights, Described, StrategyItem};
use trireme_types::{CapacityProviderName, Scope};

use super::described;
use crate::error::{Error, Result};
use crate::resolve;

/// ECS API: CapacityProviderStrategyItem.weight.
const WEIGHT_MAX: i32 = 1_000;
/// ECS API: CapacityProviderStrategyItem.base.
const BASE_MAX: i32 = 100_000;

/// ECS API: ClusterSetting. The last one of a name counts.
pub(crate) fn settings(given: Option<&[ClusterSetting]>) -> Result<Option<ContainerInsights>> {
    let mut insights = None;
    for setting in given.unwrap_or_default() {
        if setting.name != Some(ClusterSettingName::ContainerInsights) {
            return Err(Error::invalid("Setting name must be one of [containerInsights]."));
        }
        let value = setting.value.as_deref().unwrap_or_default();
        let parsed = value.parse().map_err(|()| {
            Error::invalid(format!(
                "Setting value {value} is invalid. Specify a valid value [enabled, disabled, enhanced] and try again."
            ))
        })?;
        insights = Some(parsed);
    }
    Ok(insights)
}

/// `configuration` and `serviceConnectDefaults`: described as they were given. An empty namespace takes the defaults away.
pub(crate) fn described(
    configuration: Option<&ClusterConfiguration>,
    connect: Option<&ClusterServiceConnectDefaultsRequest>,
) -> Result<std::collections::BTreeMap<String, Option<String>>> {
    check_configuration(configuration)?;
    let mut kept = Described::new();
    described::keep(&mut kept, described::CONFIGURATION, configuration);
    let namespace = connect.map(|connect| connect.namespace.as_deref().unwrap_or_default());
    let named = connect.filter(|_| namespace.is_some_and(|namespace| !namespace.is_empty()));
    described::keep(&mut kept, described::SERVICE_CONNECT_DEFAULTS, named);
    let mut changes: std::collections::BTreeMap<String, Option<String>> =
        kept.into_iter().map(|(member, json)| (member, Some(json))).collect();
    if namespace == Some("") {
        changes.insert(described::SERVICE_CONNECT_DEFAULTS.to_owned(), None);
    }
    Ok(changes)
}

/// ECS API: ExecuteCommandConfiguration: a log configuration is for OVERRIDE, and OVERRIDE needs one.
fn check_configuration(configuration: Option<&ClusterConfiguration>) -> Result<()> {
    let Some(execute) = configuration.and_then(|one| one.execute_command_configuration.as_ref()) else {
        return Ok(());
    };
    let overrides = execute.logging == Some(ExecuteCommandLogging::Override);
    match (&execute.log_configuration, overrides) {
        (Some(_), false) => Err(Error::invalid(
            "logConfiguration can only be specified when executeCommandConfiguration.logging is OVERRIDE.",
        )),
        (None, true) => Err(Error::invalid(
            "logConfiguration is required when executeCommandConfiguration.logging is OVERRIDE.",
        )),
        _ => Ok(()),
    }
}

/// ECS API: capacityProviders, by short name or ARN. Each once.
pub(crate) fn capacity_providers(
    scope: &Scope,
    given: Option<&[String]>,
) -> Result<Vec<CapacityProviderName>> {
    let mut names: Vec<CapacityProviderName> = Vec::new();
    for text in given.unwrap_or_default() {
        let name = provider_name(scope, text)?;
        if names.contains(&name) {
            return Err(Error::invalid(format!("The capacity provider {name} is given more than once.")));
        }
        names.push(name);
    }
    Ok(names)
}

fn provider_name(scope: &Scope, text: &str) -> Result<CapacityProviderName> {
    resolve::capacity_provider(scope, text).map(|key| key.name).ok_or_else(|| {
        Error::invalid(format!(
            "The specified capacity provider {text} was not found. Specify a valid name or ARN and try again."
        ))
    })
}

/// ECS API: a capacity provider strategy.
pub(crate) fn strategy(
    scope: &Scope,
    given: Option<&[CapacityProviderStrategyItem]>,
) -> Result<Vec<StrategyItem>> {
    let given = given.unwrap_or_default();
    if given.len() > CAPACITY_PROVIDERS_PER_CLUSTER {
        return Err(Error::invalid(format!(
            "A capacity provider strategy can have at most {CAPACITY_PROVIDERS_PER_CLUSTER} items."
        )));
    }
    let mut items: Vec<StrategyItem> = Vec::new();
    for item in given {
        let provider = provider_name(scope, item.capacity_provider.as_deref().unwrap_or_default())?;
        if items.iter().any(|known| known.provider == provider) {
            return Err(Error::invalid(format!("The capacity provider {provider} is given more than once.")));
        }
        let weight = within("weight", item.weight.unwrap_or(0), WEIGHT_MAX)?;
        let base = within("base", item.base.unwrap_or(0), BASE_MAX)?;
        items.push(StrategyItem { provider, weight, base });
    }
    if items.iter().filter(|item| item.base > 0).count() > 1 {
        return Err(Error::invalid(
            "Only one capacity provider in a capacity provider strategy can have a base value.",
        ));
    }
    if !items.is_empty() && items.iter().all(|item| item.weight == 0) {
        return Err(Error::invalid(
            "A capacity provider strategy must contain at least one capacity provider with a weight greater than 0.",
        ));
    }
    Ok(items)
}

fn within(member: &str, value: i32, max: i32) -> Result<u32> {
    let fits = u32::try_from(value).ok().filter(|_| value <= max);
    fits.ok_or_else(|| {
        Error::invalid(format!("capacityProviderStrategy.{member} must be between 0 and {max}, not {value}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: &str, weight: i32, base: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem {
            capacity_provider: Some(provider.to_owned()),
            weight: Some(weight),
            base: Some(base),
        }
    }

    #[test]
    fn a_strategy_has_one_base_and_some_weight() {
        let check = |items: &[CapacityProviderStrategyItem]| strategy(&Scope::development(), Some(items));
        assert_eq!(check(&[]).unwrap(), []);
        assert_eq!(check(&[item("a", 1, 3), item("b", 0, 0)]).unwrap()[0].base, 3);
        for refused in [
            vec![item("a", 0, 0)],
            vec![item("a", 1, 1), item("b", 1, 1)],
            vec![item("a", 1, 0), item("a", 1, 0)],
            vec![item("a", 1_001, 0)],
            vec![item("a", 1, -1)],
            vec![item("a b", 1, 0)],
        ] {
            assert!(check(&refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn settings_have_three_values() {
        let setting = |value: &str| ClusterSetting {
            name: Some(ClusterSettingName::ContainerInsights),
            value: Some(value.to_owned()),
        };
        assert_eq!(settings(None).unwrap(), None);
        assert_eq!(settings(Some(&[setting("enhanced")])).unwrap(), Some(ContainerInsights::Enhanced));
        assert!(settings(Some(&[setting("on")])).is_err());
    }

    #[test]
    fn an_empty_namespace_takes_the_defaults_away() {
        let of = |namespace: &str| {
            let given = ClusterServiceConnectDefaultsRequest { namespace: Some(namespace.to_owned()) };
            described(None, Some(&given)).unwrap().remove(described::SERVICE_CONNECT_DEFAULTS)
        };
        assert_eq!(of(""), Some(None));
        assert_eq!(of("web"), Some(Some(r#"{"namespace":"web"}"#.to_owned())));
    }
}
