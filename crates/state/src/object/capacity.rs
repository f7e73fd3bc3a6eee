//! Where tasks run: on the machines of their cluster, of the managed pool, or of a capacity provider's pool; tasks that wait until there is
//! such a machine; and what size a pool is to have.

use serde::{Deserialize, Serialize};
use trireme_types::{CapacityProviderName, ContainerInstanceId, TaskId, Timestamp, planted};

use super::{
    ClusterKey, Described, NetworkConfiguration, PlacementRules, StopCode, StrategyItem, Tags,
    TaskDefinitionKey, TaskOverrides,
};

/// EC2, or FARGATE (ECS API: LaunchType). A service that says neither it nor a strategy is EC2.
pub const LAUNCH_TYPE: &str = "launchType";
/// ECS API: CapacityProviderStrategy.
pub const CAPACITY_STRATEGY: &str = "capacityProviderStrategy";

const BUILT_IN: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// What a task was launched on, when it is not any machine of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Launch {
    /// The managed pool, by launch type.
    Fargate,
    /// What a strategy named: a pool, or one of ECS's own.
    Provider(CapacityProviderName),
}

impl Launch {
    /// Whether it is on the managed pool.
    pub fn is_fargate(&self) -> bool {
        match self {
            Self::Fargate => true,
            Self::Provider(name) => BUILT_IN.contains(&name.as_str()),
        }
    }

    /// What a strategy named.
    pub fn provider(&self) -> Option<&CapacityProviderName> {
        match self {
            Self::Fargate => None,
            Self::Provider(name) => Some(name),
        }
    }

    /// The cluster that its machines are in, for a task of `cluster`.
    pub fn machines(launch: Option<&Self>, cluster: &ClusterKey) -> ClusterKey {
        match launch {
            Some(Self::Fargate) if planted::is("fargate-on-any-machine") => cluster.clone(),
            Some(launch) if launch.is_fargate() => ClusterKey::managed_pool(),
            _ => cluster.clone(),
        }
    }
}

/// On what tasks of a service, or of a schedule's target, are to run (ECS API: Service.launchType, Service.capacityProviderStrategy).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Launching {
    /// On any machine of the cluster.
    #[default]
    Instances,
    /// On the managed pool.
    Fargate,
    /// By base and weight.
    Strategy(Vec<StrategyItem>),
}

/// ECS's words for an item, as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptItem {
    capacity_provider: String,
    #[serde(default)]
    weight: u32,
    #[serde(default)]
    base: u32,
}

/// A strategy as a service keeps it.
pub fn kept_strategy(items: &[StrategyItem]) -> String {
    let kept = items.iter().map(|item| KeptItem {
        capacity_provider: item.provider.to_string(),
        weight: item.weight,
        base: item.base,
    });
    // Three plain members: it cannot fail.
    serde_json::to_string(&kept.collect::<Vec<_>>()).unwrap_or_default()
}

impl Launching {
    /// What a service says.
    pub fn of(described: &Described) -> Self {
        let kept = described.get(CAPACITY_STRATEGY).and_then(|json| serde_json::from_str(json).ok());
        let kept: Vec<KeptItem> = kept.unwrap_or_default();
        let item = |kept: KeptItem| {
            let provider = CapacityProviderName::new(&kept.capacity_provider).ok()?;
            Some(StrategyItem { provider, weight: kept.weight, base: kept.base })
        };
        let items: Vec<StrategyItem> = kept.into_iter().filter_map(item).collect();
        match described.get(LAUNCH_TYPE).map(String::as_str) {
            _ if !items.is_empty() => Self::Strategy(items),
            Some("\"FARGATE\"") => Self::Fargate,
            _ => Self::Instances,
        }
    }

    /// Its strategy; none when it has none.
    pub fn strategy(&self) -> &[StrategyItem] {
        match self {
            Self::Strategy(items) => items,
            Self::Instances | Self::Fargate => &[],
        }
    }

    /// Whether its tasks run on the managed pool.
    pub fn is_fargate(&self) -> bool {
        match self {
            Self::Instances => false,
            Self::Fargate => true,
            // All are ECS's own, or none.
            Self::Strategy(items) => items.iter().any(|item| BUILT_IN.contains(&item.provider.as_str())),
        }
    }

    /// Whether a task of it may be launched so.
    pub fn allows(&self, launch: Option<&Launch>) -> bool {
        match (self, launch) {
            (Self::Instances, None) | (Self::Fargate, Some(Launch::Fargate)) => true,
            (Self::Strategy(items), Some(Launch::Provider(name))) => {
                items.iter().any(|item| item.provider == *name)
            }
            _ => false,
        }
    }

    /// The cluster that its machines are in, for a service of `cluster`.
    pub fn machines(&self, cluster: &ClusterKey) -> ClusterKey {
        if self.is_fargate() { ClusterKey::managed_pool() } else { cluster.clone() }
    }
}

/// A task that RunTask promised, and that waits for a machine of a pool that grows: PROVISIONING to its caller. It becomes a task when it is
/// placed, for a placement is for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRun {
    /// The id that its task will have.
    pub id: TaskId,
    /// Its cluster.
    pub cluster: ClusterKey,
    /// What it is made from.
    pub definition: TaskDefinitionKey,
    /// Changes to the definition.
    pub overrides: TaskOverrides,
    /// `family:F`, or what RunTask said.
    pub group: String,
    /// What RunTask said.
    pub started_by: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// Where it gets a network interface of its own.
    pub network: Option<NetworkConfiguration>,
    /// What it asks of its machine.
    pub rules: PlacementRules,
    /// The pool that it waits for.
    pub launch: Launch,
    /// Whether commands may be run in it.
    pub allows_commands: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was given up, if it was.
    pub end: Option<RunEnd>,
}

/// Why a task that waited never came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// When.
    pub at: Timestamp,
    /// In code.
    pub code: StopCode,
    /// In words.
    pub reason: String,
}

/// The size that a capacity provider's pool is to have (ECS API: ManagedScaling).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolSize {
    /// How many machines there are to be.
    pub wanted: u32,
    /// Names this decision to the hook: the same one means the same.
    pub request: u128,
    /// Machines that are to go, of those that are there.
    pub leaving: Vec<ContainerInstanceId>,
    /// When it was decided.
    pub at: Timestamp,
    /// Since when there are more machines than are needed.
    pub idle_since: Option<Timestamp>,
    /// Why, for people.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_services_launching_is_read_from_what_it_keeps() {
        let of = |member: &str, json: &str| {
            Launching::of(&Described::from([(member.to_owned(), json.to_owned())]))
        };
        assert_eq!(of(LAUNCH_TYPE, "\"FARGATE\""), Launching::Fargate);
        assert_eq!(of(LAUNCH_TYPE, "\"EC2\""), Launching::Instances);
        let item = |name: &str, weight, base| StrategyItem {
            provider: CapacityProviderName::new(name).unwrap(),
            weight,
            base,
        };
        let items = vec![item("a", 1, 2), item("b", 3, 0)];
        let found = of(CAPACITY_STRATEGY, &kept_strategy(&items));
        assert_eq!(found, Launching::Strategy(items));
        assert!(found.allows(Some(&Launch::Provider(CapacityProviderName::new("b").unwrap()))));
        assert!(!found.allows(None) && !found.is_fargate());
        assert!(of(CAPACITY_STRATEGY, &kept_strategy(&[item("FARGATE_SPOT", 1, 0)])).is_fargate());
    }
}
