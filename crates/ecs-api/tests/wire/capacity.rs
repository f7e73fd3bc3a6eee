//! FARGATE, capacity provider strategies, and tasks that wait.

use aws_sdk_ecs::types::{
    AutoScalingGroupProvider, AwsVpcConfiguration, CapacityProviderStrategyItem, Compatibility,
    DesiredStatus, LaunchType, ManagedScaling, ManagedScalingStatus, NetworkConfiguration, NetworkMode,
    PlacementConstraint, PlacementConstraintType, SchedulingStrategy,
};
use trireme_state::Command;
use trireme_state::command::NewSubnet;
use trireme_state::object::{ClusterKey, InstanceRegistration, InstanceResources, TaskStatus};
use trireme_types::capability::{MANAGED_POOL, POOL, TASK_ENI};
use trireme_types::{CpuUnits, Mebibytes, Scope, SubnetId, Zone};

use crate::server::{Server, pair, refused};
use crate::task_definitions::{app, register};

type Client = aws_sdk_ecs::Client;

/// A machine of a pool.
fn join(server: &Server, pool: &str) {
    let cluster = match pool {
        MANAGED_POOL => ClusterKey::managed_pool(),
        _ => ClusterKey { scope: Scope::development(), name: "default".parse().unwrap() },
    };
    let registration = InstanceRegistration {
        cluster,
        name: format!("us-east-1a/{pool}"),
        zone: Zone::new("us-east-1a").unwrap(),
        resources: InstanceResources {
            cpu: CpuUnits::new(1_024),
            memory: Mebibytes::new(2_048),
            reserved_ports: Vec::new(),
        },
        attributes: [(POOL.to_owned(), pool.to_owned()), (TASK_ENI.to_owned(), String::new())].into(),
        agent_version: "0".to_owned(),
        docker_version: "0".to_owned(),
    };
    server.propose(Command::OpenSession { instance: None, registration: Box::new(registration) });
}

