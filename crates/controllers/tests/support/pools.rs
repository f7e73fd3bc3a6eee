//! Capacity providers, their pools, and the managed one.

use std::collections::BTreeSet;
use std::sync::Arc;

use trireme_controllers::{CapacityController, Controller, Observed};
use trireme_state::command::{AutoScalingGroupChange, ClusterChange, NewSubnet};
use trireme_state::object::*;
use trireme_state::*;
use trireme_types::*;

use super::{World, ZONES, cluster, container, registration};

pub fn provider(name: &str) -> CapacityProviderKey {
    CapacityProviderKey { scope: Scope::development(), name: CapacityProviderName::new(name).unwrap() }
}

pub fn item(name: &str, weight: u32, base: u32) -> StrategyItem {
    StrategyItem { provider: provider(name).name, weight, base }
}

/// The cluster has these providers from now on, each with a pool of the same name.
pub fn provide(world: &mut World, providers: &[&str]) {
    world.user(Command::CreateCluster { cluster: cluster(), tags: Tags::new() });
    for name in providers {
        let group = AutoScalingGroup {
            arn: format!("arn:aws:autoscaling:us-east-1:1:autoScalingGroup:u:autoScalingGroupName/{name}"),
            managed_scaling: ManagedScaling { warmup_seconds: 60, ..ManagedScaling::default() },
            managed_termination_protection: false,
            managed_draining: true,
        };
        let key = provider(name);
        world.user(Command::CreateCapacityProvider { key, group: Box::new(group), tags: Tags::new() });
    }
    associate(world, providers, &[]);
}

/// The cluster's providers, and its default strategy.
pub fn associate(world: &mut World, providers: &[&str], default: &[StrategyItem]) {
    let names = providers.iter().map(|name| provider(name).name).collect();
    let change = ClusterChange { capacity: Some((names, default.to_vec())), ..ClusterChange::default() };
    world.user(Command::UpdateCluster { cluster: cluster(), change: Box::new(change) });
}

pub fn manage(world: &mut World, name: &str, change: AutoScalingGroupChange) {
    let change = AutoScalingGroupChange { scaling: Some(true), ..change };
    world.user(Command::UpdateCapacityProvider { key: provider(name), change });
}

/// A machine of a pool.
pub fn join(world: &mut World, pool: &str, zone: &str, cpu: u32, memory: u32) -> ContainerInstanceId {
    let mut registration = registration(format!("{pool}-{}", world.agents.len()), zone, cpu, memory);
    registration.attributes.insert(capability::POOL.to_owned(), pool.to_owned());
    registration.attributes.insert(capability::TASK_ENI.to_owned(), String::new());
    if pool == capability::MANAGED_POOL {
        registration.cluster = ClusterKey::managed_pool();
    }
    let outcome = world.user(Command::OpenSession { instance: None, registration: Box::new(registration) });
    let Outcome::Session { instance, .. } = outcome else { panic!("no session: {outcome:?}") };
    world.agents.push(instance);
    instance
}

/// One pass of the capacity controller; what it asks is done. Gives how much that was.
pub fn pass(world: &mut World) -> usize {
    let plan = CapacityController::default().plan(&world.view(), &Observed::default(), world.now);
    for command in &plan.commands {
        world.try_propose(Actor::Controller("capacity".to_owned()), command.clone()).unwrap_or_else(|why| {
            panic!("refused ({why}): {command:?}");
        });
        invariant::check_state(&world.view()).unwrap();
    }
    plan.commands.len()
}

/// A definition for FARGATE.
pub fn register_fargate(world: &mut World, family: &str) -> TaskDefinitionKey {
    let spec = TaskDefinitionSpec {
        containers: vec![container(0, 64, None)],
        network_mode: Some(NetworkMode::Awsvpc),
        cpu: Some(CpuUnits::new(256)),
        memory: Some(Mebibytes::new(512)),
        requires_compatibilities: vec![Compatibility::Fargate],
        task_role_arn: None,
        execution_role_arn: None,
        described: Described::new(),
    };
    world.register_spec(family, Arc::new(spec))
}

/// A subnet in each zone, and where tasks get interfaces in them.
pub fn subnets(world: &mut World) -> NetworkConfiguration {
    let mut subnets = BTreeSet::new();
    for (number, zone) in ZONES.iter().enumerate() {
        let id = SubnetId::from_random((number as u128 + 1) << 64);
        subnets.insert(id);
        let new = NewSubnet {
            id,
            scope: Scope::development(),
            zone: Zone::new(zone).unwrap(),
            cidr: format!("10.{number}.0.0/16").parse().unwrap(),
            network: None,
        };
        world.user(Command::AddSubnet { subnet: Box::new(new) });
    }
    NetworkConfiguration { subnets, security_groups: Vec::new() }
}
