//! Capacity providers.

use trireme_ecs_model::shapes::{
    self, AutoScalingGroupProvider, CapacityProviderStatus, CapacityProviderType,
    CapacityProviderUpdateStatus, ManagedDraining, ManagedScaling, ManagedScalingStatus,
    ManagedTerminationProtection,
};
use trireme_state::object::{AutoScalingGroup, CapacityProvider, CapacityProviderKey};
use trireme_types::Arn;
use trireme_types::arn::Resource;

use super::{number, tags};

pub(crate) fn arn(key: &CapacityProviderKey) -> String {
    Arn::new(&key.scope, Resource::CapacityProvider(key.name.clone())).to_string()
}

/// One that a user made.
pub(crate) fn describe(provider: &CapacityProvider, with_tags: bool) -> shapes::CapacityProvider {
    shapes::CapacityProvider {
        auto_scaling_group_provider: Some(group(&provider.group)),
        update_status: provider.updated.then_some(CapacityProviderUpdateStatus::UpdateComplete),
        tags: Some(if with_tags { tags::list(&provider.tags) } else { Vec::new() }),
        r#type: Some(CapacityProviderType::Ec2Autoscaling),
        ..active(&provider.key)
    }
}

/// One of ECS's own.
pub(crate) fn describe_built_in(key: &CapacityProviderKey) -> shapes::CapacityProvider {
    let kind = match key.name.as_str() {
        "FARGATE" => CapacityProviderType::Fargate,
        _ => CapacityProviderType::FargateSpot,
    };
    shapes::CapacityProvider { tags: Some(Vec::new()), r#type: Some(kind), ..active(key) }
}

/// What is known of one by its name alone.
pub(crate) fn named(key: &CapacityProviderKey) -> shapes::CapacityProvider {
    shapes::CapacityProvider { tags: Some(Vec::new()), ..active(key) }
}

fn active(key: &CapacityProviderKey) -> shapes::CapacityProvider {
    shapes::CapacityProvider {
        capacity_provider_arn: Some(arn(key)),
        name: Some(key.name.to_string()),
        status: Some(CapacityProviderStatus::Active),
        ..Default::default()
    }
}

fn group(group: &AutoScalingGroup) -> AutoScalingGroupProvider {
    let scaling = &group.managed_scaling;
    AutoScalingGroupProvider {
        auto_scaling_group_arn: Some(group.arn.clone()),
        managed_scaling: Some(ManagedScaling {
            status: Some(match scaling.enabled {
                true => ManagedScalingStatus::Enabled,
                false => ManagedScalingStatus::Disabled,
            }),
            target_capacity: Some(number(scaling.target_capacity)),
            minimum_scaling_step_size: Some(number(scaling.minimum_step)),
            maximum_scaling_step_size: Some(number(scaling.maximum_step)),
            instance_warmup_period: Some(number(scaling.warmup_seconds)),
        }),
        managed_termination_protection: Some(match group.managed_termination_protection {
            true => ManagedTerminationProtection::Enabled,
            false => ManagedTerminationProtection::Disabled,
        }),
        managed_draining: Some(match group.managed_draining {
            true => ManagedDraining::Enabled,
            false => ManagedDraining::Disabled,
        }),
    }
}
