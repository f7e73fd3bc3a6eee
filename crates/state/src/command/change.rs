//! What API calls change of an object that is there. `decide` merges it with what is there then, so that of two callers who change
//! one member each at the same time none is overruled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use trireme_types::{CapacityProviderName, ContainerInstanceId};

use crate::object::{
    ContainerInsights, DeploymentConfiguration, Described, PropagateTags, StrategyItem, Tags,
    TaskDefinitionKey,
};

/// What an UpdateService call changes; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// The number of tasks.
    pub desired_count: Option<u32>,
    /// The definition; another one begins a deployment.
    pub task_definition: Option<TaskDefinitionKey>,
    /// The limits of a rolling update.
    pub deployment_configuration: Option<DeploymentConfiguration>,
    /// Begins a deployment even without a change.
    pub force_new_deployment: bool,
    /// Where tags of new tasks come from.
    pub propagate_tags: Option<PropagateTags>,
    /// Whether tasks get `aws:ecs:` tags.
    pub enable_ecs_managed_tags: Option<bool>,
    /// Stored and described.
    pub health_check_grace_period_seconds: Option<u32>,
    /// Members without effect that are described: set, or (`None`) no longer there.
    pub described: BTreeMap<String, Option<String>>,
}

impl ServiceChange {
    /// The described members that it sets.
    pub fn set(&self) -> Described {
        let set = self.described.iter();
        set.filter_map(|(member, value)| Some((member.clone(), value.clone()?))).collect()
    }
}

/// What UpdateCluster, UpdateClusterSettings or PutClusterCapacityProviders changes; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterChange {
    /// ECS API: ClusterSetting `containerInsights`.
    pub container_insights: Option<ContainerInsights>,
    /// All providers, and all of the default strategy.
    pub capacity: Option<(Vec<CapacityProviderName>, Vec<StrategyItem>)>,
    /// Members without effect that are described: set, or (`None`) no longer there.
    pub described: BTreeMap<String, Option<String>>,
}

/// What UpdateCapacityProvider changes; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoScalingGroupChange {
    /// ECS API: ManagedScaling.status.
    pub scaling: Option<bool>,
    /// ECS API: ManagedScaling.targetCapacity.
    pub target_capacity: Option<u32>,
    /// ECS API: ManagedScaling.minimumScalingStepSize.
    pub minimum_step: Option<u32>,
    /// ECS API: ManagedScaling.maximumScalingStepSize.
    pub maximum_step: Option<u32>,
    /// ECS API: ManagedScaling.instanceWarmupPeriod.
    pub warmup_seconds: Option<u32>,
    /// ECS API: managedTerminationProtection.
    pub termination_protection: Option<bool>,
    /// ECS API: managedDraining.
    pub draining: Option<bool>,
}

/// A custom attribute of one container instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceAttribute {
    /// Which instance.
    pub instance: ContainerInstanceId,
    /// The attribute's name.
    pub name: String,
    /// Its value. `None`: without one when it is put, whatever it is when it is deleted.
    pub value: Option<String>,
}

/// What changes of a log group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogGroupChange {
    /// After how many days an event may go; without end when not given.
    Retention(Option<u32>),
    /// Its tags.
    Tags {
        /// Added; the same key replaces.
        add: Tags,
        /// Taken away, before others are added.
        remove: Vec<String>,
    },
}