/// A server at the latest level, with a subnet in zone a and a definition for FARGATE.
async fn ready() -> (Server, Client, NetworkConfiguration) {
    let server = Server::start().await;
    let level = trireme_state::FeatureLevel::LATEST;
    server.propose(Command::RaiseFeatureLevel { level });
    let subnet = SubnetId::from_random(1);
    server.propose(Command::AddSubnet {
        subnet: Box::new(NewSubnet {
            id: subnet,
            scope: Scope::development(),
            zone: Zone::new("us-east-1a").unwrap(),
            cidr: "10.1.0.0/24".parse().unwrap(),
            network: None,
        }),
    });
    let client = server.client();
    client.create_cluster().send().await.unwrap();
    let define = client.register_task_definition().family("web").container_definitions(app());
    let define = define.network_mode(NetworkMode::Awsvpc).requires_compatibilities(Compatibility::Fargate);
    define.cpu("256").memory("512").send().await.unwrap();
    let vpc = AwsVpcConfiguration::builder().subnets(subnet.to_string()).build().unwrap();
    (server, client, NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
}

fn item(provider: &str, weight: i32, base: i32) -> CapacityProviderStrategyItem {
    CapacityProviderStrategyItem::builder()
        .capacity_provider(provider)
        .weight(weight)
        .base(base)
        .build()
        .unwrap()
}

/// A capacity provider with a pool of its name.
async fn provide(client: &Client, name: &str, managed: bool) {
    let status = if managed { ManagedScalingStatus::Enabled } else { ManagedScalingStatus::Disabled };
    let scaling = ManagedScaling::builder().status(status).build();
    let group =
        AutoScalingGroupProvider::builder().auto_scaling_group_arn(name).managed_scaling(scaling).build();
    let create = client.create_capacity_provider().name(name);
    create.auto_scaling_group_provider(group.unwrap()).send().await.unwrap();
}

async fn associate(client: &Client, names: &[&str], default: &[CapacityProviderStrategyItem]) {
    let put = client.put_cluster_capacity_providers().cluster("default");
    let put = put.set_capacity_providers(Some(names.iter().map(|name| (*name).to_owned()).collect()));
    put.set_default_capacity_provider_strategy(Some(default.to_vec())).send().await.unwrap();
}

#[tokio::test]
async fn a_fargate_task_needs_no_container_instance() {
    let (server, client, network) = ready().await;
    let run = || client.run_task().task_definition("web").network_configuration(network.clone());
    let fargate = || run().launch_type(LaunchType::Fargate);
    let none = fargate().send().await.unwrap();
    assert!(none.tasks().is_empty());
    assert!(none.failures()[0].reason().unwrap().starts_with("Capacity is unavailable at this time."));
    join(&server, MANAGED_POOL);
    let ran = fargate().platform_version("LATEST").send().await.unwrap();
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    let task = &ran.tasks()[0];
    assert_eq!((task.launch_type(), task.platform_version()), (Some(&LaunchType::Fargate), Some("1.4.0")));
    assert_eq!(
        (task.cpu(), task.memory(), task.platform_family()),
        (Some("256"), Some("512"), Some("Linux"))
    );
    assert_eq!((task.container_instance_arn(), task.capacity_provider_name()), (None, None));
    assert_eq!(task.attachments()[0].r#type(), Some("ElasticNetworkInterface"));
    assert!(task.cluster_arn().unwrap().ends_with("cluster/default"));

    // The pool is nobody's own.
    let listed = client.list_clusters().send().await.unwrap();
    assert_eq!(listed.cluster_arns().len(), 1);
    assert!(client.list_container_instances().send().await.unwrap().container_instance_arns().is_empty());
    let missing = refused(client.list_container_instances().cluster(MANAGED_POOL).send().await);
    assert_eq!(missing.0, "ClusterNotFoundException");
    let found = async |launch| {
        let listed = client.list_tasks().launch_type(launch).send().await.unwrap();
        listed.task_arns().len()
    };
    assert_eq!((found(LaunchType::Fargate).await, found(LaunchType::Ec2).await), (1, 0));
    let described = client.describe_clusters().send().await.unwrap();
    assert_eq!(described.clusters()[0].pending_tasks_count(), 1);
    assert_eq!(described.clusters()[0].registered_container_instances_count(), 0);

    // It is no place for what is launched on container instances.
    let own = refused(run().send().await);
    assert_eq!(own, pair("InvalidParameterException", "No Container Instances were found in your cluster."));
    server.report(task.task_arn().unwrap(), TaskStatus::Running, None);
}

#[tokio::test]
async fn what_fargate_cannot_have_is_refused() {
    let (server, client, network) = ready().await;
    register(&client, "job").await;
    join(&server, MANAGED_POOL);
    let before = server.events();
    let run = |family: &str| client.run_task().task_definition(family).launch_type(LaunchType::Fargate);
    let incompatible = refused(run("job").send().await);
    assert_eq!(
        incompatible,
        pair("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
    );
    let web = || run("web").network_configuration(network.clone());
    let platform = refused(web().platform_version("9.9.9").send().await);
    assert_eq!(platform, pair("PlatformUnknownException", "The specified platform does not exist."));
    let constraint = PlacementConstraint::builder().r#type(PlacementConstraintType::DistinctInstance).build();
    let constrained = refused(web().placement_constraints(constraint).send().await);
    assert_eq!(constrained.1, "Placement constraints are not supported with FARGATE launch type.");
    let both = refused(web().capacity_provider_strategy(item("FARGATE", 1, 0)).send().await);
    assert!(both.1.starts_with("Specifying both a launch type and capacity provider strategy"));
    let ec2 = client.run_task().task_definition("job").platform_version("LATEST").send().await;
    assert_eq!(refused(ec2).1, "The platform version must be null when specifying an EC2 launch type.");
    let external = client.run_task().task_definition("job").launch_type(LaunchType::External).send().await;
    assert_eq!(refused(external).0, "UnsupportedFeatureException");
    let define = |cpu: &str, mode| {
        let define = client.register_task_definition().family("bad").container_definitions(app());
        define.requires_compatibilities(Compatibility::Fargate).network_mode(mode).cpu(cpu).memory("512")
    };
    let size = refused(define("300", NetworkMode::Awsvpc).send().await);
    assert_eq!(
        size,
        pair("ClientException", "No Fargate configuration exists for given values: 300 CPU, 512 memory.")
    );
    let mode = refused(define("256", NetworkMode::Host).send().await);
    assert_eq!(mode, pair("ClientException", "Fargate only supports network mode ‘awsvpc’."));
    let daemon = client.create_service().service_name("d").task_definition("web");
    let daemon = daemon.scheduling_strategy(SchedulingStrategy::Daemon).launch_type(LaunchType::Fargate);
    let daemon = refused(daemon.network_configuration(network.clone()).send().await);
    assert_eq!(daemon.1, "The DAEMON scheduling strategy does not support the FARGATE launch type.");
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn a_strategy_is_checked_in_ecss_words() {
    let (server, client, network) = ready().await;
    provide(&client, "one", false).await;
    provide(&client, "two", false).await;
    associate(&client, &["one", "FARGATE"], &[]).await;
    let before = server.events();
    let run = |items: &[CapacityProviderStrategyItem]| {
        let run = client.run_task().task_definition("web").network_configuration(network.clone());
        run.set_capacity_provider_strategy(Some(items.to_vec()))
    };
    let why = async |items: &[CapacityProviderStrategyItem]| refused(run(items).send().await).1;
    let unknown = why(&[item("two", 1, 0)]).await;
    assert!(unknown.contains("is not associated with the cluster"), "{unknown}");
    let mixed = why(&[item("one", 1, 0), item("FARGATE", 1, 0)]).await;
    assert!(mixed.contains("cannot contain a mix of capacity providers"), "{mixed}");
    let weightless = why(&[item("one", 0, 0)]).await;
    assert!(weightless.contains("weight greater than 0"), "{weightless}");
    let based = why(&[item("one", 1, 1), item("FARGATE", 1, 1)]).await;
    assert!(based.starts_with("Only one capacity provider"), "{based}");
    let empty = why(&[item("one", 1, 0)]).await;
    assert_eq!(empty, "No Container Instances were found in your capacity provider.");
    assert_eq!(server.events(), before);
}

#[tokio::test]
async fn run_task_shares_among_its_providers() {
    let (server, client, network) = ready().await;
    provide(&client, "one", false).await;
    provide(&client, "two", false).await;
    // The default is for who says nothing.
    associate(&client, &["one", "two"], &[item("one", 1, 1), item("two", 1, 0)]).await;
    join(&server, "one");
    join(&server, "two");
    let run = || client.run_task().task_definition("web").network_configuration(network.clone());
    let ran = run().count(3).send().await.unwrap();
    let names: Vec<_> = ran.tasks().iter().map(|task| task.capacity_provider_name().unwrap()).collect();
    assert_eq!(names.iter().filter(|name| **name == "one").count(), 2, "{names:?}");
    assert!(ran.tasks().iter().all(|task| task.launch_type() == Some(&LaunchType::Ec2)));
    let instances = client.list_container_instances().send().await.unwrap();
    let described = client.describe_container_instances();
    let described = described.set_container_instances(Some(instances.container_instance_arns().to_vec()));
    let described = described.send().await.unwrap();
    let mut pools: Vec<_> =
        described.container_instances().iter().map(|one| one.capacity_provider_name().unwrap()).collect();
    pools.sort_unstable();
    assert_eq!(pools, ["one", "two"]);
    // The pool is full: nobody waits for one that does not grow.
    let ran = run().capacity_provider_strategy(item("two", 1, 0)).count(10).send().await.unwrap();
    assert!(!ran.failures().is_empty());
    assert!(ran.failures().iter().all(|one| one.reason().unwrap().starts_with("RESOURCE:")));
    let plain = run().launch_type(LaunchType::Ec2).send().await.unwrap();
    assert_eq!(plain.tasks()[0].capacity_provider_name(), None);
}

#[tokio::test]
async fn a_task_waits_in_provisioning_for_a_pool_that_grows() {
    let (_server, client, network) = ready().await;
    provide(&client, "grows", true).await;
    associate(&client, &["grows"], &[]).await;
    let run = || {
        let run = client.run_task().task_definition("web").network_configuration(network.clone());
        run.capacity_provider_strategy(item("grows", 1, 0)).count(2).client_token("once").started_by("me")
    };
    let ran = run().send().await.unwrap();
    assert_eq!((ran.tasks().len(), ran.failures().len()), (2, 0));
    let task = &ran.tasks()[0];
    assert_eq!((task.last_status(), task.desired_status()), (Some("PROVISIONING"), Some("RUNNING")));
    assert_eq!((task.capacity_provider_name(), task.container_instance_arn()), (Some("grows"), None));
    let arn = task.task_arn().unwrap().to_owned();
    let again = run().send().await.unwrap();
    assert_eq!(again.tasks()[0].task_arn(), Some(arn.as_str()), "a repeat waits no more");
    assert_eq!(client.list_tasks().started_by("me").send().await.unwrap().task_arns().len(), 2);
    let described = client.describe_tasks().tasks(&arn).send().await.unwrap();
    assert_eq!(described.tasks()[0].last_status(), Some("PROVISIONING"));

    let stopped = client.stop_task().task(&arn).reason("enough").send().await.unwrap();
    let task = stopped.task().unwrap();
    assert_eq!((task.last_status(), task.stopped_reason()), (Some("STOPPED"), Some("enough")));
    assert!(task.stopped_at().is_some());
    let listed = client.list_tasks().desired_status(DesiredStatus::Stopped).send().await.unwrap();
    assert_eq!(listed.task_arns(), [arn]);
    let used =
        client.put_cluster_capacity_providers().cluster("default").set_capacity_providers(Some(Vec::new()));
    let used = refused(used.set_default_capacity_provider_strategy(Some(Vec::new())).send().await);
    assert_eq!(
        used,
        pair("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.")
    );
}

#[tokio::test]
async fn a_service_keeps_what_it_is_launched_on() {
    let (_server, client, network) = ready().await;
    provide(&client, "one", false).await;
    associate(&client, &["one", "FARGATE", "FARGATE_SPOT"], &[item("one", 1, 0)]).await;
    let create = |name: &str| {
        let create = client.create_service().service_name(name).task_definition("web").desired_count(1);
        create.network_configuration(network.clone())
    };
    let by_default = create("a").send().await.unwrap().service.unwrap();
    assert_eq!(by_default.launch_type(), None);
    assert_eq!(by_default.capacity_provider_strategy()[0].capacity_provider(), "one");
    assert_eq!(by_default.deployments()[0].capacity_provider_strategy().len(), 1);
    let fargate = create("b").launch_type(LaunchType::Fargate).send().await.unwrap().service.unwrap();
    assert_eq!(
        (fargate.launch_type(), fargate.platform_version()),
        (Some(&LaunchType::Fargate), Some("LATEST"))
    );
    let ec2 = create("c").launch_type(LaunchType::Ec2).send().await.unwrap().service.unwrap();
    assert_eq!((ec2.launch_type(), ec2.capacity_provider_strategy().len()), (Some(&LaunchType::Ec2), 0));

    // What the cluster says later is for later services; another strategy is another deployment.
    associate(&client, &["one", "FARGATE", "FARGATE_SPOT"], &[]).await;
    let spot = client.update_service().service("a").capacity_provider_strategy(item("FARGATE_SPOT", 1, 0));
    let spot = spot.force_new_deployment(true).send().await.unwrap().service.unwrap();
    assert_eq!(spot.capacity_provider_strategy()[0].capacity_provider(), "FARGATE_SPOT");
    assert_ne!(spot.deployments()[0].id(), by_default.deployments()[0].id());
    let none = client.update_service().service("a").set_capacity_provider_strategy(Some(Vec::new()));
    let none = none.send().await.unwrap().service.unwrap();
    assert_eq!(none.launch_type(), Some(&LaunchType::Ec2), "an empty one is the cluster's default");
    let listed = client.list_services().launch_type(LaunchType::Fargate).send().await.unwrap();
    assert_eq!(listed.service_arns().len(), 1);
}

#[tokio::test]
async fn a_pool_has_a_name_that_a_hook_can_take() {
    let (server, client, _network) = ready().await;
    let before = server.events();
    let create = |arn: String| {
        let group = AutoScalingGroupProvider::builder().auto_scaling_group_arn(arn).build();
        client.create_capacity_provider().name("p").auto_scaling_group_provider(group.unwrap())
    };
    let long = "x".repeat(256);
    let arn = "arn:aws:autoscaling:us-east-1:1:autoScalingGroup:u:autoScalingGroupName/";
    for name in [MANAGED_POOL, ".", "..", "../a", "a/b", "a b", "a\nb", "$(a)", "\u{e4}", &long] {
        for given in [name.to_owned(), format!("{arn}{name}")] {
            let (code, why) = refused(create(given).send().await);
            assert_eq!(code, "InvalidParameterException", "{why}");
            assert!(why.starts_with("The name of the Auto Scaling group"), "{why}");
        }
    }
    assert!(create(arn.to_owned()).send().await.is_err(), "none at all");
    assert_eq!(server.events(), before);
    create(format!("{arn}Web_1.a-b")).send().await.unwrap();
}
