//! Samples of what is configured, and of where tasks are placed and attached.

use trireme_state::event::{NetworkEvent, PlacementEvent, RebalancingEvent};

use super::*;

pub fn network_events() -> Vec<Event> {
    vec![
        Event::Network(NetworkEvent::SubnetAdded {
            subnet: Box::new(Subnet {
                id: SubnetId::from_random(0x1234 << 60),
                scope: Scope::development(),
                zone: Zone::new("us-east-1a").unwrap(),
                cidr: "10.1.2.0/24".parse().unwrap(),
                network: "10.1.0.0/16".parse().unwrap(),
                created_at: Timestamp::from_millis(7),
                last_given: None,
            }),
        }),
        Event::Rebalancing(RebalancingEvent::ZoneMoveChanged { key: service("web"), under_way: true }),
        Event::Network(NetworkEvent::SubnetRemoved { subnet: SubnetId::from_random(0x1234 << 60) }),
        Event::Network(NetworkEvent::TaskAttached {
            task: task_id(),
            interface: Box::new(Interface {
                id: 0x77,
                subnet: SubnetId::from_random(0x1234 << 60),
                address: std::net::Ipv4Addr::new(10, 1, 2, 4),
                hold: Hold::Task,
                security_groups: vec![text("sg-1")],
            }),
        }),
    ]
}

pub fn placement_events() -> Vec<Event> {
    let gpus = |ids: &[&str]| ids.iter().map(|id| GpuId::new(id).unwrap()).collect();
    let task = TaskGpus::from([
        (ContainerName::new("main").unwrap(), gpus(&["GPU-1", "GPU-2"])),
        (ContainerName::new("side").unwrap(), gpus(&["GPU-0"])),
    ]);
    let assigned =
        Event::Placement(PlacementEvent::GpusAssigned { tasks: BTreeMap::from([(task_id(), task)]) });
    let placed = Event::Placement(PlacementEvent::TasksPlaced {
        tasks: vec![task_id()],
        rules: Box::new(PlacementRules {
            constraints: vec![
                PlacementConstraint::DistinctInstance,
                PlacementConstraint::MemberOf(text("attribute:disk == ssd")),
            ],
            strategy: vec![
                PlacementStrategy::Spread(SpreadField::InstanceId),
                PlacementStrategy::Spread(SpreadField::Attribute(text("rack"))),
                PlacementStrategy::Binpack(BinpackField::Cpu),
                PlacementStrategy::Binpack(BinpackField::Memory),
                PlacementStrategy::Random,
            ],
        }),
    });
    vec![placed, assigned]
}

pub fn configuration_events() -> Vec<Event> {
    let key = || CapacityProviderKey {
        scope: Scope::development(),
        name: CapacityProviderName::new("machines").unwrap(),
    };
    let group = AutoScalingGroup {
        arn: text("group-1"),
        managed_scaling: ManagedScaling {
            enabled: true,
            target_capacity: 90,
            minimum_step: 2,
            maximum_step: 30,
            warmup_seconds: 60,
        },
        managed_termination_protection: true,
        managed_draining: true,
    };
    let configuration = ClusterConfiguration {
        container_insights: ContainerInsights::Enhanced,
        capacity_providers: vec![key().name],
        default_strategy: vec![StrategyItem { provider: key().name, weight: 3, base: 2 }],
        described: described("serviceConnectDefaults", "{}"),
    };
    vec![
        Event::ClusterConfigured { cluster: cluster("prod"), configuration: Box::new(configuration) },
        Event::CapacityProviderCreated {
            key: key(),
            group: Box::new(group.clone()),
            tags: Tags::from([(text("k"), text("v"))]),
        },
        Event::CapacityProviderUpdated { key: key(), group: Box::new(group) },
        Event::CapacityProviderDeleted { key: key() },
        Event::CapacityProviderTagged { key: key(), tags: Tags::from([(text("k"), text("w"))]) },
        Event::TaskDefinitionDeleted { key: definition("web", 1) },
        Event::TaskDefinitionForgotten { key: definition("web", 1) },
        Event::TaskProtectionChanged { task: task_id(), until: Some(Timestamp::from_millis(5)) },
        Event::ImagesPinned {
            key: service("web"),
            revision: ServiceRevisionId::of(DeploymentId::from_random(7)),
            images: Images::from([
                (ContainerName::new("main").unwrap(), ImagePin::Manifest(ContentDigest::from_bytes([3; 32]))),
                (ContainerName::new("side").unwrap(), ImagePin::Image(ContentDigest::from_bytes([4; 32]))),
            ]),
        },
        Event::TaskHealthChanged {
            task: task_id(),
            health: TaskHealth::from([
                (ContainerName::new("main").unwrap(), HealthStatus::Unhealthy),
                (ContainerName::new("side").unwrap(), HealthStatus::Healthy),
            ]),
        },
        Event::InstanceAbsent { instance: instance_id(), until: Timestamp::from_millis(6) },
        Event::ClusterLostAfterSet { cluster: cluster("default"), millis: Some(30_000) },
        Event::InstanceAttributesChanged {
            instance: instance_id(),
            attributes: Attributes::from([(text("stack"), text("prod"))]),
        },
        Event::InstanceRegistered {
            instance: instance_id(),
            registration: Box::new(registration("i-1", "us-east-1b")),
            tags: Tags::from([(text("k"), text("v"))]),
        },
        Event::AccountSettingChanged {
            key: SettingsKey { scope: Scope::development(), principal: Some(text("arn")) },
            name: text("containerInsights"),
            value: Some(text("enabled")),
        },
    ]
}
